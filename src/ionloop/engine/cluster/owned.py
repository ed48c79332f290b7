"""What a worker writes counts only while its launch is its own.

A worker that nobody heard of for long is taken for dead, and its job is given to another. If
it lives after all, for example since its network was cut or SLURM had suspended it, it must
not store a second result. Each of its launches therefore has a heartbeat; who gives a job to
another sets the launch's state, and before a worker writes a result it renews its heartbeat,
which fails when the launch isn't running any more. Heartbeats are the server's time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fireworks import LaunchPad
from jobflow import JobStore

from ionloop.engine.launchpad import QuietLaunchPad
from ionloop.errors import EngineError

logger = logging.getLogger(__name__)

#: Exit status of a worker that was told to end, as a shell writes SIGTERM.
TOLD_TO_END = 143


def beat(lp: LaunchPad, launch_id: int) -> bool:
    """Renew a launch's heartbeat; return whether it still runs, that is: is its worker's."""
    query = {"launch_id": launch_id, "state": "RUNNING"}
    now = [{"$set": {"heartbeat": "$$NOW"}}]
    return bool(lp.launches.update_one(query, now).matched_count)


class OwnedLaunchPad(QuietLaunchPad):
    """FireWorks' launch pad for one worker that runs one job after another."""

    #: The launch that this process runs.
    current: int | None = None
    #: The campaign of the job that it ran last: not always the one that it saw ready.
    campaign_id: str | None = None
    #: Called with the number of each launch that begins.
    on_launch: Callable[[int], None] = staticmethod(lambda _: None)
    #: How many changes of the database are under way, one within another.
    _changes = 0
    _ending = False

    def end_process(self, *_: object) -> None:
        """End this process as a signal handler: at once, or after the change that is under way.

        A workflow stays locked where a process ends while it changes it.
        """
        self._ending = True
        if not self._changes:
            os._exit(TOLD_TO_END)

    @contextmanager
    def _changing(self, *, end: bool = True) -> Iterator[None]:
        self._changes += 1
        try:
            yield
        finally:
            self._changes -= 1
            if end and self._ending and not self._changes:
                os._exit(TOLD_TO_END)

    def checkout_fw(self, *args: Any, **kwargs: Any) -> tuple[Any, int | None]:  # noqa: ANN401
        """Check a job out, unless it was given away meanwhile, and begin its heartbeat."""
        with self._changing():
            fw, launch_id = super().checkout_fw(*args, **kwargs)
            if fw is None or launch_id is None:
                return None, None
            # A checkout waits for the workflow's lock, and nobody hears of its launch meanwhile.
            if not beat(self, launch_id):
                logger.warning("launch %d was given to another worker, and isn't begun", launch_id)
                return None, None
            self.current = launch_id
            self.campaign_id = fw.spec.get("campaign_id")
            self.on_launch(launch_id)
        return fw, launch_id

    def complete_launch(self, launch_id: int, *args: Any, **kwargs: Any) -> dict:  # noqa: ANN401
        """End a launch, unless its job was given to another worker."""
        with self._changing():
            if launch_id == self.current and not beat(self, launch_id):
                logger.warning("launch %d was given to another worker; its end is void", launch_id)
                return {}
            return dict(super().complete_launch(launch_id, *args, **kwargs))

    def restore_backup_data(self, launch_id: int, fw_id: int) -> None:
        """Restore what FireWorks kept, unless the job was given to another worker."""
        if launch_id != self.current or beat(self, launch_id):
            super().restore_backup_data(launch_id, fw_id)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make sure that the launch is still this worker's, and write.

        Raises
        ------
        EngineError
            If its job was given to another worker.
        """
        with self._changing(end=False):  # what ends the launch follows at once
            if self.current is not None and not beat(self, self.current):
                msg = (
                    f"expected launch {self.current} to be this worker's, but its job was given "
                    "to another one, since nobody had heard of this one; its result is void"
                )
                raise EngineError(msg)
            yield


class OwnedStore(JobStore):
    """A job store for one worker: it takes no result of a job that another worker has now."""

    lp: OwnedLaunchPad

    def update(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Store results, if the launch is still this worker's."""
        with self.lp.writing():
            super().update(*args, **kwargs)


def owned_launchpad(lp: LaunchPad) -> OwnedLaunchPad:
    """Make a launch pad one worker's."""
    return OwnedLaunchPad(
        host=lp.host,
        name=lp.name,
        uri_mode=True,
        strm_lvl=lp.strm_lvl,
        mongoclient_kwargs=lp.mongoclient_kwargs,
    )


def own_store(store: JobStore, lp: OwnedLaunchPad) -> OwnedStore:
    """Make a job store one worker's."""
    additional: dict[str, Any] = store.additional_stores  # type: ignore[has-type]
    owned = OwnedStore(store.docs_store, additional, store.save, store.load)
    owned.lp = lp
    return owned
