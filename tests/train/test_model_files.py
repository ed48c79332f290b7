"""A model is a pickle: none is loaded that isn't the expected one."""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ionloop.document import Blob
from ionloop.errors import TrainingError
from ionloop.train import jobs
from ionloop.train.jobs import parent_model
from ionloop.train.mace import committee_calculator
from ionloop.train.maker import CommitteeMaker
from ionloop.train.model_files import (
    describe_model,
    foundation_bytes,
    model_bytes,
    own_folder,
    private_file,
)
from ionloop.train.schema import Hyperparameters, Member, ModelFile


class Evil:
    """A pickle that does something when it is loaded."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self):
        return Path.touch, (self.flag,)


def member(data: bytes, **changes) -> Member:
    blob = Blob.from_bytes(data, "member.model")
    fields = {
        "index": 1, "seed": 1, "generation": 0, "warm_start": False, "n_train": 1, "n_valid": 1,
        "model_hash": blob.sha256, "model_file": blob, "log": [],
        "hyperparameters": Hyperparameters(), "mace_version": "0", "wall_s": 1.0, **changes,
    }  # fmt: skip
    return Member(**fields)


def test_a_member_comes_back_if_it_is_the_trained_one():
    assert model_bytes(member(b"a model")) == b"a model"


def test_another_file_in_gridfs_is_refused_though_its_own_hash_is_right():
    """Who changes the blob changes its hash too; the member's document has another one."""
    changed = member(b"a model", model_file=Blob.from_bytes(b"another", "member.model"))
    with pytest.raises(TrainingError, match="member 1 of generation 0: expected a model with"):
        model_bytes(changed)
    cut = Blob.from_bytes(b"a model", "member.model").model_copy(update={"content": "YWI="})
    with pytest.raises(ValueError, match="expected sha256"):
        model_bytes(member(b"a model", model_file=cut))


def test_a_changed_model_is_never_unpickled(tmp_path, monkeypatch):
    flag = tmp_path / "flag"
    evil = pickle.dumps(Evil(flag))
    changed = member(b"a model", model_file=Blob.from_bytes(evil, "member.model"))
    monkeypatch.setattr(jobs, "fetch_outputs", lambda _: [changed])
    with pytest.raises(TrainingError, match="sha256"):
        parent_model("uuid", None)
    with pytest.raises(TrainingError, match="sha256"):
        committee_calculator([model_bytes(changed)])
    assert not flag.exists()
    pickle.loads(evil)
    assert flag.exists()  # it would have


def test_stored_models_are_loaded_without_a_file(tmp_path, monkeypatch):
    from untrained_mace import write_model

    path = write_model(tmp_path / "a.model")
    data = model_bytes(member(path.read_bytes()))
    path.unlink()
    monkeypatch.chdir(tmp_path)
    calculator = committee_calculator([data, data])
    assert calculator.num_models == 2
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TrainingError, match="expected MACE models in the store"):
        committee_calculator([b"nothing"])


# ---------------------------------------------------------------- a foundation model


@pytest.fixture
def foundation(tmp_path) -> Path:
    path = tmp_path / "mace.model"
    path.write_bytes(b"a foundation")
    return path


SHA256 = hashlib.sha256(b"a foundation").hexdigest()


def test_a_foundation_is_the_file_that_the_campaign_was_made_with(foundation):
    known = describe_model(foundation)
    assert known == ModelFile(path=str(foundation), sha256=SHA256)
    assert parent_model(None, known) == foundation_bytes(known) == b"a foundation"
    assert parent_model(None, None) is None
    foundation.write_bytes(b"another one")
    with pytest.raises(TrainingError, match=f"sha256 {SHA256}, got .*; put that file there"):
        parent_model(None, known)
    foundation.unlink()
    with pytest.raises(TrainingError, match=r"expected a MACE model at .*mace\.model, found none"):
        parent_model(None, known)


def test_a_maker_is_pinned_to_its_foundation(foundation):
    maker = CommitteeMaker(foundation=str(foundation))
    pinned = maker.pinned()
    assert (maker.foundation_sha256, pinned.foundation_sha256) == (None, SHA256)
    assert CommitteeMaker.from_dict(pinned.as_dict()) == pinned
    assert CommitteeMaker().pinned() == CommitteeMaker()
    foundation.write_bytes(b"another one")
    assert pinned.pinned() == pinned
    with pytest.raises(TrainingError, match="expected the foundation model"):
        pinned.check()
    with pytest.raises(TrainingError, match="expected the foundation model"):
        replace(maker, foundation_sha256="0" * 64).check()


def test_members_without_predecessor_are_given_the_pinned_foundation(foundation):
    from ionloop.profile import Profile

    profile = Profile(name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1})
    maker = CommitteeMaker(size=2, foundation=str(foundation)).pinned()
    foundation.unlink()  # a worker makes later generations, and may not have it
    for previous, expected in ([], SHA256), (["m0", "m1"], None):
        flow = maker.make(0, ["s"], previous, profile, {}, 5, 1)
        given = flow.jobs[0].function_args[9]
        assert (given.sha256 if given else None) == expected


# ---------------------------------------------------------------- files that must be there


def test_a_model_lies_where_its_user_alone_can_change_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old = os.umask(0)
    try:
        with private_file(b"x") as path:
            assert path.read_bytes() == b"x"
            assert path.is_relative_to(tmp_path)
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not path.exists()
        own_folder(tmp_path / "mace")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "mace").stat().st_mode) & 0o022 == 0
    own_folder(tmp_path / "mace")


def test_checkpoints_that_others_could_have_written_are_refused(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o775)
    with pytest.raises(TrainingError, match=r"got one that others may write.*chmod go-w"):
        own_folder(shared)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(TrainingError, match="got a link"):
        own_folder(link)
