"""What every stored document has in common, and how large data are kept."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from jobflow import JobStore

#: Keys whose values go to the ``data`` store (GridFS), never into a task document.
DATA_FIELDS = ["labels", "quarantined", "frames", "bands", "model_file", "blob"]


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
    """
    from jobflow import OutputReference

    store = _exposed_store()
    path = tuple(("a", name) for name in attributes)
    return [OutputReference(uuid, path).resolve(store) for uuid in uuids]


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
