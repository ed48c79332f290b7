"""For tests and benchmarks, of users too: a throw-away real mongod, and settings around it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ionloop.settings import Settings

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
    folder = Path(
        tempfile.mkdtemp(prefix="ionloop-", dir=memory if os.access(memory, os.W_OK) else None)
    )
    port = free_port()
    try:
        exe = find_mongod()
        process = launch(exe, folder / "data", folder / "log", port, dies_with_parent=True)
        try:
            yield local_uri(port)
        finally:
            process.kill()  # nothing in it is worth a clean end
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
