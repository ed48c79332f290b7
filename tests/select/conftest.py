"""A real model of one committee member, not trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionloop.document import Blob
from ionloop.train.schema import Hyperparameters, Member


@pytest.fixture(scope="session")
def model_path(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "support"))
        from untrained_mace import write_model

        return write_model(tmp_path_factory.mktemp("model") / "member.model")


@pytest.fixture(scope="session")
def member(model_path) -> Member:
    blob = Blob.from_file(model_path)
    return Member(
        index=0, seed=0, generation=0, warm_start=False, n_train=1, n_valid=1,
        model_hash=blob.sha256, model_file=blob, log=[], hyperparameters=Hyperparameters(),
        mace_version="0", wall_s=0.0,
    )  # fmt: skip
