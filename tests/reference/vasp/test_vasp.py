"""VASP labels through jobflow, atomate2 and custodian, over a stand-in for the program alone."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from jobflow import Job, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pydantic import ValidationError
from pymatgen.core import SETTINGS
from pymatgen.io.vasp import Incar, Kpoints, Oszicar, Outcar, Poscar, Vasprun, Xdatcar

from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.profile import Profile
from ionloop.reference.attempts import attempts
from ionloop.reference.base import differing_settings
from ionloop.reference.quality import judge_point
from ionloop.reference.schema import SinglePoint
from ionloop.reference.vasp import VaspReference
from ionloop.reference.vasp.facts import found_settings
from ionloop.reference.vasp.inputs import IonicVaspSet, vasp_structure
from ionloop.reference.vasp.output import VaspRun
from ionloop.reference.vasp.potcars import bind
from ionloop.reference.vasp.runs import MAX_RESTARTS, handlers
from ionloop.reference.vasp.settings import VaspSettings, mesh_of
from ionloop.testing import vasp_std
from ionloop.testing.potcars import write_potcars
from ionloop.train.dataset import to_training_atoms
from ionloop.units import GPA_EV_PER_A3

pytestmark = [
    # jobflow 0.4.0 enters folders with monty's cd.
    pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning"),
    # Made-up POTCARs are unknown to pymatgen, as they should be.
    pytest.mark.filterwarnings("ignore:POTCAR data with symbol"),
]

PROFILE = Profile(name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1})


def licl(seed: int = 1, charge: int = 0) -> Frame:
    """Rattled LiCl, elements mixed in order, one atom outside of the cell."""
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.05, seed=seed)
    atoms.positions[1, 0] += 5.14
    return Frame.from_atoms(atoms, origin=Origin.RATTLE, group="test", charge=charge)


def bound(**dft: object) -> VaspReference:
    return VaspReference(dft=VaspSettings(**dft)).bind(licl().to_structure())


def run(job: Job, folder: Path) -> object:
    """Run a job as FireWorks does: through JSON, in a folder of its own."""
    sent = MontyDecoder().process_decoded(json.loads(json.dumps(jsanitize(job.as_dict()))))
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    options = {"create_folders": True, "raise_immediately": True, "log": False}
    responses = run_locally(sent, store=store, root_dir=folder, **options)[job.uuid]
    return responses[max(responses)].output


def label(frame: Frame, folder: Path, reference: VaspReference | None = None) -> SinglePoint:
    """One label."""
    return run((reference or bound()).static([frame]), folder)[0]


def judged(point: SinglePoint, reference: VaspReference, frame: Frame | None = None) -> Label:
    """What the quality gate says of it."""
    own = reference.settings_hash, PROFILE, reference.settings
    return judge_point(frame or licl(), point, *own)


# --- settings ---


def test_the_hash_follows_physics_not_names(vasp) -> None:
    reference = bound()
    renamed = VaspReference(name="another", climb=False).bind(licl().to_structure())
    assert renamed.settings_hash == reference.settings_hash
    changes = (
        {"functional": "PBEsol"}, {"encut": 600}, {"ediff": 1e-7}, {"prec": "Normal"},
        {"lreal": "Auto"}, {"isym": -1}, {"ismear": 1}, {"sigma": 0.1}, {"k_spacing": 0.3},
        {"spin_polarized": True}, {"stress": False}, {"incar": {"IVDW": 12}}, {"version": "5.4.4"},
    )  # fmt: skip
    hashes = {bound(**change).settings_hash for change in changes} | {reference.settings_hash}
    assert len(hashes) == len(changes) + 1


def test_the_hash_follows_the_potcars(vasp, tmp_path: Path) -> None:
    before = bound()
    other = write_potcars(tmp_path / "other")
    potcar = other / "POT_GGA_PAW_PBE_54" / "POTCAR.Li_sv"
    potcar.write_text(potcar.read_text().replace("0.20000000E+01", "0.20000001E+01"))
    vasp.patch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(other))
    after = bound()
    assert before.settings["potcars"]["Cl"] == after.settings["potcars"]["Cl"]
    assert before.settings["potcars"]["Li"] != after.settings["potcars"]["Li"]
    assert before.settings_hash != after.settings_hash
    with pytest.raises(ReferenceSetupError, match=r"potcars\.Li: expected the Li_sv of the camp"):
        before.check(licl().to_structure())


def test_the_settings_say_nothing_of_a_potcar_but_name_and_hash(vasp) -> None:
    text = json.dumps(bound().as_dict(), default=str)
    assert "Li_sv" in text
    assert "made up for a test" not in text
    assert "PSCTR" not in text


@pytest.mark.parametrize(
    ("dft", "message"),
    [
        ({"potcars": {"Li": "Li_GW"}}, r"the POTCAR Li_GW in .*POT_GGA_PAW_PBE_54"),
        ({"potcars": {"Li": "Na_pv"}}, "expected one of Li, got Na_pv"),
        ({"encut": 400}, r"ENCUT of at least 499 eV, which Li_sv needs, got 400"),
        ({"potcar_set": "PBE_99"}, "potcar_set: expected one of"),
    ],
)
def test_bad_settings_are_told_at_launch(vasp, dft: dict, message: str) -> None:
    with pytest.raises(ReferenceSetupError, match=message):
        bound(**dft)


def test_an_element_without_a_recommended_potcar_is_told(vasp) -> None:
    frame = Frame.from_atoms(bulk("Xe", "fcc", a=6.2), origin="rattle", group="x")
    with pytest.raises(ReferenceSetupError, match="expected a POTCAR for Xe"):
        VaspReference().bind(frame.to_structure())


def test_missing_potcars_and_programs_are_told(vasp, tmp_path: Path) -> None:
    reference = bound()
    vasp.patch.setenv("IONLOOP_VASP_CMD", "/nowhere/vasp_std")
    with pytest.raises(ReferenceSetupError, match=r"/nowhere/vasp_std.*IONLOOP_VASP_CMD"):
        reference.check(licl().to_structure())
    vasp.patch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "gone"))
    with pytest.raises(ReferenceSetupError, match="ships no POTCARs: set PMG_VASP_PSP_DIR"):
        bound()
    vasp.patch.delitem(SETTINGS, "PMG_VASP_PSP_DIR")
    with pytest.raises(ReferenceSetupError, match="got none"):
        bound()


def test_a_reference_without_its_material_labels_nothing(vasp, tmp_path: Path) -> None:
    with pytest.raises(ReferenceSetupError, match=r"VaspReference\(\).bind"):
        label(licl(), tmp_path, VaspReference())
    assert vasp.n_runs == 0


def test_tags_of_our_own_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"got \['ENCUT'\]; use the fields"):
        VaspSettings(incar={"encut": 500})
    assert VaspSettings(incar={"ivdw": 12}).incar == {"IVDW": 12}


def test_meshes_are_vasps_and_one_for_a_campaign(vasp) -> None:
    dft = VaspSettings(k_spacing=0.5)
    assert mesh_of(np.diag([12.6, 12.5, 5.14]), dft) == (1, 2, 3)
    strained = licl().to_structure()
    strained.scale_lattice(1.4 * strained.volume)
    assert mesh_of(strained.lattice.matrix, dft) == (3, 3, 3)  # 2 pi / 5.75 = 1.09
    strained.scale_lattice(2.0 * strained.volume)
    assert mesh_of(strained.lattice.matrix, dft) == (2, 2, 2)
    fixed = bind(dft, licl().to_structure())
    assert mesh_of(strained.lattice.matrix, fixed) == (3, 3, 3)


# --- input ---


def test_the_input_is_what_the_settings_say(vasp) -> None:
    dft = bound(spin_polarized=True, moments={"Li": 0.0}, incar={"IVDW": 12}).dft
    frame = licl(charge=-1)
    files = IonicVaspSet(dft=dft, charge=-1).get_input_set(vasp_structure(frame))
    incar = files["INCAR"]
    expected = {
        "ENCUT": 520, "EDIFF": 1e-6, "PREC": "Accurate", "LREAL": False, "ISYM": 0, "ISMEAR": 0,
        "SIGMA": 0.05, "ISPIN": 2, "GGA": "Pe", "LASPH": True, "ISIF": 2, "NSW": 0, "IVDW": 12,
        "NELM": 100, "LWAVE": False,
    }  # fmt: skip
    assert {key: incar[key] for key in expected} == expected
    assert incar["NELECT"] == 4 * 3 + 4 * 7 + 1
    assert incar["MAGMOM"] == [0.6] * 4 + [0.0] * 4
    assert files["POSCAR"].site_symbols == ["Cl", "Li"]
    assert files["POTCAR"].symbols == ["Cl", "Li_sv"]
    assert tuple(files["KPOINTS"].kpts[0]) == (3, 3, 3)
    neutral = IonicVaspSet(dft=dft).get_input_set(vasp_structure(licl()))["INCAR"]
    assert "NELECT" not in neutral


def test_nothing_that_custodian_may_do_edits_a_label(vasp) -> None:
    names = {kind: [type(h).__name__ for h in handlers(kind)] for kind in ("static", "md", "neb")}
    watch = ["SilentHandler", "WalltimeHandler"]
    assert names == {
        "static": [*watch, "DiedHandler"], "md": watch,
        "neb": ["SilentHandler", "BandWalltimeHandler", "DiedHandler"],
    }  # fmt: skip


# --- labels ---


def test_a_label_is_the_potentials_own_to_the_last_digit(vasp, tmp_path: Path) -> None:
    frame, reference = licl(), bound()
    point = label(frame, tmp_path, reference)
    atoms = frame.to_atoms()
    atoms.calc = vasp_std.Pairs()
    energy = vasp_std.total_energy(atoms, 520.0)
    assert point.energy == pytest.approx(energy, abs=6e-9)
    np.testing.assert_allclose(point.forces, atoms.get_forces(), rtol=0, atol=6e-9)
    stress = atoms.get_stress(voigt=False)
    np.testing.assert_allclose(point.stress, stress, rtol=0, atol=1e-8 * 0.1 * GPA_EV_PER_A3)
    assert (point.converged, point.failure) == (True, None)
    assert point.engine == "vasp 6.4.2 stand-in"
    assert point.settings == reference.settings
    assert judged(point, reference).reasons == []
    assert Path(point.directory).name == f"vasp_{frame.frame_hash}"


def test_the_stand_ins_potential_has_right_forces_and_stress() -> None:
    atoms = licl().to_atoms()
    atoms.calc = vasp_std.Pairs()
    forces = calculate_numerical_forces(atoms, eps=1e-4)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-6)
    stress = calculate_numerical_stress(atoms, eps=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-7)


def test_pymatgen_reads_what_the_stand_in_wrote(vasp, tmp_path: Path) -> None:
    point = label(licl(), tmp_path)
    folder = Path(point.directory)
    run_xml = Vasprun(folder / "vasprun.xml.gz", parse_dos=False, parse_eigen=False)
    outcar = Outcar(folder / "OUTCAR.gz")
    oszicar = Oszicar(folder / "OSZICAR.gz")
    assert float(run_xml.final_energy) == outcar.final_fr_energy == point.energy
    assert oszicar.ionic_steps[-1]["F"] == pytest.approx(point.energy, abs=1e-7)
    assert len(oszicar.electronic_steps[0]) == len(run_xml.ionic_steps[0]["electronic_steps"]) == 7
    assert run_xml.converged
    assert run_xml.incar["ENCUT"] == Incar.from_file(folder / "INCAR.gz")["ENCUT"] == 520
    assert Kpoints.from_file(folder / "KPOINTS.gz").kpts == run_xml.kpoints.kpts
    asked = Poscar.from_file(folder / "POSCAR.gz").structure
    for found in (
        run_xml.final_structure,
        Poscar.from_file(folder / "CONTCAR.gz").structure,
        Xdatcar(folder / "XDATCAR.gz").structures[0],
    ):
        step = found.frac_coords - asked.frac_coords
        assert np.abs(step - np.rint(step)).max() < 1e-8
        assert [s.specie for s in found] == [s.specie for s in asked]


def test_order_of_atoms_and_orientation_change_nothing(vasp, tmp_path: Path) -> None:
    frame = licl()
    rng = np.random.default_rng(5)
    order = rng.permutation(8)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    moved = frame.model_copy(
        update={
            "symbols": [frame.symbols[i] for i in order],
            "positions": (np.array(frame.positions)[order] @ turn).tolist(),
            "cell": (np.array(frame.cell) @ turn).tolist(),
        }
    )
    first, second = run(bound().static([frame, moved]), tmp_path)
    assert second.failure is None
    assert second.energy == pytest.approx(first.energy, abs=1e-7)
    expected = np.array(first.forces)[order] @ turn
    np.testing.assert_allclose(second.forces, expected, rtol=0, atol=1e-6)
    stress = turn.T @ np.array(first.stress) @ turn
    np.testing.assert_allclose(second.stress, stress, rtol=0, atol=1e-7)


def test_a_charged_cell_trains_on_forces_alone(vasp, tmp_path: Path) -> None:
    frame, reference = licl(charge=-1), bound()
    point = label(frame, tmp_path, reference)
    verdict = judged(point, reference, frame)
    assert verdict.reasons == []
    parameters = VaspRun(Path(point.directory)).vasprun.parameters
    assert parameters["NELECT"] == 41
    atoms = to_training_atoms(verdict)
    assert (atoms.info["config_energy_weight"], atoms.info["config_stress_weight"]) == (0, 0)
    neutral = label(licl(), tmp_path, reference)
    np.testing.assert_allclose(point.forces, neutral.forces, atol=1e-7)
    assert point.settings_hash == neutral.settings_hash


def test_stress_can_be_left_out(vasp, tmp_path: Path) -> None:
    reference = bound(stress=False)
    point = label(licl(), tmp_path, reference)
    assert (point.stress, reference.has_stress) == (None, False)
    assert judged(point, reference).reasons == []


# --- failures ---

#: Of calculations.
KINDS = ("static", "md", "relax", "neb")
#: Without an answer: the reason says which file says what.
UNUSABLE = {
    "killed": "calculation failed: .*vasprun.xml",
    "oom": "calculation failed: .*oom_kill",
    "truncated": r"expected a whole vasprun.xml, got \d+ bytes",
    "walltime": "stopped near the end of the worker's wall time, by a STOPCAR",
    "refuse": "VERY BAD NEWS",
    "empty": "expected a whole vasprun.xml, got none; its last words: .*libmkl.so",
}


@pytest.mark.parametrize("mode", UNUSABLE)
def test_what_gives_no_answer_is_quarantined_with_its_reason(
    vasp, tmp_path: Path, mode: str
) -> None:
    reference = bound()
    vasp.fail(mode)
    point = label(licl(), tmp_path, reference)
    assert re.search(UNUSABLE[mode], judged(point, reference).reasons[0])
    assert (point.energy, point.forces, point.converged) == (None, None, False)
    assert judged(point, reference).directory == point.directory
    assert Path(point.directory, "INCAR").exists() or Path(point.directory, "INCAR.gz").exists()
    # What died without a word or had no time is tried again; what VASP said itself is not.
    again = mode in {"killed", "oom", "empty", "walltime"}
    assert vasp.n_runs == (1 + MAX_RESTARTS if again else 1)


#: With an answer: the facts that the gate judges, as VASP's own files have them.
FACTS = {
    "unconverged": {"converged": False, "n_scf": 100, "scf_limit": 100},
    "order": {"symbols": ["Cl", "Li"] * 4},
    "charge": {"charge": -1.0},
    "nostress": {"stress": None},
    "noforces": {"forces": None},
    "moment": {"magnetization": 3.0},
    "version": {"engine": "vasp 6.3.0"},
}


@pytest.mark.parametrize("mode", FACTS)
def test_facts_are_those_of_the_output(vasp, tmp_path: Path, mode: str) -> None:
    reference, frame = bound(spin_polarized=True), licl()
    sound = {
        "converged": True, "n_scf": 7, "scf_limit": 100, "symbols": ["Li", "Cl"] * 4,
        "charge": 0.0, "magnetization": 0.0, "engine": "vasp 6.4.2 stand-in",
    }  # fmt: skip
    vasp.fail(f"{mode}:1")
    point = label(frame, tmp_path / "bad", reference)
    facts = {**sound, **FACTS[mode]}
    assert {key: getattr(point, key) for key in facts} == facts
    assert point.failure is None
    assert point.energy is not None  # the numbers stay, for whoever wants to look
    good = label(frame, tmp_path / "good", reference)
    assert {key: getattr(good, key) for key in sound} == sound
    assert good.forces is not None
    assert good.stress is not None


#: What the gate says today, without what it learns of the other facts.
JUDGED = {
    "unconverged": "SCF not converged",
    "nan": "not a number",
    "noforces": "no energy or forces",
    "version": "other settings: version: expected 6.4, got 6.3.0",
    "edited": "other settings: incar.ALGO: expected normal, got fast",
}


@pytest.mark.parametrize("mode", JUDGED)
def test_a_planted_failure_is_quarantined(vasp, tmp_path: Path, mode: str) -> None:
    reference = bound()
    vasp.fail(mode)
    point = label(licl(), tmp_path, reference)
    assert any(why.startswith(JUDGED[mode]) for why in judged(point, reference).reasons)
    assert vasp.n_runs == 1


def test_a_closed_shell_has_no_magnetization(vasp, tmp_path: Path) -> None:
    vasp.fail("moment")
    assert label(licl(), tmp_path, bound()).magnetization is None


def test_another_magnetization_than_stated_is_other_settings(vasp, tmp_path: Path) -> None:
    reference = bound(spin_polarized=True, magnetization=0.0)
    assert judged(label(licl(), tmp_path, reference), reference).reasons == []
    vasp.fail("moment")
    verdict = judged(label(licl(2), tmp_path, reference), reference)
    assert "other settings: magnetization: expected 0.0, got 3.0" in verdict.reasons
    assert verdict.energy is not None


def test_another_potcar_than_asked_is_other_settings(vasp, tmp_path: Path) -> None:
    reference = bound()
    folder = Path(label(licl(), tmp_path, reference).directory)
    run = VaspRun(folder)
    assert found_settings(run, reference.dft) == reference.settings
    potcars = folder / "POTCAR"
    whole = gzip.decompress(Path(f"{potcars}.gz").read_bytes()).decode()
    Path(f"{potcars}.gz").unlink()
    potcars.write_text(whole.replace("0.20000000E+01", "0.20000001E+01", 1))
    found = found_settings(VaspRun(folder), reference.dft)
    assert [line.split(":")[0] for line in differing_settings(reference.settings, found)] == [
        "potcars.Cl.sha256"
    ]
    potcars.unlink()
    gone = found_settings(VaspRun(folder), reference.dft)["potcars"]
    assert {el: potcar["sha256"] for el, potcar in gone.items()} == {"Li": None, "Cl": None}


def test_a_calculation_killed_once_is_run_again_as_it_was(vasp, tmp_path: Path) -> None:
    reference = bound()
    vasp.fail("killed:1")
    point = label(licl(), tmp_path, reference)
    assert judged(point, reference).reasons == []
    assert vasp.n_runs == 2
    assert list(Path(point.directory).glob("error.1.tar.gz"))


LAUNCHER = """[1700000000.1] [n01:4242 :0] ib_mlx5_log.c:171  UCX  ERROR Transport retry exceeded
[n01:4242] PMIX ERROR: UNREACHABLE in file server/pmix_server.c at line 2198
ERROR: ld.so: object 'libfast.so' from LD_PRELOAD cannot be preloaded: ignored.
Fatal error in PMPI_Allreduce: Other MPI error, error stack:
srun: error: n01: task 3: Exited with exit code 255
"""


def test_a_lost_node_is_no_refusal_of_vasps(vasp, tmp_path: Path) -> None:
    words = tmp_path / "launcher.txt"
    words.write_text(LAUNCHER)
    lost, script = tmp_path / "lost", tmp_path / "mpirun"
    command = os.environ["IONLOOP_VASP_CMD"]
    dies = f"touch {lost}; cat {words}; cat {words} >&2; exit 255"
    script.write_text(f"#!/bin/sh\nif [ ! -e {lost} ]; then {dies}; fi\nexec {command}\n")
    script.chmod(0o755)
    vasp.patch.setenv("IONLOOP_VASP_CMD", str(script))
    reference = bound()
    point = label(licl(), tmp_path, reference)
    assert lost.exists()
    assert judged(point, reference).reasons == []


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ("|     ERROR: there must be 1 or 3 items on line 2 of POSCAR     |", True),
        (" ERROR FEXCP: supplied Exchange-correlation table", True),
        (" VERY BAD NEWS! internal error in subroutine IBZKPT:", True),
        (" ZBRENT: fatal error in bracketing", True),
        *((line, False) for line in LAUNCHER.splitlines()),
    ],
)
def test_vasps_own_words_are_known(tmp_path: Path, words: str, refused: bool) -> None:
    (tmp_path / "vasp.out").write_text(f" running on 4 cores\n{words}\nthe end\n")
    found = VaspRun(tmp_path)
    assert found.refused == refused
    assert found.last_words() == (words.strip(" |") if refused else "the end")


def test_a_label_out_of_time_is_computed_in_a_new_launch(vasp, tmp_path: Path) -> None:
    reference, frames = bound(), [licl(1), licl(2)]
    vasp.fail("walltime:1")
    job = reference.static(frames)
    job.name, job.metadata = "label train 0.0", {"campaign_id": "c"}
    points = run(job, tmp_path)
    assert [judged(p, reference, f).reasons for p, f in zip(points, frames, strict=True)] == [
        [], []
    ]  # fmt: skip
    names = [Path(line).name for line in vasp.log.read_text().splitlines()]
    first, second = (f"vasp_{frame.frame_hash}" for frame in frames)
    assert names == [first, first, second]
    assert len({Path(p.directory).parent for p in points}) == 1


def test_nobody_limits_the_time(vasp) -> None:
    for variable in ("SLURM_JOB_END_TIME", "PBS_WALLTIME", "SBATCH_TIMELIMIT"):
        vasp.patch.delenv(variable, raising=False)
    vasp.patch.delenv("IONLOOP_VASP_WALL_TIME_S", raising=False)
    assert [handlers(kind)[1].wall_time for kind in KINDS] == [None] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_each_handler_knows_what_the_worker_has_left(vasp, kind: str) -> None:
    """custodian's clock began long ago; SLURM says when the job ends."""
    vasp.patch.delenv("IONLOOP_VASP_WALL_TIME_S", raising=False)
    vasp.patch.setenv("CUSTODIAN_WALLTIME_START", "Mon Jan 01 00:00:00 UTC 2024")
    vasp.patch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 7200))
    handler = handlers(kind)[1]
    end = handler.start_time.timestamp() + handler.wall_time
    assert end == pytest.approx(time.time() + 7200, abs=5)


def test_what_is_finished_is_never_computed_again(vasp, tmp_path: Path) -> None:
    from ionloop.reference.vasp.makers import VaspStaticMaker

    reference, frame = bound(), licl()
    maker = VaspStaticMaker(input_set_generator=IonicVaspSet(dft=reference.dft))
    first = maker.compute(frame, tmp_path)
    folder = Path(first.directory)
    with gzip.open(folder / "OUTCAR.gz", "rt") as zipped:  # killed while zipping
        (folder / "OUTCAR").write_text(zipped.read())
    (folder / "OUTCAR.gz").write_bytes(b"half")
    assert maker.compute(frame, tmp_path) == first
    assert vasp.n_runs == 1
    maker.compute(licl(2), tmp_path)
    assert vasp.n_runs == 2
    shutil.rmtree(folder)
    assert maker.compute(frame, tmp_path).energy == first.energy
    assert vasp.n_runs == 3


@pytest.mark.parametrize("mode", ["walltime", "unconverged", "truncated", "nostress", "charge"])
def test_what_ended_without_a_good_label_is_computed_again(vasp, tmp_path: Path, mode: str) -> None:
    from ionloop.reference.vasp.makers import VaspStaticMaker

    maker = VaspStaticMaker(input_set_generator=IonicVaspSet(dft=bound().dft))
    vasp.fail(f"{mode}:1")
    bad = maker.compute(licl(), tmp_path)
    assert vasp.n_runs == 1
    good = maker.compute(licl(), tmp_path)
    assert (good.failure, good.converged, good.charge, vasp.n_runs) == (None, True, 0.0, 2)
    assert good.stress is not None
    assert good != bad
    aside = attempts(Path(good.directory))
    assert [path.name for path in aside] == ["failed.1"]
    assert list(aside[0].glob("OUTCAR*"))
    assert maker.compute(licl(), tmp_path) == good
    assert vasp.n_runs == 2


def test_a_large_force_is_not_computed_again(vasp, tmp_path: Path) -> None:
    from ionloop.reference.vasp.makers import VaspStaticMaker

    maker = VaspStaticMaker(input_set_generator=IonicVaspSet(dft=bound().dft))
    atoms = licl().to_atoms()
    atoms.positions[1] = atoms.positions[0] + [1.0, 0.0, 0.0]
    frame = Frame.from_atoms(atoms, origin=Origin.RATTLE, group="test")
    point = maker.compute(frame, tmp_path)
    assert judged(point, bound(), frame).reasons[0].startswith("force above the ceiling")
    assert maker.compute(frame, tmp_path) == point
    assert vasp.n_runs == 1


def test_a_planted_input_error_is_caught(vasp, tmp_path: Path) -> None:
    reference = bound()
    tags = IonicVaspSet.tags

    def wrong(self: IonicVaspSet, structure: object) -> dict:
        return tags(self, structure) | {"SIGMA": "wide"}

    vasp.patch.setattr(IonicVaspSet, "tags", wrong)
    reason = judged(label(licl(), tmp_path, reference), reference).reasons[0]
    assert "Error reading item SIGMA from file INCAR" in reason


def test_a_users_atomate2_configuration_changes_no_label(vasp, tmp_path: Path) -> None:
    from atomate2 import SETTINGS as ATOMATE2

    vasp.patch.setattr(ATOMATE2, "VASP_INCAR_UPDATES", {"ENCUT": 300, "ALGO": "Fast"})
    reference = bound()
    assert judged(label(licl(), tmp_path, reference), reference).reasons == []


def test_the_gamma_program_runs_where_gamma_is_enough(vasp, tmp_path: Path) -> None:
    script = tmp_path / "vasp_gam"
    command = os.environ["IONLOOP_VASP_CMD"]
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/gamma_ran\nexec {command}\n")
    script.chmod(0o755)
    vasp.patch.setenv("IONLOOP_VASP_GAMMA_CMD", str(script))
    label(licl(), tmp_path, bound())
    assert not (tmp_path / "gamma_ran").exists()
    reference = bound(k_mesh=(1, 1, 1))
    assert judged(label(licl(), tmp_path, reference), reference).reasons == []
    assert (tmp_path / "gamma_ran").exists()


def test_settings_are_those_of_the_files_after_the_run(vasp, tmp_path: Path) -> None:
    reference = bound()
    folder = Path(label(licl(), tmp_path, reference).directory)
    with gzip.open(folder / "KPOINTS.gz", "rt") as zipped:
        assert "3 3 3" in zipped.read()
    other = reference.dft.model_copy(update={"k_mesh": (2, 2, 2)})
    assert found_settings(VaspRun(folder), other)["k_points"]["mesh"] == [3, 3, 3]


@pytest.mark.parametrize(
    ("line", "cores"),
    [
        (" running on   16 total cores", 16),
        (" running    4 mpi-ranks, with    2 threads/rank, on    1 nodes", 8),
        (" running    4 mpi-ranks, on    1 nodes", 4),
        (" distrk:  each k-point on    2 cores,    1 groups", None),
    ],
)
def test_cores_by_the_outcar(tmp_path, line, cores):
    (tmp_path / "OUTCAR").write_text(f" vasp.6.4.2\n{line}\n")
    assert VaspRun(tmp_path).cores == cores
