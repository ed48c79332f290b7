"""Molecular dynamics and bands with VASP's stand-in: what survives kills, and what is refused."""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from jobflow import Flow, Job, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Poscar

from ionloop.errors import ExplorationError, ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.neb import relax_band
from ionloop.reference.pieces import SCRATCH, pieces
from ionloop.reference.schema import Band, Trajectory
from ionloop.reference.vasp import VaspReference
from ionloop.reference.vasp.inputs import IonicVaspMdSet
from ionloop.reference.vasp.md import VaspMdMaker
from ionloop.reference.vasp.neb import VaspImagesMaker, VaspRelaxMaker, idpp_images
from ionloop.reference.vasp.output import VaspRun, read_xdatcar
from ionloop.reference.vasp.pieces import (
    START_FILE,
    join_pieces,
    new_piece,
    step_of,
)  # fmt: skip
from ionloop.reference.vasp.runs import read_contcar
from ionloop.reference.vasp.settings import VaspSettings
from ionloop.seed.schema import Hop
from ionloop.testing import vasp_std

pytestmark = [
    pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:POTCAR data with symbol"),
    # emmet's documents of bands, through jobflow's JSON.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # A band that isn't relaxed says so in its document.
    pytest.mark.filterwarnings("ignore:.*is an unconverged VASP run"),
    # A charged cell is charged on purpose.
    pytest.mark.filterwarnings("ignore:Structure charge:UserWarning"),
]

RUN = {"temperature": 600.0, "n_steps": 12, "time_step": 2.0, "store_every": 3, "seed": 7}


def licl() -> Frame:
    """Rattled LiCl, elements mixed in order, two atoms outside of the cell."""
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.positions[1, 0] += 5.14
    atoms.positions[4, 2] -= 5.14
    return Frame.from_atoms(atoms, origin="rattle", group="test")


def bound(frame: Frame | None = None, **fields: object) -> VaspReference:
    return VaspReference(**fields).bind((frame or licl()).to_structure())


def run(part: Job | Flow, folder: Path, *, strict: bool = True) -> object:
    """Run a job or flow as FireWorks does; returns the output of its last job."""
    sent = MontyDecoder().process_decoded(json.loads(json.dumps(jsanitize(part.as_dict()))))
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    options = {"create_folders": True, "raise_immediately": strict, "log": False}
    responses = run_locally(sent, store=store, root_dir=folder, **options)
    uuid = part.output.uuid
    return responses[uuid][1].output if uuid in responses else None


def near_the_end(vasp) -> None:
    """A SLURM job whose time is over within the handlers' buffers, and a custodian that looks.

    Its clock began hours ago, with the worker's first VASP.
    """
    vasp.patch.setenv("CUSTODIAN_WALLTIME_START", "Mon Jan 01 00:00:00 UTC 2024")
    vasp.patch.delenv("IONLOOP_VASP_WALL_TIME_S", raising=False)
    vasp.patch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 250))
    vasp.patch.setenv("VASP_STAND_IN_SLEEP", "0.3")
    vasp.patch.setattr("ionloop.reference.vasp.runs.CHECK_EVERY", 1)


# --- molecular dynamics ---


@pytest.fixture
def whole(vasp, tmp_path: Path) -> Trajectory:
    """An MD run without a disturbance."""
    return run(bound().md(licl(), group="g", **RUN), tmp_path / "whole")


def test_md_is_a_trajectory_in_the_frames_order(vasp, whole: Trajectory, tmp_path: Path) -> None:
    frame = licl()
    assert whole.symbols == frame.symbols
    assert (whole.n_steps, whole.n_frames, whole.frame_interval_fs) == (12, 5, 6.0)
    assert (whole.stopped, whole.group, whole.temperature) == (None, "g", 600.0)
    np.testing.assert_allclose(whole.positions[0], frame.positions, atol=1e-6)
    steps = np.linalg.norm(np.diff(whole.positions, axis=0), axis=2)
    assert 0.01 < steps.max() < 0.5  # no jump across the cell
    again = run(bound().md(licl(), group="g", **RUN), tmp_path / "again")
    np.testing.assert_array_equal(again.positions, whole.positions)
    other = run(bound().md(licl(), group="g", **{**RUN, "seed": 8}), tmp_path / "other")
    assert np.abs(other.positions - whole.positions).max() > 0.01


def test_md_has_cheaper_settings_and_makes_no_label(vasp) -> None:
    reference = bound()
    job = reference.md(licl(), group="g", **RUN)
    generator = job.maker.input_set_generator
    incar = generator.get_input_set(licl().to_structure().get_sorted_structure())["INCAR"]
    label = reference.static([licl()]).maker.input_set_generator
    assert (incar["ENCUT"], incar["EDIFF"], incar["LREAL"]) == (400, 1e-5, "Auto")
    assert (incar["NSW"], incar["POTIM"], incar["TEBEG"], incar["IBRION"]) == (12, 2, 600, 0)
    assert (incar["MDALGO"], incar["RANDOM_SEED"]) == (2, [7, 0, 0])
    assert label.tags(licl().to_structure())["ENCUT"] == 520
    assert set(Trajectory.model_fields).isdisjoint({"energies", "forces"})


def test_md_goes_on_after_a_kill_with_its_velocities(
    vasp, whole: Trajectory, tmp_path: Path
) -> None:
    vasp.log.unlink()
    vasp.fail("killed:1")
    broken = run(bound().md(licl(), group="g", **RUN), tmp_path / "broken")
    assert vasp.n_runs == 2
    assert (broken.n_steps, broken.stopped) == (12, None)
    np.testing.assert_allclose(broken.positions, whole.positions, atol=2e-3)


def test_md_that_is_killed_again_and_again_keeps_its_frames(vasp, tmp_path: Path) -> None:
    vasp.fail("killed")
    short = run(bound().md(licl(), group="g", **RUN), tmp_path)
    assert vasp.n_runs == 3
    assert short.n_steps == 6 + 3 + 1
    assert "killed or died" in short.stopped
    vasp.fail("empty")
    with pytest.raises(ExplorationError, match=r"got 0 in .*libmkl"):
        run(bound().md(licl(), group="g", **RUN), tmp_path / "none")


def md_maker(n_steps: int) -> VaspMdMaker:
    reference = bound()
    settings = {k: v for k, v in RUN.items() if k != "store_every"} | {"n_steps": n_steps}
    return VaspMdMaker(
        input_set_generator=IonicVaspMdSet(
            dft=reference.dft, aimd=reference.aimd.model_dump(mode="json"), run=settings
        )
    )


def stopped_md(vasp, folder: Path, n_steps: int = 12) -> Path:
    """Run MD until it is stopped after half of its steps; returns its last piece."""
    folder.mkdir(exist_ok=True)
    with vasp.patch.context() as patch:
        patch.chdir(folder)
        patch.setenv("VASP_STAND_IN_FAIL", "walltime")
        with pytest.raises(ExplorationError, match="wall time"):
            VaspMdMaker.make.original(md_maker(n_steps), licl(), "g", 3)
    (place,) = folder.glob("vasp_md_*")
    return pieces(place)[-1]


def goes_on(vasp, folder: Path) -> Trajectory:
    vasp.patch.chdir(folder)
    return VaspMdMaker.make.original(md_maker(12), licl(), "g", 3)


def unzipped(path: Path) -> str:
    """Read a file that was zipped, which is plain from now on."""
    zipped = path.with_name(f"{path.name}.gz")
    path.write_bytes(gzip.decompress(zipped.read_bytes()))
    zipped.unlink()
    return path.read_text()


def starts_of(folder: Path) -> list[int]:
    (place,) = folder.glob("vasp_md_*")
    return [json.loads((p / START_FILE).read_text())["step"] for p in pieces(place)]


def test_a_contcar_that_was_cut_off_gives_way_to_the_one_before(
    vasp, whole: Trajectory, tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    stopped_md(vasp, folder)  # 7 steps
    piece = stopped_md(vasp, folder)  # 3 more
    text = unzipped(piece / "CONTCAR")
    (piece / "CONTCAR").write_text(text[: int(0.8 * len(text))])
    done = goes_on(vasp, folder)
    assert starts_of(folder) == [0, 8, 8]
    assert (done.n_steps, done.n_frames) == (12, whole.n_frames)
    np.testing.assert_allclose(done.positions, whole.positions, atol=2e-3)


def test_a_contcar_one_step_behind_doubles_no_frame(
    vasp, whole: Trajectory, tmp_path: Path
) -> None:
    before = unzipped(stopped_md(vasp, tmp_path / "shorter", n_steps=10) / "CONTCAR")
    folder = tmp_path / "behind"
    piece = stopped_md(vasp, folder)
    unzipped(piece / "CONTCAR")
    (piece / "CONTCAR").write_text(before)  # of step 7, as the last frame is
    done = goes_on(vasp, folder)
    assert starts_of(folder) == [0, 7]
    assert (done.n_steps, done.n_frames) == (12, whole.n_frames)
    np.testing.assert_allclose(done.positions, whole.positions, atol=2e-3)


def test_a_contcar_ahead_of_lost_frames_is_not_gone_on_from(
    vasp, whole: Trajectory, tmp_path: Path
) -> None:
    folder = tmp_path / "lost"
    piece = stopped_md(vasp, folder)
    text = unzipped(piece / "XDATCAR")
    (piece / "XDATCAR").write_text(text[: text.index("Direct configuration=     6")])
    done = goes_on(vasp, folder)
    assert starts_of(folder) == [0, 0]
    np.testing.assert_allclose(done.positions, whole.positions, atol=2e-3)


def test_the_step_of_a_place_is_known_or_the_next() -> None:
    rng = np.random.default_rng(3)
    times = np.arange(8)[:, None, None]
    path = 0.98 + 0.01 * np.sin(0.3 * times + rng.uniform(0, 6, (1, 4, 3)))  # crosses a face
    frames = path[:5] % 1
    assert [step_of(path[k] % 1, frames) for k in range(7)] == [1, 2, 3, 4, 5, 6, None]
    assert step_of(path[1], frames[:1]) is None
    assert step_of(path[0], frames[:0]) is None


def test_a_half_made_piece_never_counts(vasp, tmp_path: Path) -> None:
    (tmp_path / SCRATCH).mkdir()
    (tmp_path / SCRATCH / "XDATCAR").write_text("left behind")
    assert pieces(tmp_path) == []
    piece = new_piece(tmp_path, 3, licl().to_structure())
    assert pieces(tmp_path) == [piece]
    assert [path.name for path in piece.iterdir()] == [START_FILE]
    assert join_pieces(pieces(tmp_path), 8).shape == (0, 8, 3)


#: Of a CONTCAR after its velocities, as VASP writes it: key, POTIM, Nose's state.
NOSE = "           1\n  0.20000000E+01\n  0.11E+01  0.22E-02 -0.33E-03  0.44E+00\n"


def test_predictor_and_thermostat_go_on(vasp, tmp_path: Path) -> None:
    piece = stopped_md(vasp, tmp_path)
    text = unzipped(piece / "CONTCAR")
    rows = np.random.default_rng(2).normal(0, 1e-3, (24, 3))
    predictor = "".join("".join(f"  {x:.8E}" for x in row) + "\n" for row in rows)
    (piece / "CONTCAR").write_text(f"{text}\n{NOSE}{predictor}")
    asked = read_contcar(piece)
    goes_on(vasp, tmp_path)
    unzipped(pieces(piece.parent)[1] / "POSCAR")
    written = Poscar.from_file(pieces(piece.parent)[1] / "POSCAR", check_for_potcar=False)
    assert asked.predictor_corrector_preamble == NOSE.strip()
    assert written.predictor_corrector_preamble == asked.predictor_corrector_preamble
    got = np.concatenate(np.swapaxes(written.predictor_corrector, 0, 1))
    np.testing.assert_allclose(got, rows, rtol=0, atol=1e-11)
    np.testing.assert_allclose(written.velocities, asked.velocities, rtol=0, atol=1e-15)
    np.testing.assert_allclose(written.structure.frac_coords, asked.structure.frac_coords)


def test_the_cells_velocities_go_on(vasp, tmp_path: Path) -> None:
    poscar = Poscar(licl().to_structure().get_sorted_structure())
    cell = np.vstack([np.full((3, 3), 1e-3), poscar.structure.lattice.matrix])
    lines = "".join("".join(f"  {x:.7E}" for x in row) + "\n" for row in cell)
    text = poscar.get_str() + f"Lattice velocities and vectors\n  1\n{lines}"
    (tmp_path / "CONTCAR").write_text(text + "\n" + "  0.1E-02  0.2E-02  0.3E-02\n" * 8)
    structure = read_contcar(tmp_path).structure
    files = md_maker(12).input_set_generator.get_input_set(structure)
    written = Poscar.from_str(files["POSCAR"].get_str())
    np.testing.assert_allclose(written.lattice_velocities, cell, atol=1e-6)
    np.testing.assert_allclose(written.velocities, [[0.001, 0.002, 0.003]] * 8)


def test_a_finished_md_is_read_and_one_out_of_time_goes_on(vasp, tmp_path: Path) -> None:
    vasp.patch.chdir(tmp_path)
    reference = bound()
    settings = {k: v for k, v in RUN.items() if k != "store_every"}
    generator = IonicVaspMdSet(
        dft=reference.dft, aimd=reference.aimd.model_dump(mode="json"), run=settings
    )
    make = VaspMdMaker.make.original
    maker = VaspMdMaker(input_set_generator=generator)
    vasp.fail("walltime:1")
    with pytest.raises(ExplorationError, match="12 steps, got 7 until the worker's wall time"):
        make(maker, licl(), "g", 3)
    assert vasp.n_runs == 1
    second = make(maker, licl(), "g", 3)
    assert (second.n_steps, second.stopped, vasp.n_runs) == (12, None, 2)
    assert make(maker, licl(), "g", 3) == second
    assert vasp.n_runs == 2
    (folder,) = tmp_path.glob("vasp_md_*")
    assert len(pieces(folder)) == 2


def test_custodian_stops_md_before_the_wall_time(vasp, tmp_path: Path) -> None:
    near_the_end(vasp)
    vasp.patch.setenv("VASP_STAND_IN_SLEEP", "0.2")
    md = bound().md(licl(), group="g", **RUN | {"n_steps": 200, "store_every": 1})
    with pytest.raises(ExplorationError, match=r"200 steps, got \d+ until the worker's wall time"):
        run(md, tmp_path)
    (folder,) = tmp_path.rglob("vasp_md_*")
    assert 1 <= len(join_pieces(pieces(folder), len(licl().symbols))) < 200


def test_another_version_is_told_by_the_first_md(vasp, tmp_path: Path) -> None:
    vasp.fail("version")
    with pytest.raises(ReferenceSetupError, match=r"expected VASP 6\.4, got 6\.3\.0"):
        run(bound().md(licl(), group="g", **RUN), tmp_path)


def test_a_frame_that_was_cut_off_is_dropped() -> None:
    frame = "Direct configuration={:6d}\n  0.1 0.2 0.3\n  0.4 0.5 0.6\n"
    text = "x\n 1\n1 0 0\n0 1 0\n0 0 1\n Li\n 2\n" + frame.format(1) + frame.format(2)
    assert read_xdatcar(text, 2).shape == (2, 2, 3)
    for cut in (1, 5, 14, 20):
        assert read_xdatcar(text[:-cut], 2).shape == (1, 2, 3)
    assert read_xdatcar("", 2).shape == (0, 2, 3)


# --- bands ---

BAND = {"n_images": 1, "fmax": 0.08, "max_steps": 60}


@pytest.fixture(scope="module")
def hop() -> Hop:
    """A Li ion that goes into a vacancy of LiCl, charge -1; elements mixed in order."""
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True) * (2, 1, 1)
    sites = [i for i, s in enumerate(atoms.get_chemical_symbols()) if s == "Li"]
    ion, gap = sites[0], sites[1]
    target = atoms.positions[gap].copy()
    del atoms[gap]
    end = atoms.copy()
    end.positions[ion] = target
    fields = {"origin": "hop", "group": "h", "charge": -1}
    distance = float(np.linalg.norm(end.positions[ion] - atoms.positions[ion]))
    return Hop(
        start=Frame.from_atoms(atoms, **fields),
        end=Frame.from_atoms(end, **fields),
        ion=ion, distance=distance, path_class="Li-Li", multiplicity=12,
    )  # fmt: skip


@pytest.fixture(scope="module")
def direct(hop: Hop) -> Band:
    """The same band by ASE, on the same potential."""
    settings = {"engine": "ase", "settings_hash": "x", **BAND}
    return relax_band(hop, lambda _: vasp_std.Pairs(), **settings)


def test_a_band_is_the_potentials_own(vasp, hop: Hop, direct: Band, tmp_path: Path) -> None:
    reference = bound(hop.start)
    band = run(reference.neb(hop, **BAND), tmp_path)
    assert band.converged
    assert band.barrier == pytest.approx(direct.barrier, abs=0.02)
    assert band.barrier > 0.1
    assert (band.symbols, band.charge, band.ion) == (hop.start.symbols, -1, hop.ion)
    assert (len(band.images), band.settings_hash) == (3, reference.settings_hash)
    assert band.n_force_calls > 10
    for image, frame in ((band.images[0], hop.start), (band.images[-1], hop.end)):
        step = np.array(image) - np.array(frame.positions)
        step -= np.rint(step @ np.linalg.inv(frame.cell)) @ np.array(frame.cell)
        assert np.linalg.norm(step, axis=1).max() < 0.6
    assert vasp.n_runs == 3
    (incar,) = tmp_path.glob("job_*/vasp_neb/INCAR.gz")
    assert (
        "NELECT = 78" in gzip.decompress(incar.read_bytes()).decode()
    )  # 7 Li, 8 Cl: 7*3 + 8*7 + 1


def test_a_vasp_without_vtst_is_told(vasp, hop: Hop, tmp_path: Path) -> None:
    vasp.fail("no_vtst")
    with pytest.raises(ExplorationError, match="without the VTST tools"):
        run(bound(hop.start).neb(hop, **BAND), tmp_path)


def test_a_band_without_climbing_needs_no_vtst(vasp, hop: Hop, tmp_path: Path) -> None:
    vasp.fail("no_vtst")
    band = run(bound(hop.start, climb=False).neb(hop, **BAND), tmp_path)
    assert band.barrier > 0.05


def test_a_failed_end_fails_the_band_and_nothing_waits(vasp, hop: Hop, tmp_path: Path) -> None:
    vasp.fail("refuse")
    flow = bound(hop.start).neb(hop, **BAND)
    assert all(job.config.on_missing_references.value == "none" for job in jobs_of(flow))
    assert run(flow, tmp_path, strict=False) is None
    assert vasp.n_runs == 2  # both ends; no band after them
    with pytest.raises(ExplorationError, match="VERY BAD NEWS"):
        run(bound(hop.start).neb(hop, **BAND), tmp_path)


def test_an_unconverged_image_is_no_barrier(vasp, hop: Hop, tmp_path: Path) -> None:
    vasp.fail("unconverged")
    with pytest.raises(ExplorationError, match="SCF not converged"):
        run(bound(hop.start).neb(hop, **BAND), tmp_path)


def jobs_of(flow: Flow | Job) -> list[Job]:
    return [flow] if isinstance(flow, Job) else [j for part in flow.jobs for j in jobs_of(part)]


def test_ends_and_bands_run_again_in_their_old_folders(vasp, hop: Hop, tmp_path: Path) -> None:
    from ionloop.reference.vasp.inputs import IonicVaspNebSet, IonicVaspRelaxSet, vasp_structure

    vasp.patch.chdir(tmp_path)
    dft = bound(hop.start).dft
    relax = VaspRelaxMaker(input_set_generator=IonicVaspRelaxSet(dft=dft, charge=-1, max_steps=40))
    relax_make = VaspRelaxMaker.make.original
    vasp.fail("killed")
    with pytest.raises(ExplorationError, match="VASP failed in"):
        relax_make(relax, vasp_structure(hop.start))
    vasp.fail("")
    done = relax_make(relax, vasp_structure(hop.start))
    n_runs = vasp.n_runs
    again = relax_make(relax, vasp_structure(hop.start))
    assert vasp.n_runs == n_runs
    assert again.output.energy == done.output.energy

    band = VaspImagesMaker(input_set_generator=IonicVaspNebSet(dft=dft, charge=-1, max_steps=5))
    ends = [vasp_structure(hop.start), vasp_structure(hop.end)]
    images = ends[0].interpolate(ends[1], nimages=2, autosort_tol=0)
    neb_make = VaspImagesMaker.make.original
    vasp.fail("killed")
    with pytest.raises(ExplorationError, match="VASP failed in"):
        neb_make(band, images)
    vasp.fail("")
    first = neb_make(band, images)
    n_runs = vasp.n_runs
    assert neb_make(band, images).energies == first.energies
    assert vasp.n_runs == n_runs


def test_a_band_starts_around_atoms_not_through_them() -> None:
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.positions[0] = [2.0, 1.2, 1.0]
    end = atoms.copy()
    end.positions[0] = [2.0, 1.2, 1.0 - 2.4]  # past the Li at the cell's corner, across a face
    start, last = (AseAtomsAdaptor.get_structure(a) for a in (atoms, end))
    straight = start.interpolate(last, nimages=4, autosort_tol=0)
    images = idpp_images(straight)
    assert images[0] is straight[0]
    assert images[-1] is straight[-1]
    assert [i.species for i in images] == [i.species for i in straight]
    nearest = [
        min(min(np.delete(i.distance_matrix[0], 0)) for i in chain[1:-1])
        for chain in (straight, images)
    ]
    assert nearest[1] > nearest[0] + 0.05
    assert [i.lattice for i in images] == [i.lattice for i in straight]


def test_custodian_stops_a_band_before_the_wall_time(vasp, hop: Hop, tmp_path: Path) -> None:
    from ionloop.reference.vasp.inputs import IonicVaspNebSet, vasp_structure

    vasp.patch.chdir(tmp_path)
    dft = bound(hop.start).dft
    band = VaspImagesMaker(
        input_set_generator=IonicVaspNebSet(dft=dft, charge=-1, fmax=0.08, max_steps=60)
    )
    ends = [vasp_structure(hop.start), vasp_structure(hop.end)]
    images = ends[0].interpolate(ends[1], nimages=2, autosort_tol=0)
    make = VaspImagesMaker.make.original
    with vasp.patch.context() as patch:
        near_the_end(replace(vasp, patch=patch))
        with pytest.raises(ExplorationError, match="near the end of the worker's wall time"):
            make(band, images)
    first = VaspRun(tmp_path / "vasp_neb" / "01")
    assert first.stopped
    assert 1 <= len(first.vasprun.ionic_steps) < 30
    stood = first.vasprun.ionic_steps[-1]["structure"]
    done = make(band, images)  # the job runs again
    second = VaspRun(tmp_path / "vasp_neb" / "01")
    assert vasp.n_runs == 2
    assert second.ended
    assert not second.stopped
    step = second.vasprun.ionic_steps[0]["structure"].frac_coords - stood.frac_coords
    assert np.abs(step - np.rint(step)).max() < 0.02  # where it stood, not where it began
    assert list((tmp_path / "vasp_neb" / "failed.1" / "01").glob("OUTCAR*"))
    assert make(band, images).energies == done.energies
    assert vasp.n_runs == 2


def test_a_band_finds_where_it_stood_in_what_was_put_aside(vasp, hop: Hop, tmp_path: Path) -> None:
    """A kill after the old attempt was put aside, before the new one has images of its own."""
    from ionloop.reference.attempts import new_attempt
    from ionloop.reference.vasp.neb import last_positions

    folder = tmp_path / "vasp_neb"
    new_attempt(folder, {})
    (folder / "01").mkdir()
    Poscar(hop.start.to_structure().get_sorted_structure()).write_file(folder / "01" / "CONTCAR")
    new_attempt(folder, {})
    assert last_positions(folder, "02") is None
    found = last_positions(folder, "01")
    assert len(found) == len(hop.start.symbols)
    (folder / "01").mkdir()
    (folder / "01" / "CONTCAR").write_text("")  # cut off
    assert last_positions(folder, "01") == found


def test_the_reference_survives_json(vasp, hop: Hop) -> None:
    reference = bound(hop.start, dft=VaspSettings(encut=600))
    copy = MontyDecoder().process_decoded(json.loads(json.dumps(jsanitize(reference.as_dict()))))
    assert copy == reference
    assert copy.settings_hash == reference.settings_hash
