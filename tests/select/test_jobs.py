from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from jobflow import CURRENT_JOB, JobStore
from maggma.stores import MemoryStore
from monty.json import jsanitize

from ionloop.explore.schema import BandSet, Exploration, FoundBands
from ionloop.explore.uncertainty import fingerprint
from ionloop.frame import Frame, HopTag, Origin
from ionloop.label.schema import Label, LabelShard
from ionloop.profile import Budget, Profile
from ionloop.reference.schema import Trajectory
from ionloop.seed.schema import Displacements
from ionloop.select.jobs import select_frames
from ionloop.select.schema import Selection
from ionloop.select.strained import strained_candidates
from ionloop.train.mace import committee_calculator
from ionloop.train.schema import Calibration, Member

CELL = 8.0 * np.eye(3)
PLAN = Displacements(n_rattle=0, n_strain=6)
CALIBRATION = Calibration(
    generation=0, n_frames=4, n_ions=80, held_out="random", scale=2.0, scale_90=3.0,
    coverage_90=0.91, rmse_forces=0.07, sigma_lo=0.1, sigma_hi=0.5, curve=[],
)  # fmt: skip
counter = itertools.count()


def frame(origin: Origin, uncertainty: float | None = 0.2, group: str = "g") -> Frame:
    n = next(counter)
    rng = np.random.default_rng(n)
    positions = np.array([[0.0, 0, 0], [4.0, 4.0, 4.0]]) + rng.normal(scale=0.2, size=(2, 3))
    hop = HopTag(ion=0, progress=float(rng.random()), path_class="a", event=f"e{n % 3}")
    return Frame(
        symbols=["Li", "Cl"],
        positions=positions.tolist(),
        cell=CELL.tolist(),
        origin=origin,
        group=group,
        hop=hop if origin in (Origin.HOP, Origin.SADDLE) else None,
        uncertainty=uncertainty,
        descriptor=rng.normal(size=5).tolist(),
    )


def exploration(frames: list[Frame]) -> Exploration:
    trajectory = Trajectory.from_positions(
        np.zeros((2, 2, 3)), Atoms("LiCl", cell=CELL), temperature=900.0, n_steps=5,
        frame_interval_fs=10.0, group="g", engine="mace", wall_s=1.0,
    )  # fmt: skip
    return Exploration(
        generation=0, temperature=900.0, group="g", n_mobile=1, time_ps=1.0, unphysical=False,
        hops=[], n_checked=1, n_trusted=1, sigma_quantiles=[], frames=frames,
        trajectory=trajectory, wall_s=1.0,
    )  # fmt: skip


def found_bands(frames: list[Frame]) -> FoundBands:
    return FoundBands(
        generation=0, bands=[], n_imaginary=[], frames=frames, n_events=1, n_returned=0, n_broken=0,
        wall_s=1.0,
    )  # fmt: skip


def bands(frames: list[Frame]) -> BandSet:
    return BandSet(
        generation=0, bands=[], barriers={}, barrier_spread={}, frames=frames, n_unphysical=0,
        wall_s=1.0,
    )  # fmt: skip


@pytest.fixture
def found() -> list[Frame]:
    origins = [Origin.HOP] * 20 + [Origin.UNCERTAIN] * 10 + [Origin.RANDOM] * 10
    return [frame(origin) for origin in origins]


@pytest.fixture
def saddles() -> list[Frame]:
    return [frame(Origin.SADDLE) for _ in range(7)]


def shard(hashes: list[str] = (), labelled: list[Frame] = (), refused: list[Frame] = ()):
    """A batch: frames that the test knows by hash alone, labels, and refused labels."""
    labels, quarantined = (
        [
            Label(
                frame=f, frame_hash=f.frame_hash, settings_hash="s", engine="e", wall_s=0.0,
                directory="", reasons=reasons,
            )
            for f in frames
        ]
        for frames, reasons in ((labelled, []), (refused, ["SCF not converged"]))
    )  # fmt: skip
    return LabelShard(
        generation=0, purpose="train", labels=labels, quarantined=quarantined,
        frame_hashes=[*hashes, *(x.frame_hash for x in (*labels, *quarantined))],
        n_admitted=len(labels), n_quarantined=len(quarantined), reasons={}, counts={},
        settings_hash="s", wall_s=0.0,
    )  # fmt: skip


def select(
    found: list[Frame],
    saddles: list[Frame],
    *shards: LabelShard,
    seed: int = 0,
    reserve: int = 0,
    member: Member | None = None,
    min_distance: float = 0.0,
    **budget: int,
) -> Selection:
    """Run the job as a worker does: shards and members are read from its store."""
    store = JobStore(MemoryStore())
    store.connect()
    outputs = {f"shard-{i}": one for i, one in enumerate(shards)} | {"member": member}
    for uuid, output in outputs.items():
        plain = jsanitize(output, strict=True, enum_values=True)
        store.update({"uuid": uuid, "index": 1, "output": plain})
    profile = Profile(
        name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1},
        budget=Budget(labels_per_generation=20, **budget),
    )  # fmt: skip
    half = len(found) // 2
    CURRENT_JOB.store = store
    try:
        return select_frames.original(
            [[exploration(found[:half])], [exploration(found[half:])]], bands(saddles[:4]),
            found_bands(saddles[4:]), CALIBRATION, list(outputs)[:-1], profile, 1, PLAN,
            min_distance, seed, ["member"], reserve,
        )  # fmt: skip
    finally:
        CURRENT_JOB.reset()


def test_the_budget_is_split_by_origin(found, saddles):
    s = select(found, saddles)
    assert s.counts == {"hop": 8, "saddle": 4, "uncertain": 4, "strain": 2, "random": 2}
    assert len(s.frames) == 20
    assert s.candidates["saddle"] == 7
    assert s.generation == 1


def test_chosen_frames_belong_to_the_generation_that_labels_them(found, saddles):
    s = select(found, saddles)
    assert {f.generation for f in s.frames} == {1}
    assert len({f.frame_hash for f in s.frames}) == 20


def test_a_frame_that_was_asked_for_is_not_asked_again(found, saddles):
    known = [f.frame_hash for f in found[:15]] + [saddles[0].frame_hash]
    s = select(found, saddles, shard(known[:6]), shard(known[6:]))
    assert not {f.frame_hash for f in s.frames} & set(known)
    assert s.n_known == 16


@pytest.mark.parametrize(
    ("labels_max", "reserve", "n"),
    [(113, 0, 20), (112, 0, 19), (100, 0, 7), (100, 5, 2), (100, 7, 0), (100, 30, 0), (90, 0, 0)],
)
def test_the_last_batch_shrinks_to_what_is_left(found, saddles, labels_max, reserve, n):
    known = shard([f"known-{i}" for i in range(93)])
    s = select(found, saddles, known, labels_max=labels_max, reserve=reserve)
    assert len(s.frames) == sum(s.counts.values()) == n
    assert s.budget_left == max(labels_max - 93 - reserve, 0)


# ---------------------------------------------------------------- near-duplicates of labels


@pytest.fixture(scope="session")
def described(model_path):
    """Give a frame the fingerprint that the committee gives it, of its ion."""
    calculator = committee_calculator([model_path, model_path])

    def describe(f: Frame) -> Frame:
        return f.model_copy(update={"descriptor": fingerprint(calculator, f.to_atoms(), 0)})

    return describe


def moved(f: Frame, by: float) -> Frame:
    positions = [[x + by * i for x in row] for i, row in enumerate(f.positions)]
    return f.model_copy(update={"positions": positions})


@pytest.mark.parametrize("role", ["labelled", "refused"])
def test_near_duplicates_of_labelled_frames_are_left_out(member, described, role):
    """What an older committee wrote on the labelled frame says nothing, not even in length."""
    # An ion near a chloride ion: 2 to 3 Å, within the model's cut-off.
    near = [
        frame(Origin.HOP).model_copy(
            update={"positions": [[0.0, 0.0, 0.0], [2.0 + 0.1 * n, 0.3, 0.1 * n]]}
        )
        for n in range(8)
    ]
    labelled = moved(near[2], 1e-3).model_copy(update={"descriptor": [1.0, 2.0, 3.0]})
    candidates = [described(f) for f in near]
    batch = shard(**{role: [labelled]})
    assert near[2].frame_hash not in batch.frame_hashes
    s = select(candidates, [], batch, member=member, min_distance=0.1)
    assert s.n_duplicates >= 1
    chosen = {f.frame_hash for f in s.frames}
    assert near[2].frame_hash not in chosen
    assert {near[0].frame_hash, near[7].frame_hash} <= chosen
    # Without the label it is as good as any.
    s = select(candidates, [], shard(["other"]), member=member, min_distance=0.1)
    assert near[2].frame_hash in {f.frame_hash for f in s.frames}


def test_frames_above_the_ceiling_are_left_out_but_random_ones_and_saddles(saddles):
    wild = [frame(origin, 0.9) for origin in (Origin.HOP, Origin.UNCERTAIN, Origin.RANDOM) * 5]
    far = [f.model_copy(update={"uncertainty": 0.9}) for f in saddles]
    s = select(wild, far)
    assert {"hop", "uncertain"}.isdisjoint({k for k, n in s.counts.items() if n})
    assert s.counts["random"] == 2
    assert s.counts["saddle"] > 0
    assert s.n_untrusted == 10


def test_selection_repeats_with_its_seed(found, saddles):
    hashes = [
        Counter(f.frame_hash for f in select(found, saddles, seed=s).frames) for s in (0, 0, 1)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


# ---------------------------------------------------------------- strained


def test_strained_candidates_are_other_cells_of_found_frames(found):
    rng = np.random.default_rng(0)
    for k, f in enumerate(found):
        f.group = f"run-{k}"
    made = strained_candidates(found, PLAN, np.inf, rng)
    assert len(made) == 6
    volumes = [abs(np.linalg.det(f.cell)) / 512 - 1 for f in made]
    assert 0 < max(np.abs(volumes)) <= PLAN.volume_fraction + 1e-9
    assert len(set(volumes)) == 6
    assert len({f.group for f in made}) == 6
    for f in made:
        # Its parent's group, so that no split parts the two.
        (parent,) = [x for x in found if x.group == f.group]
        assert fractional(f) == pytest.approx(fractional(parent), abs=0.03)
        assert f.origin is Origin.STRAIN
        assert (f.uncertainty, f.descriptor, f.hop) == (None, None, None)


def test_random_frames_are_not_strained():
    """Their copies would be trained on, and leak what calibrates."""
    random = [frame(Origin.RANDOM) for _ in range(10)]
    assert strained_candidates(random, PLAN, np.inf, np.random.default_rng(0)) == []
    one = frame(Origin.HOP)
    (made,) = strained_candidates([*random, one], PLAN, np.inf, np.random.default_rng(0))
    assert fractional(made) == pytest.approx(fractional(one), abs=0.03)


def test_what_the_ceiling_refuses_does_not_come_back_strained():
    """A strained copy has no uncertainty of its own to be refused by."""
    high = [frame(origin, uncertainty=0.9) for origin in (Origin.UNCERTAIN, Origin.HOP)]
    saddle = frame(Origin.SADDLE, uncertainty=0.9)
    (made,) = strained_candidates([*high, saddle], PLAN, 0.5, np.random.default_rng(0))
    assert fractional(made) == pytest.approx(fractional(saddle), abs=0.03)


def fractional(f: Frame) -> np.ndarray:
    return np.array(f.positions) @ np.linalg.inv(f.cell)
