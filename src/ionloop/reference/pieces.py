"""The pieces of an MD run that goes on after a kill: a folder each, in order, none half-made."""

from __future__ import annotations

import shutil
from pathlib import Path

#: Where a piece is made before it counts.
SCRATCH = "next_piece"


def pieces(folder: Path) -> list[Path]:
    """List the pieces of a run, in order."""
    return sorted(folder.glob("piece_*"), key=lambda path: int(path.name.split("_")[1]))


def make_piece(folder: Path, files: dict[str, str]) -> Path:
    """Make the next piece's folder, with the texts of what it goes on from.

    It gets its name when all is in it: a kill or a full disk leaves no piece without start.
    """
    scratch = folder / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for name, text in files.items():
        (scratch / name).write_text(text)
    return scratch.rename(folder / f"piece_{len(pieces(folder)):02d}")
