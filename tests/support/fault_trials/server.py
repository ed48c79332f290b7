"""A mongod that can be killed and started again on the same data and port."""

from __future__ import annotations

import fcntl
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Self

from ionloop.store.mongod import find_mongod, free_port, launch, local_uri


class Server:
    """A throw-away mongod; it ends with this process."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self.folder = Path(
            tempfile.mkdtemp(prefix="ionloop-mongod-", dir=memory if memory.is_dir() else None)
        )
        # What a killed test leaves is removed by the next one: see ionloop.testing.
        self._held = (self.folder / "held").open("w")
        fcntl.flock(self._held, fcntl.LOCK_EX)
        self.port = free_port()
        self.uri = local_uri(self.port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._held.close()

    def start(self) -> None:
        """Start it, and wait until it takes writes."""
        data, log = self.folder / "data", self.folder / "log"
        self.process = launch(find_mongod(), data, log, self.port, dies_with_parent=True)

    def end(self, sig: signal.Signals) -> None:
        """End it by a signal."""
        self.process.send_signal(sig)
        self.process.wait()
