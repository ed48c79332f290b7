"""Attempts that failed: put aside, a few of them kept, so that nothing hides why."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ionloop.frame import Frame
from ionloop.reference.folders import REQUEST_FILE, same_request, write_request
from ionloop.reference.schema import SinglePoint

#: Failed attempts that are kept, the last ones.
KEPT = 3


def attempts(folder: Path) -> list[Path]:
    """List the failed attempts that were put aside in a folder, oldest first."""
    return sorted(folder.glob("failed.[0-9]*"), key=lambda path: int(path.suffix[1:]))


def is_good(
    point: SinglePoint, frame: Frame, *, stress: bool, settings_hash: str, same_charge: float
) -> bool:
    """Say whether a label that was found needn't be computed again.

    What a second run can mend counts: no answer, not converged, stress or forces missing,
    another charge, species or settings than asked. What it can't, as a large force, doesn't.

    Parameters
    ----------
    point
        As the files have it now.
    frame
        What was asked for.
    stress
        Whether stress was asked for.
    settings_hash
        Hash of the settings that were asked for.
    same_charge
        How far the charge may be off, by the digits that the code prints, e.
    """
    numbers = [point.energy, point.forces, *([point.stress] if stress else [])]
    return (
        point.failure is None
        and point.converged
        and all(x is not None and bool(np.isfinite(x).all()) for x in numbers)
        and np.array(point.forces).shape == (len(frame.symbols), 3)
        and point.symbols == frame.symbols
        and point.charge is not None
        and abs(point.charge - frame.charge) < same_charge
        and point.settings_hash == settings_hash
    )


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
