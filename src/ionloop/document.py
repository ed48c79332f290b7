"""What every stored document has in common, and how large data are kept."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from jobflow import JobStore

#: Keys whose values go to the ``data`` store (GridFS), never into a task document.
DATA_FIELDS = ["labels", "quarantined", "frames", "bands", "model_file", "blob"]
#: Those that are lists: a document without one is a document with an empty one.
_LISTS = frozenset({"labels", "quarantined", "frames", "bands"})


class Document(BaseModel):
    """A document as it stands in MongoDB; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = Field(1, description="Version of this document's layout.")


class Blob(Document):
    """A file or a set of arrays, kept in GridFS.

    ``content`` is base64, since jobflow stores JSON.
    """

    filename: str = Field(description="Name that the file had, or a label of the arrays.")
    sha256: str = Field(description="Hash of the decoded bytes.")
    content: str = Field(description="The bytes in base64.")

    @classmethod
    def from_bytes(cls, data: bytes, filename: str) -> Blob:
        """Wrap bytes."""
        return cls(
            filename=filename,
            sha256=hashlib.sha256(data).hexdigest(),
            content=base64.b64encode(data).decode(),
        )

    @classmethod
    def from_file(cls, path: Path) -> Blob:
        """Wrap a file's bytes."""
        return cls.from_bytes(path.read_bytes(), path.name)

    @classmethod
    def from_arrays(cls, filename: str, **arrays: np.ndarray) -> Blob:
        """Wrap named arrays as a compressed npz."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        return cls.from_bytes(buffer.getvalue(), filename)

    def to_bytes(self) -> bytes:
        """Return the bytes, checked against their hash.

        Raises
        ------
        ValueError
            If the content does not match ``sha256``.
        """
        data = base64.b64decode(self.content)
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            msg = f"{self.filename}: expected sha256 {self.sha256}, got {found}"
            raise ValueError(msg)
        return data

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of a blob made by :meth:`from_arrays`."""
        with np.load(io.BytesIO(self.to_bytes()), allow_pickle=False) as npz:
            return {key: npz[key] for key in npz.files}


def fetch_outputs(uuids: Sequence[str], *attributes: str) -> list[Any]:
    """Read outputs of earlier jobs from inside a job, in the order of ``uuids``.

    A generation is added to a running workflow, and jobflow allows no references
    to jobs outside of an added flow; so long-lived outputs travel as uuids, and the
    jobs that need them are made with ``JobConfig(expose_store=True)``.

    Raises
    ------
    RuntimeError
        If the running job wasn't given its store.
    ValueError
        If an output isn't stored.
    """
    return list(stream_outputs(uuids, *attributes))


def stream_outputs(uuids: Sequence[str], *attributes: str) -> Iterator[Any]:
    """Read outputs one at a time, so that one alone is in memory; else as :func:`fetch_outputs`.

    With attributes, the first one's field alone is read of an output's heavy lists.
    """
    from jobflow import OutputReference

    store = _exposed_store()
    left_out = _LISTS.difference(attributes[:1]) if attributes else frozenset()
    load: Any = {"data": [name for name in DATA_FIELDS if name not in left_out]}
    for uuid in _owners(store, uuids):
        found = store.query_one({"uuid": uuid}, ["output"], sort={"index": -1}, load=load)
        output = None if found is None else found["output"]
        value = _document(output, left_out)
        if value is None:  # no document of ours, or none at all: jobflow knows what to do
            value = OutputReference(uuid).resolve(store)
        for name in attributes:
            value = value[name] if isinstance(value, dict) else getattr(value, name)
        yield value


def _document(output: object, left_out: Collection[str]) -> Document | None:
    """Make a document of a stored output; None if it's none.

    monty decodes all but the heavy lists, through whose numbers it would walk one by one.
    """
    from monty.json import MontyDecoder

    if not isinstance(output, dict) or "@class" not in output:
        return None
    light = MontyDecoder().process_decoded({k: [] if k in _LISTS else v for k, v in output.items()})
    if not isinstance(light, Document):
        return None
    fields = {k: [] if k in left_out else v for k, v in output.items() if not k.startswith("@")}
    return type(light).model_validate(fields)


def fetch_fields(uuids: Sequence[str], *names: str) -> list[dict[str, Any]]:
    """Read light fields of earlier jobs' outputs as plain JSON, in the order of ``uuids``.

    One query for all of them, and nothing of GridFS: what a campaign knows of all its labels
    but the labels themselves.

    Raises
    ------
    RuntimeError
        If the running job wasn't given its store.
    ValueError
        If an output isn't stored, or a field lies in GridFS.
    """
    store = _exposed_store()
    owners = _owners(store, uuids)
    found = _latest(store, owners, [f"output.{name}" for name in names])
    fields = []
    for uuid in owners:
        output = _output(found.get(uuid), uuid)
        for name in names:
            if isinstance(output.get(name), dict) and "blob_uuid" in output[name]:
                msg = f"expected a light field of {uuid}, got {name}: read it by fetch_outputs"
                raise ValueError(msg)
        fields.append({name: output.get(name) for name in names})
    return fields


def blobs_of(uuids: Sequence[str], fields: Sequence[str]) -> list[tuple[str, ...]]:
    """Return which blobs hold heavy fields of earlier jobs' outputs, in the order of ``uuids``.

    A field that lies in none has "". One query for all of them.

    Raises
    ------
    RuntimeError
        If the running job wasn't given its store.
    """
    store = _exposed_store()
    owners = _owners(store, uuids)
    found = _latest(store, owners, [f"output.{name}.blob_uuid" for name in fields])
    return [tuple(_blob(found.get(uuid), name) for name in fields) for uuid in owners]


def _blob(doc: dict[str, Any] | None, name: str) -> str:
    output = (doc or {}).get("output")
    value = output.get(name) if isinstance(output, dict) else None
    return str(value.get("blob_uuid", "")) if isinstance(value, dict) else ""


def _owners(store: JobStore, uuids: Sequence[str]) -> list[str]:
    """Follow outputs that are nothing but references to the jobs whose outputs they mean."""
    owners = list(uuids)
    while True:
        asked = list(dict.fromkeys(owners))
        found = _latest(store, asked, ["output.@class", "output.uuid", "output.attributes"])
        further = {
            uuid: doc["output"]["uuid"]
            for uuid, doc in found.items()
            if _is_whole_reference(doc.get("output"))
        }
        if not further:
            return owners
        owners = [further.get(uuid, uuid) for uuid in owners]


def _is_whole_reference(output: object) -> bool:
    return (
        isinstance(output, dict)
        and output.get("@class") == "OutputReference"
        and not output.get("attributes")
    )


def _latest(store: JobStore, uuids: Sequence[str], properties: list[str]) -> dict[str, Any]:
    """Return fields of the last output of each job, by uuid."""
    # A job that went on in a new launch has several outputs: the last one stays in the dict.
    # Sorted as the index is.
    order: Any = {"uuid": 1, "index": 1}
    docs = store.query({"uuid": {"$in": list(uuids)}}, list(properties), sort=order, load=False)
    return {doc["uuid"]: doc for doc in docs}


def _output(doc: dict[str, Any] | None, uuid: str) -> dict[str, Any]:
    if doc is None or not isinstance(doc.get("output"), dict):
        msg = f"expected the output of job {uuid} in the store, got none"
        raise ValueError(msg)
    return dict(doc["output"])


def fetch_if_stored(uuid: str) -> dict[str, Any] | None:
    """Read from inside a job what may not have been written, as plain JSON; None if so.

    Raises
    ------
    RuntimeError
        If the running job wasn't given its store.
    """
    found = _exposed_store().query_one({"uuid": uuid}, properties=["output"])
    return None if found is None else dict(found["output"])


def _exposed_store() -> JobStore:
    from jobflow import CURRENT_JOB

    store = CURRENT_JOB.store
    if store is None:
        msg = "expected a job with JobConfig(expose_store=True), got one without a store"
        raise RuntimeError(msg)
    return store
