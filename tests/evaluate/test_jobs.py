"""Jobs of the evaluation, run as a worker does: with a store, in a folder, twice."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from jobflow import CURRENT_JOB, JobStore
from maggma.stores import MemoryStore
from monty.json import jsanitize
from stored_output import put
from untrained_mace import write_model

from ionloop.document import Blob
from ionloop.errors import EvaluationError
from ionloop.evaluate.expansion import ExpansionSettings
from ionloop.evaluate.jobs import band_labels, measure_accuracy, measure_crystal, measure_stability
from ionloop.evaluate.maker import EvaluateMaker
from ionloop.evaluate.models import resolve_model
from ionloop.evaluate.stability import StabilitySettings
from ionloop.explore.driver import CommitteeDriver
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label, LabelShard
from ionloop.profile import Profile
from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.schema import Band
from ionloop.seed.schema import SeedFrames
from ionloop.train.schema import Calibration, Hyperparameters, Member

PROFILE = Profile(
    name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1}, r_max=3.8,
    small_cell_reason="a test", transport_temperatures=[5, 10, 20],
)  # fmt: skip


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Put outputs of made-up jobs where a running job reads them."""
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    monkeypatch.setattr(CURRENT_JOB, "store", store)
    monkeypatch.chdir(tmp_path)

    def keep(uuid, output):
        put(store, uuid, jsanitize(output, strict=True, enum_values=True))
        return uuid

    return keep


def member(path, index) -> Member:
    blob = Blob.from_file(write_model(path / f"{index}.model", index))
    return Member(
        index=index, seed=index, generation=0, warm_start=False, n_train=1, n_valid=1,
        model_hash=blob.sha256, model_file=blob, log=[], hyperparameters=Hyperparameters(),
        mace_version="test", wall_s=0.0,
    )  # fmt: skip


def frame(**fields) -> Frame:
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    atoms.rattle(0.05, seed=fields.pop("seed", 0))
    return Frame.from_atoms(atoms, **{"origin": Origin.RANDOM, "group": "g", **fields})


def label(of) -> Label:
    rng = np.random.default_rng(0)
    return Label(
        frame=of, frame_hash=of.frame_hash, energy=-1.0,
        forces=rng.normal(size=(8, 3)).tolist(), stress=rng.normal(size=(3, 3)).tolist(),
        settings_hash="x", engine="test", wall_s=0.0, directory="",
    )  # fmt: skip


def shard(labels) -> LabelShard:
    return LabelShard(
        generation=0, purpose="train", labels=labels, quarantined=[],
        frame_hashes=[x.frame_hash for x in labels], n_admitted=len(labels), n_quarantined=0,
        reasons={}, counts={}, settings_hash="x", wall_s=0.0,
    )  # fmt: skip


def band() -> Band:
    images = [frame(seed=i).positions for i in range(3)]
    return Band(
        symbols=frame().symbols, cell=frame().cell, images=images, energies=[0.0, 0.1, 0.0], ion=0,
        path_class="a", hop_distance=2.0, converged=True, fmax=0.05, n_force_calls=1,
        engine="test", settings_hash="x", wall_s=0.0,
    )  # fmt: skip


def calibration() -> Calibration:
    return Calibration(
        generation=0, n_frames=1, n_ions=1, held_out="none", scale=1.0, scale_90=2.0,
        coverage_90=0.9, rmse_forces=0.05, sigma_lo=0.1, sigma_hi=0.5, curve=[],
    )  # fmt: skip


def test_a_committee_is_held_to_test_labels_and_to_the_bands_labels(stored, tmp_path):
    members = [stored(f"m{i}", member(tmp_path, i)) for i in range(2)]
    known = stored("calibration", calibration())
    seeds = stored("seeds", SeedFrames(frames=[], bands=[band()], counts={}))
    images = [frame(seed=i, group="neb-0") for i in range(2)]  # the third was refused
    shards = [
        stored("other", shard([label(frame(seed=9))])),
        stored("train", shard([label(one) for one in images])),
    ]
    test = shard([label(frame(seed=i + 20, group=f"t{i}", temperature=900.0)) for i in range(3)])
    found = measure_accuracy.original(test, members, known, seeds, shards, PROFILE, 0)
    assert found.n_frames == 3
    assert found.stress.n_frames == 3
    assert [one.name for one in found.stresses] == ["random", "900 K"]
    assert [(b.path_class, b.n_images) for b in found.along_bands] == [("a", 2)]
    assert found.along_bands[0].energy_spread > 0
    assert [one.origin for one in found.uncertainty] == ["all", "random"]
    assert found.uncertainty[0].n_ions == 12
    # Runs that all ended at once give no test labels; bands have theirs all the same.
    empty = measure_accuracy.original(shard([]), members, known, seeds, shards, PROFILE, 0)
    assert (empty.n_frames, empty.energy_rmse, empty.forces_by_hop_bin) == (0, None, [])
    assert empty.along_bands == found.along_bands
    assert empty.uncertainty_missing == "there are no held-out labels"
    assert band_labels([], shards) == []


def test_a_member_s_stability_goes_on_where_it_was_killed(stored, tmp_path, monkeypatch):
    members = [stored("m0", member(tmp_path, 0))]
    short = StabilitySettings(
        picoseconds=0.1, nve_ps=0.1, time_step=0.5, store_every=10, min_height=0.0
    )
    calls, dies_at = [], [300]
    calculate = CommitteeDriver.calculate

    def counted(driver, *args, **kwargs):
        calls.append(1)
        if len(calls) == dies_at[0]:
            raise KeyboardInterrupt
        calculate(driver, *args, **kwargs)

    monkeypatch.setattr(CommitteeDriver, "calculate", counted)
    monkeypatch.setattr(Checkpoint, "due", True)  # each stored frame
    with pytest.raises(KeyboardInterrupt):
        measure_stability.original(frame(), members, 0, PROFILE, short)
    dies_at[0] = 0
    found = measure_stability.original(frame(), members, 0, PROFILE, short)
    # 150 steps of warming up and 200 of the run, of which the killed one made some 300.
    steps = len(calls)
    assert found.stopped is None
    assert found.survived_ps == pytest.approx(0.1)
    assert found.steered_by.startswith("mace member 0 ")
    assert (found.n_atoms, found.repeats) == (8, [1, 1, 1])
    assert len(found.checks) == 3
    again = measure_stability.original(frame(), members, 0, PROFILE, short)
    assert again.model_dump(exclude={"drift", "scatter", "checks"}) == found.model_dump(
        exclude={"drift", "scatter", "checks"}
    )
    # Now the run without a bath alone was made, of 200 steps.
    assert len(calls) - steps < 210
    assert steps < 300 + 60 + 210


def test_stability_can_be_left_out_and_is_refused_if_too_short():
    assert EvaluateMaker(stability_ps=0).stability(2.0, 0) is None
    assert EvaluateMaker().stability(2.0, 0).picoseconds == 500.0
    with pytest.raises(EvaluationError, match=r"nve_ps of 0\.15 ps or more, got 0"):
        EvaluateMaker(nve_ps=0.0).stability(2.0, 0)


def test_a_crystal_s_part_that_fails_is_missing_and_the_model_is_the_one_known_by_hand(
    stored, tmp_path
):
    """MACE doesn't know potassium: both parts fail, the job doesn't."""
    members = [stored(f"m{i}", member(tmp_path, i)) for i in range(2)]
    unknown = Frame.from_atoms(
        bulk("KCl", "rocksalt", a=6.3, cubic=True), origin=Origin.RANDOM, group="g"
    )
    short = ExpansionSettings(picoseconds=0.1, min_height=5.0)
    found = measure_crystal.original(unknown, members, PROFILE, static=True, expansion=short)
    by_hand = resolve_model([str(tmp_path / f"{i}.model") for i in range(2)]).facts
    assert found.model == by_hand.model_copy(update={"files": []})
    for part in (found.static, found.expansion):
        assert part.status == "missing"
        assert "19" in part.reason
        assert part.result is None
    none = measure_crystal.original(unknown, members, PROFILE, static=False, expansion=None)
    assert (none.static.status, none.expansion.status) == ("not asked", "not asked")
