"""Folders of calculations: what each was asked, and what may be read again."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

from monty.io import zopen
from monty.os.path import zpath

from ionloop.files import whole
from ionloop.frame import Frame
from ionloop.paths import below, is_below, is_job_folder
from ionloop.settings import get_settings

logger = logging.getLogger(__name__)

#: What was asked for in a folder; a finished calculation of the same request is kept.
REQUEST_FILE = "request.json"


def geometry(frame: Frame) -> dict[str, Any]:
    """Return what a calculation depends on: species, positions, cell and charge."""
    return frame.model_dump(mode="json", include={"symbols", "positions", "cell", "charge"})


def first_folder(folder: str | None) -> Path:
    """Return the folder of a job's first launch, as the database has it; None: the working folder.

    A folder in which a job ran, but not where this worker's jobs work, ``IONLOOP_WORK_DIR``, is
    copied into the working folder once: nothing is changed elsewhere.

    Raises
    ------
    UnsafePathError
        If it is neither below ``IONLOOP_WORK_DIR`` nor a folder in which a job ran, or holds the
        working folder itself.
    """
    root = get_settings().work_dir
    if folder is None or root is None:
        return Path(folder or Path.cwd())
    here = Path.cwd()
    if not is_below(root, folder) and is_job_folder(folder) and not is_below(Path(folder), here):
        return _copied(Path(folder))
    return below(root, folder, "folder of an earlier launch")


def _copied(folder: Path) -> Path:
    """Copy a folder into the working folder, whole, and only the first time."""
    name = f"from-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    copy, scratch = Path.cwd() / name, Path.cwd() / f"{name}.tmp"
    if not copy.is_dir():
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(folder, scratch, symlinks=True)
        scratch.rename(copy)
        logger.warning("labels go on in %s, a copy of %s", copy, folder)
    return copy


def read_text(path: Path) -> str | None:
    """Read a text file that may be gzipped by now; None if there is none."""
    found = Path(zpath(str(path)))
    if not found.exists():
        return None
    with zopen(found, mode="rt", encoding="utf-8") as stream:
        return str(stream.read())


def same_request(folder: Path, request: dict[str, Any]) -> bool:
    """Say whether a folder was made for this very request; one cut off by a full disk wasn't."""
    asked = read_text(folder / REQUEST_FILE)
    try:
        return asked is not None and bool(json.loads(asked) == request)
    except ValueError:
        return False


def write_request(folder: Path, request: dict[str, Any]) -> None:
    """Write down what a folder is for; whole, or not at all."""
    with whole(folder / REQUEST_FILE) as scratch:
        scratch.write_text(json.dumps(request))


def fresh_folder(folder: Path, request: dict[str, Any]) -> None:
    """Make an empty folder that says what it is for."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_request(folder, request)


def drop_half_zipped(folder: Path) -> None:
    """Remove zips of files that are still there: a kill while zipping leaves both."""
    for zipped in folder.glob("*.gz"):
        if zipped.with_suffix("").exists():
            zipped.unlink()
