"""One launcher a campaign: a lock file on this machine, a lease in MongoDB for all others."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fireworks import LaunchPad

from ionloop.errors import EngineError
from ionloop.settings import Settings
from ionloop.store import leases
from ionloop.store.leases import Holder

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats.
BEAT_S = 2.0
#: Least silence after which a launcher counts as gone, s.
_LEAST_SILENCE_S = 30.0


class Lease:
    """A campaign's lease, kept by a thread."""

    def __init__(self, db: Any, campaign_id: str, me: Holder) -> None:  # noqa: ANN401
        self.db = db
        self.campaign_id = campaign_id
        self.me = me
        self._lost: str | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def check(self) -> None:
        """Make sure that the campaign is still ours.

        Raises
        ------
        EngineError
            If another launcher took it over, or no heartbeat reached the database.
        """
        if self._lost:
            msg = f"campaign {self.campaign_id} isn't run here any more: {self._lost}"
            raise EngineError(msg)

    def start(self) -> None:
        """Begin to send heartbeats."""
        self._thread.start()

    def stop(self) -> None:
        """End the heartbeats and give the lease back; a dead database keeps it."""
        self._end.set()
        if not self._lost and not self._thread.is_alive():
            return
        self._thread.join(timeout=2 * BEAT_S)
        if not self._thread.is_alive() and not self._lost:
            leases.give_back(self.db, self.campaign_id, self.me)

    def _keep(self) -> None:
        while not self._end.wait(BEAT_S):
            try:
                held = leases.beat(self.db, self.campaign_id, self.me)
            except Exception as error:  # whatever it is: nobody may rely on this lease
                logger.exception("no heartbeat")
                self._lost = f"no heartbeat reached the database ({type(error).__name__})"
                return
            if not held:
                self._lost = "another `ionloop` took it over"
                return


@contextmanager
def hold_lease(
    lp: LaunchPad, campaign_id: str, folder: Path, settings: Settings, *, take_over: bool = False
) -> Iterator[Lease]:
    """Hold a campaign: its run lock and its lease.

    Raises
    ------
    EngineError
        If another process holds it.
    """
    with _run_lock(folder / "lock", campaign_id):
        me = Holder.me(settings.home_dir)
        silence_s = max(settings.db_patience_s, _LEAST_SILENCE_S)
        certain = leases.take(lp.db, campaign_id, me, silence_s, by_force=take_over)
        lease = Lease(lp.db, campaign_id, me)
        lease.start()
        try:
            if not certain:
                logger.warning("campaign %s: giving its last launcher time to end", campaign_id)
                time.sleep(2 * BEAT_S)  # it notices at its next heartbeat, and kills its workers
            yield lease
        finally:
            lease.stop()


@contextmanager
def _run_lock(path: Path, campaign_id: str) -> Iterator[None]:
    """Let one process run a campaign; the kernel frees the lock when it dies."""
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"campaign {campaign_id} is run by another `ionloop`; wait for it or stop it"
            raise EngineError(msg) from error
        yield
