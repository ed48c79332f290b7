from __future__ import annotations

import pytest
from jobflow import OutputReference

from ionloop.errors import TrainingError
from ionloop.profile import Profile
from ionloop.train.maker import CommitteeMaker
from ionloop.train.schema import Hyperparameters

PROFILE = Profile(name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1})


def flow(maker: CommitteeMaker, previous: list[str], generation: int = 2):
    return maker.make(
        generation, ["s0", "s1", "s2"], previous, PROFILE, {"Li": -1.0, "Cl": -2.0}, 5,
        OutputReference("s2").n_admitted,
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 0, -1])
def test_a_committee_of_one_is_refused(size):
    with pytest.raises(TrainingError, match=f"needs >= 2 models, got {size}; raise"):
        CommitteeMaker(size=size)


def test_hyperparameters_come_back_from_their_dictionary():
    maker = CommitteeMaker(size=2, hyperparameters=Hyperparameters(epochs=7))
    again = CommitteeMaker.from_dict(maker.as_dict())
    assert again == maker
    assert CommitteeMaker(hyperparameters={"epochs": 7}).hyperparameters.epochs == 7
    assert CommitteeMaker().size == 4


def test_every_member_starts_from_its_own_predecessor():
    jobs = flow(CommitteeMaker(size=3), ["m0", "m1", "m2"]).jobs
    assert [job.name for job in jobs] == [
        "train member 0 generation 2", "train member 1 generation 2",
        "train member 2 generation 2", "calibrate generation 2", "last layers generation 2",
    ]  # fmt: skip
    assert [job.function_args[0] for job in jobs[:3]] == [0, 1, 2]
    assert [job.function_args[3] for job in jobs[:3]] == ["m0", "m1", "m2"]
    assert all(job.config.expose_store for job in jobs)


def test_a_committee_that_grew_trains_its_new_members_from_nothing():
    jobs = flow(CommitteeMaker(size=3), ["m0"]).jobs
    assert [job.function_args[3] for job in jobs[:3]] == ["m0", None, None]


def test_members_wait_for_labels_and_calibration_for_members():
    found = flow(CommitteeMaker(size=2), [])
    first, second, calibration, layers = found.jobs
    assert set(first.input_uuids) == set(second.input_uuids) == {"s2"}
    assert set(calibration.input_uuids) == {first.uuid, second.uuid}
    assert set(layers.input_uuids) == {first.uuid, second.uuid}
    assert found.output["last_layers"].uuid == layers.uuid
    assert [m.uuid for m in found.output["members"]] == [first.uuid, second.uuid]
    assert found.output["calibration"].uuid == calibration.uuid


def test_a_missing_foundation_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(TrainingError, match=r"expected a MACE model at .*none.model, found none"):
        CommitteeMaker(foundation=str(tmp_path / "none.model")).check()
    (tmp_path / "here.model").touch()
    CommitteeMaker(foundation=str(tmp_path / "here.model")).check()
    CommitteeMaker().check()


def test_new_labels_are_held_to_the_committee_that_chose_them():
    """The job waits for the labels; the committee is that of the generation before."""
    waits = OutputReference("shard").n_admitted
    one = CommitteeMaker(size=2).foresight(2, "shard", ["m0", "m1"], "before", PROFILE, 7, waits)
    assert one.input_uuids == ("shard",)
    assert one.function_args[:4] == (["m0", "m1"], "before", "shard", 2)
    assert one.config.expose_store
