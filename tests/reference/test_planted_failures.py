"""Failures planted into real calculations: what each became, in a table that can't lie.

The table stands in ``docs/reference/failures.md``; its rows are made of the cases below.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk

from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.profile import Profile
from ionloop.reference.base import Reference
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.quality import judge_point, refuse_jumps
from ionloop.reference.vasp import VaspReference
from ionloop.reference.vasp.settings import VaspSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:POTCAR data with symbol"),
    pytest.mark.filterwarnings("ignore:Structure charge:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is an unconverged VASP run"),
]

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "reference" / "failures.md"
#: Coarse and fast: what is planted doesn't depend on the grid.
COARSE = {"cutoff": 100, "rel_cutoff": 30, "n_grids": 3}


@dataclass(frozen=True)
class Plant:
    """A failure, and what must become of it.

    Parameters
    ----------
    what
        What was planted, in the table's words.
    reason
        What stands in the quarantined label's reason; empty for an admitted label.
    runs
        How often the program must have been started.
    fault
        Mode of VASP's stand-in, or word in CP2K's output that a run is killed at.
    kills
        Runs of CP2K that are killed.
    dft
        Settings that differ.
    frame
        What is asked, if not rattled LiCl.
    env
        Environment that differs.
    """

    what: str
    reason: str
    runs: int = 1
    fault: str = ""
    kills: int = 0
    dft: dict[str, Any] = field(default_factory=dict)
    frame: Callable[[], Frame] | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """What became of it, as the table says it."""
        if not self.reason:
            return "admitted"
        return f"quarantined: {self.reason}"


def rattled(stdev: float = 0.05, **fields: Any) -> Frame:
    """Rattled LiCl."""
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(stdev, seed=1)
    return Frame.from_atoms(atoms, origin=Origin.RATTLE, group="planted", **fields)


def pressed(distance: float) -> Frame:
    """LiCl, one ion put closer to a neighbour, Å."""
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.positions[1] = atoms.positions[0] + [distance, 0, 0]
    return Frame.from_atoms(atoms, origin=Origin.RATTLE, group="planted")


VASP = [
    Plant("electronic steps used up at NELM", "SCF not converged", fault="unconverged"),
    Plant("energy and forces are NaN", "not a number", fault="nan"),
    Plant("killed once (SIGKILL)", "", runs=2, fault="killed:1"),
    Plant("killed at every attempt", "VASP was killed or died", 3, "killed"),
    Plant("out of memory at every attempt", "VASP was killed or died", 3, "oom"),
    Plant("vasprun.xml cut off", "expected a whole vasprun.xml", fault="truncated"),
    Plant("species in another order in the output", "species in another order", fault="order"),
    Plant(
        "stopped near the wall time (STOPCAR) in each launch",
        "stopped near the end of the worker's wall time",
        fault="walltime",
    ),
    Plant("VASP refuses the input (VERY BAD NEWS)", "VASP gave up", fault="refuse"),
    Plant("no stress in the output", "no stress", fault="nostress"),
    Plant("no forces in the output", "no energy or forces", fault="noforces"),
    Plant("one electron too many", "another charge than the frame's", fault="charge"),
    Plant("another VASP version answers", "other settings: version", fault="version"),
    Plant("INCAR edited: ALGO Fast", "other settings: incar.ALGO", fault="edited"),
    Plant("the program doesn't load", "VASP was killed or died", 3, "empty"),
    Plant("silence at every attempt", "VASP was killed or died", 3, "hang"),
    Plant("a force above the ceiling", "force above the ceiling", frame=lambda: pressed(1.4)),
    Plant("two atoms 0.9 Å apart", "atoms too close", frame=lambda: pressed(0.9)),
]
CP2K = [
    Plant("SCF not converged within MAX_SCF", "SCF not converged", dft={"max_scf": 2}),
    Plant("killed once (SIGKILL)", "", 2, "SCF WAVEFUNCTION", kills=1),
    Plant(
        "killed at every attempt",
        "CP2K died: killed by signal 9",
        3, "SCF WAVEFUNCTION", kills=99,
    ),
    Plant(
        "an odd number of electrons, restricted",
        "CP2K aborted",
        frame=lambda: rattled(charge=1),
    ),
    Plant(
        "another CP2K version answers",
        "expected CP2K 2099.1, got 2023.1",
        dft={"version": "2099.1"},
    ),
    Plant("a force above the ceiling", "force above the ceiling", frame=lambda: pressed(1.4)),
]  # fmt: skip

#: Failures of whole batches and campaigns, the tests that plant them, and what comes of it.
CAMPAIGN = [
    (
        "a batch below its share of good labels",
        "test_a_pause_is_mended_step_by_step_and_no_good_label_is_computed_twice",
        "the campaign pauses and says why; `ionloop resume` runs the failed labels alone",
    ),
    (
        "a worker killed (-9) while it labels, and again while it explores",
        "test_a_twice_killed_campaign_ends_as_if_it_had_not",
        "`ionloop resume` ends it; no label is computed twice",
    ),
    (
        "a worker killed (-9) in the middle of a retry",
        "test_what_a_job_stored_before_its_retry_is_not_its_answer",
        "the first answer isn't taken for the new one",
    ),
    (
        "a step of an imported vasprun.xml that used up NELM",
        "test_electronic_steps_at_the_limit_arent_converged",
        "quarantined, the file's other steps are admitted",
    ),
    (
        "an imported file cut off",
        "test_gzip_and_a_cut_file_keep_what_is_whole",
        "its whole steps are admitted",
    ),
    (
        "an imported file of another cut-off",
        "test_other_settings_are_quarantined_and_the_key_is_named",
        "quarantined with the key",
    ),
    (
        "imported labels of settings that aren't the campaign's",
        "test_a_campaign_refuses_a_shard_of_other_settings_by_key",
        "the campaign refuses them and names the key",
    ),
]


@pytest.fixture
def profile() -> Profile:
    """Limits as a user has them."""
    return Profile(
        name="planted",
        mobile_ion="Li",
        formal_charges={"Li": 1, "Cl": -1},
        r_max=2.4,
        small_cell_reason="nothing is learned from it",
        hop_distance_max=4.0,
        seed_temperatures=[300],
        temperatures=[300],
        transport_temperatures=[300, 400, 500],
        force_ceiling=5.0,
    )


def label(reference: Reference, frame: Frame, folder: Path, profile: Profile) -> Label:
    """Ask for one label as a campaign's job does."""
    (point,) = [reference.static([frame]).maker.compute(frame, folder)]
    return judge_point(
        frame, point, reference.settings_hash, profile, reference.settings,
        expects_stress=reference.has_stress,
    )  # fmt: skip


def check(plant: Plant, found: Label) -> None:
    assert Path(found.directory).is_dir()
    if plant.reason:
        assert any(plant.reason in reason for reason in found.reasons), found.reasons
    else:
        assert not found.reasons


@pytest.mark.parametrize("plant", VASP, ids=lambda plant: plant.what)
def test_vasp(plant: Plant, vasp, profile: Profile, tmp_path: Path) -> None:
    frame = plant.frame() if plant.frame else rattled()
    reference = VaspReference(dft=VaspSettings(**plant.dft)).bind(frame.to_structure())
    vasp.fail(plant.fault)
    vasp.patch.setattr("ionloop.reference.vasp.runs.CHECK_EVERY", 5)
    vasp.patch.setenv("IONLOOP_VASP_FROZEN_S", "4")
    check(plant, label(reference, frame, tmp_path, profile))
    assert vasp.n_runs == plant.runs


def test_vasp_magnetization_jumps(vasp, profile: Profile, tmp_path: Path) -> None:
    """One of three labels ends in another state: only the others tell."""
    frames = [rattled(0.03 + 0.01 * i) for i in range(3)]
    dft = VaspSettings(spin_polarized=True)
    reference = VaspReference(dft=dft).bind(frames[0].to_structure())
    vasp.fail("moment:1")
    labels = refuse_jumps([label(reference, f, tmp_path, profile) for f in frames])
    assert [bool(found.reasons) for found in labels] == [True, False, False]
    assert labels[0].reasons[0].startswith("magnetization jump")


@pytest.mark.parametrize("plant", CP2K, ids=lambda plant: plant.what)
def test_cp2k(plant: Plant, machine, profile: Profile, tmp_path: Path) -> None:
    frame = plant.frame() if plant.frame else rattled()
    reference = Cp2kReference(dft=Cp2kSettings(**{**COARSE, **plant.dft}))
    machine.kill(plant.kills, "cp2k.out", plant.fault)
    check(plant, label(reference, frame, tmp_path, profile))
    assert machine.n_runs == plant.runs


def rows() -> list[str]:
    """Return the tables' rows."""
    jump = Plant("another magnetization than the other labels'", "magnetization jump")
    found = [
        f"| {plant.what} | {code} | {plant.outcome} | {plant.runs} |"
        for code, plants in (("VASP", [*VASP, jump]), ("CP2K", CP2K))
        for plant in plants
    ]
    return found + [f"| {what} | {outcome} | `{test}` |" for what, test, outcome in CAMPAIGN]


def test_the_tables_in_the_documentation_are_these() -> None:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    assert [line for line in lines if not line.startswith("| planted")] == rows()


def test_the_tests_of_campaigns_exist() -> None:
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")]
    names = {n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    assert {test for _, test, _ in CAMPAIGN} <= names
