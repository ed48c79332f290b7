"""For tests and benchmarks, of users too: a throw-away real mongod, and settings around it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ionloop.settings import Settings

#: Age at which a folder that nobody holds is taken for a killed test's, s.
_STALE_S = 60.0

# Imports of ours stand in the functions: VASP's stand-in, which starts for each label, is
# below this package and needs none of them.


@contextmanager
def throwaway_mongod() -> Iterator[str]:
    """Run a mongod that ends with this block, or with this process, and yield its URI.

    Raises
    ------
    StoreError
        If there is no mongod: tests need a real one.
    """
    from ionloop.store.mongod import find_mongod, free_port, launch, local_uri

    memory = Path("/dev/shm")  # noqa: S108
    root = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    _sweep(root)
    folder = Path(tempfile.mkdtemp(prefix="ionloop-mongod-", dir=root))
    port = free_port()
    try:
        exe = find_mongod()
        with (folder / "held").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            process = launch(exe, folder / "data", folder / "log", port, dies_with_parent=True)
            try:
                yield local_uri(port)
            finally:
                process.kill()  # nothing in it is worth a clean end
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what killed tests left: 300 MB of memory each."""
    for folder in root.glob("ionloop-mongod-*"):
        try:
            if time.time() - folder.stat().st_mtime < _STALE_S:
                continue
            with (folder / "held").open("a") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        except (BlockingIOError, FileNotFoundError, PermissionError):
            continue  # in use, gone by now, or another user's


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[Settings]:
    """Set environment variables (None unsets) for a block; yield the settings that they make."""
    from ionloop.settings import get_settings

    old = {name: os.environ.get(name) for name in variables}
    try:
        _apply(variables)
        yield get_settings()
    finally:
        _apply(old)


def _apply(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
