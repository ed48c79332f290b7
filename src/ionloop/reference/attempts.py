"""Attempts that failed: put aside, a few of them kept, so that nothing hides why."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ionloop.reference.folders import REQUEST_FILE, same_request, write_request

#: Failed attempts that are kept, the last ones.
KEPT = 3


def attempts(folder: Path) -> list[Path]:
    """List the failed attempts that were put aside in a folder, oldest first."""
    return sorted(folder.glob("failed.[0-9]*"), key=lambda path: int(path.suffix[1:]))


def new_attempt(folder: Path, request: dict[str, Any]) -> None:
    """Make room for a new attempt at a request.

    What an earlier attempt at the same request left goes to ``failed.1``, ``failed.2``, ...,
    of which the last few are kept; a folder of another request is emptied.
    """
    if not same_request(folder, request):
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    old = attempts(folder)
    rest = [path for path in folder.iterdir() if path not in old and path.name != REQUEST_FILE]
    if rest:
        aside = folder / f"failed.{int(old[-1].suffix[1:]) + 1 if old else 1}"
        aside.mkdir()
        for path in rest:
            path.rename(aside / path.name)
        for path in [*old, aside][:-KEPT]:
            shutil.rmtree(path)
    write_request(folder, request)
