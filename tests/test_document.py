"""Documents refuse unknown keys; large data come back as they went, or not at all."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import get_origin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobflow import Flow, JobConfig, JobStore, job, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pydantic import ValidationError

import ionloop
from ionloop.document import DATA_FIELDS, Blob, Document, fetch_outputs

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


@given(st.binary(max_size=300))
def test_bytes_come_back(data: bytes) -> None:
    blob = Blob(**json.loads(Blob.from_bytes(data, "x").model_dump_json()))
    assert blob.to_bytes() == data


def test_a_file_comes_back_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"\x00\xff weights")
    blob = Blob.from_file(tmp_path / "model.pt")
    assert (blob.filename, blob.to_bytes()) == ("model.pt", b"\x00\xff weights")


@pytest.mark.parametrize("part", ["content", "sha256"])
def test_a_damaged_blob_is_refused(part: str) -> None:
    other = Blob.from_bytes(b"one byte mord", "a")
    blob = Blob.from_bytes(b"one byte more", "labels.npz")
    blob = blob.model_copy(update={part: getattr(other, part)})
    with pytest.raises(ValueError, match=r"labels.npz: expected sha256 \w+, got \w+"):
        blob.to_bytes()


def test_arrays_keep_names_kinds_and_shapes() -> None:
    arrays = {
        "positions": np.random.default_rng(0).normal(size=(4, 3, 3)).astype(np.float32),
        "steps": np.arange(4),
        "none": np.zeros((0, 3)),
    }
    back = Blob.from_arrays("run.npz", **arrays).to_arrays()
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array)


def test_arrays_of_python_objects_are_never_unpickled() -> None:
    blob = Blob.from_arrays("x.npz", bad=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        blob.to_arrays()


def test_unknown_keys_are_errors() -> None:
    with pytest.raises(ValidationError, match="sha512"):
        Blob(filename="x", sha256="", content="", sha512="")
    assert Document().schema_version == 1


def test_a_document_survives_the_way_through_jobflow() -> None:
    blob = Blob.from_bytes(b"abc", "x")
    text = json.dumps(jsanitize(blob, strict=True, enum_values=True))
    assert MontyDecoder().process_decoded(json.loads(text)) == blob


# --- outputs of earlier jobs ---


@job(data=DATA_FIELDS)
def give(n: int) -> dict:
    return {"n": n, "blob": {"squared": n * n}}


@job
def gather(uuids: list[str], attributes: list[str]) -> list:
    return fetch_outputs(uuids, *attributes)


def test_outputs_come_in_the_order_asked_and_from_the_data_store() -> None:
    jobs = [give(n) for n in (3, 1, 2)]
    asked = [jobs[i].uuid for i in (2, 0, 1)]
    plain, deep = gather(asked, ["n"]), gather(asked, ["blob", "squared"])
    for reader in (plain, deep):
        reader.config = JobConfig(expose_store=True)
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    found = run_locally(
        Flow([*jobs, plain, deep], order="linear"), store=store, log=False, ensure_success=True
    )
    assert found[plain.uuid][1].output == [2, 3, 1]
    assert found[deep.uuid][1].output == [4, 9, 1]


def test_a_job_without_its_store_is_told_so() -> None:
    with pytest.raises(RuntimeError, match="expose_store=True"):
        run_locally(gather(["x"], []), log=False, raise_immediately=True)


def test_only_heavy_fields_carry_the_names_that_go_to_gridfs():
    # jobflow moves values by the name of their key, wherever it stands in an output.
    for module in pkgutil.walk_packages(ionloop.__path__, "ionloop."):
        if module.name.endswith("schema"):
            importlib.import_module(module.name)
    kinds = [Document]
    for kind in kinds:
        kinds += kind.__subclasses__()
        for name, field in kind.model_fields.items():
            if name in DATA_FIELDS:
                heavy = field.annotation is Blob or get_origin(field.annotation) is list
                assert heavy, f"{kind.__name__}.{name} would go to GridFS"
