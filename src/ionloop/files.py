"""Files that appear whole or not at all, whenever a process is killed or a disk is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a path beside a file to write to; the file is replaced when the block ends well.

    What was written is on the disk before the file gets its name, so that a machine that
    loses its power has the old file or the new one. The scratch keeps the file's suffix, and
    has one name only: what a kill left of it is overwritten the next time.

    >>> with whole(Path("a.txt")) as scratch:  # doctest: +SKIP
    ...     scratch.write_text("all of it")
    """
    scratch = path.with_name(f"{path.stem}.tmp{path.suffix}")
    try:
        yield scratch
        with scratch.open("rb") as written:
            os.fsync(written.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
