"""The store that a job has on a worker of jobflow-remote.

jobflow-remote gives a job files to write its output to, which its runner moves into the
database. They know nothing of other jobs; ours read what earlier generations stored
(:func:`ionloop.document.fetch_outputs`). A worker so needs the settings' database, as a
worker of FireWorks does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobflow import CURRENT_JOB
from jobflow_remote.remote.data import MinimalORJSONStore
from maggma.core import Sort, Store

from ionloop.cores import job_cores
from ionloop.routing import function_name
from ionloop.settings import get_settings
from ionloop.store.connection import job_store

#: How jobflow-remote names a job's file of an additional store.
_ADDITIONAL = "additional_store_"


def _cores() -> int | None:
    """Return the cores of the job that runs here."""
    running = CURRENT_JOB.job
    name = "" if running is None else function_name(running)
    return job_cores(name, get_settings(), alone=True)


class Handover(MinimalORJSONStore):
    """Writes to a file of the job's folder; questions are asked of the database."""

    _earlier: Store | None = None

    def query(
        self,
        criteria: dict[str, Any] | None = None,
        properties: dict[str, Any] | list[str] | None = None,
        sort: dict[str, Sort | int] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[dict[str, Any]]:
        """Return what the file holds, or without the file what meets the criteria."""
        if not criteria:
            return super().query()
        # By name: maggma's stores don't agree on the order.
        return self._stored().query(
            criteria=criteria, properties=properties, sort=sort, skip=skip, limit=limit
        )

    def update(
        self,
        docs: list[dict[str, Any]] | dict[str, Any],
        key: list[str] | str | None = None,
    ) -> None:
        """Take documents for the file; an output is told its job's cores, for the ledger."""
        found = docs if isinstance(docs, list) else [docs]
        for doc in found:
            if "output" in doc and isinstance(doc.get("metadata"), dict):
                doc["metadata"] = {**doc["metadata"], "cores": _cores()}
        super().update(found, key)

    def close(self) -> None:
        """Write the file, and leave the database."""
        super().close()
        if self._earlier is not None:
            self._earlier.close()
            self._earlier = None

    def _stored(self) -> Store:
        """Connect to the store of the database that this file's content goes to."""
        if self._earlier is None:
            whole: Any = job_store()
            stem = Path(self.path).name.partition(".")[0]
            additional = stem.removeprefix(_ADDITIONAL)
            found = whole.docs_store if additional == stem else whole.additional_stores[additional]
            found.connect()
            self._earlier = found
        return self._earlier
