"""The first frames: planned displacements, and what remains when a run fails."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pydantic import ValidationError

from ionloop.frame import Frame, Origin
from ionloop.profile import Profile
from ionloop.reference.forcefield import ForceFieldReference
from ionloop.reference.schema import Trajectory
from ionloop.seed.jobs import collect_seeds, displaced_frames
from ionloop.seed.maker import SeedMaker
from ionloop.seed.schema import Displacements, Hop, SeedFrames

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")

START = Frame.from_atoms(
    bulk("LiCl", "rocksalt", a=5.14, cubic=True), origin="aimd", group="start", charge=0
)


def seeds(plan: Displacements, random_seed: int = 0) -> SeedFrames:
    return collect_seeds.original(START, [], [], plan, 1, 0, random_seed)


def trajectory(n_frames: int, group: str) -> Trajectory:
    atoms = START.to_atoms()
    rng = np.random.default_rng(n_frames)
    positions = atoms.positions + rng.normal(scale=0.1, size=(n_frames, len(atoms), 3))
    return Trajectory.from_positions(
        positions, atoms, charge=0, temperature=900.0, frame_interval_fs=10.0,
        n_steps=n_frames, group=group, engine="test", wall_s=0.0,
    )  # fmt: skip


def test_a_run_that_ended_within_its_equilibration_is_left_out(caplog) -> None:
    runs = [trajectory(2, "short"), trajectory(6, "long")]
    plan = Displacements(n_rattle=0, n_strain=0)
    found = collect_seeds.original(START, runs, [], plan, 2, 2, 0)
    assert [frame.group for frame in found.frames] == ["long", "long"]
    assert "short: left out, 2 frames of which 2 are skipped" in caplog.text


# --- displacements ---


def test_the_plan_is_kept() -> None:
    plan = Displacements(n_rattle=5, rattle_stdevs=[0.02, 0.2], n_strain=3)
    frames = displaced_frames(START, plan, np.random.default_rng(0))
    assert [frame.group for frame in frames] == [
        *(f"rattle-{n}" for n in range(5)),
        *(f"strain-{n}" for n in range(3)),
    ]
    assert Counter(frame.origin.value for frame in frames) == {"rattle": 5, "strain": 3}
    assert len({frame.frame_hash for frame in frames}) == 8
    spread = [np.std(np.subtract(f.positions, START.positions)) for f in frames[:5]]
    small, large = spread[0::2], spread[1::2]
    assert max(small) < 0.05
    assert min(large) > 0.1


def test_rattled_cells_stay_and_strained_cells_dont() -> None:
    plan = Displacements(n_rattle=2, n_strain=4, volume_fraction=0.06, shear=0.03)
    frames = displaced_frames(START, plan, np.random.default_rng(1))
    for frame in frames[:2]:
        assert frame.cell == START.cell
    volumes = [frame.to_atoms().get_volume() / 5.14**3 for frame in frames[2:]]
    assert len(set(volumes)) == 4
    assert all(0.94 <= v <= 1.06 for v in volumes)


def test_strained_copies_are_rattled_too() -> None:
    plan = Displacements(n_rattle=0, n_strain=1, strain_rattle=0.0)
    for rattle, symmetric in ((0.0, True), (0.03, False)):
        plan = plan.model_copy(update={"strain_rattle": rattle})
        (frame,) = displaced_frames(START, plan, np.random.default_rng(2))
        moved = frame.to_atoms().get_scaled_positions(wrap=False)
        still = START.to_atoms().get_scaled_positions(wrap=False)
        assert np.allclose(moved, still, atol=1e-9) == symmetric


def test_a_seed_decides_the_frames() -> None:
    plan = Displacements(n_rattle=2, n_strain=2)
    assert seeds(plan, 1) == seeds(plan, 1)
    hashes = [{f.frame_hash for f in seeds(plan, n).frames} for n in (1, 2)]
    assert not hashes[0] & hashes[1]


def test_no_displacements_are_no_frames() -> None:
    assert seeds(Displacements(n_rattle=0, n_strain=0)).frames == []


@pytest.mark.parametrize(
    "fields", [{"rattle_stdevs": []}, {"n_rattle": -1}, {"shear": 0.6}, {"rattles": 3}]
)
def test_bad_plans_are_refused(fields: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        Displacements(**fields)


# --- the stage ---


def no_hop() -> Hop:
    """A hop to where the ion is already: its band has no two ends."""
    return Hop(start=START, end=START, ion=0, distance=3.6, path_class="none", multiplicity=1)


def profile(*temperatures: float) -> Profile:
    return Profile(
        name="LiCl",
        mobile_ion="Li",
        formal_charges={"Li": 1, "Cl": -1},
        seed_temperatures=list(temperatures),
    )


def run(maker: SeedMaker, hops: list[Hop], limits: Profile, folder: Path) -> SeedFrames:
    # The Maker itself goes through JSON first, as inside a campaign.
    maker = MontyDecoder().process_decoded(jsanitize(maker, strict=True, enum_values=True))
    flow = maker.make(START, hops, ForceFieldReference(), limits, 0)
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    found = run_locally(flow, store=store, root_dir=folder, create_folders=True, log=False)
    return found[flow.output.uuid][1].output


def test_frames_of_all_kinds_come_together(tmp_path: Path) -> None:
    """Two temperatures of 11 stored frames, every second after the first three: 4 each."""
    maker = SeedMaker(
        md_steps=20,
        store_every=2,
        stride=2,
        skip=3,
        displacements=Displacements(n_rattle=2, n_strain=1),
    )
    found = run(maker, [], profile(600, 900), tmp_path)
    assert found.counts == {"aimd": 8, "rattle": 2, "strain": 1}
    assert Counter(frame.origin.value for frame in found.frames) == found.counts
    assert len({frame.frame_hash for frame in found.frames}) == 11
    groups = Counter((f.group, f.temperature) for f in found.frames if f.origin is Origin.AIMD)
    assert groups == {("aimd-0-600K", 600.0): 4, ("aimd-1-900K", 900.0): 4}


def test_one_temperature_twice_gives_two_runs(tmp_path: Path) -> None:
    maker = SeedMaker(md_steps=10, store_every=5, stride=2, skip=2)
    found = run(maker, [], profile(900, 900), tmp_path)
    first, second = (f for f in found.frames if f.origin is Origin.AIMD)
    assert first.group != second.group
    assert first.frame_hash != second.frame_hash


def test_a_band_that_fails_is_left_out(tmp_path: Path) -> None:
    maker = SeedMaker(
        md_steps=10, store_every=5, stride=1, skip=2, displacements=Displacements(n_strain=0)
    )
    found = run(maker, [no_hop()], profile(600), tmp_path)
    assert found.bands == []
    assert found.counts == {"aimd": 1, "rattle": 8}


def test_only_the_shortest_hops_get_a_band() -> None:
    maker = SeedMaker(max_bands=2)
    hops = [no_hop().model_copy(update={"path_class": f"class {n}"}) for n in range(4)]
    flow = maker.make(START, hops, ForceFieldReference(), profile(600), 0)
    assert [job.name for job in flow.jobs] == [
        "reference band class 0",
        "reference band class 1",
        "aimd 600 K",
        "collect seeds",
    ]


def test_runs_of_another_campaign_seed_are_others() -> None:
    def md_seeds(random_seed: int) -> set[int]:
        flow = SeedMaker().make(
            START, [], ForceFieldReference(), profile(600, 900, 1200), random_seed
        )
        return {job.function_args[2]["seed"] for job in flow.jobs[:3]}

    assert len(md_seeds(0)) == 3
    assert not md_seeds(0) & md_seeds(1)
