"""Room for results, and secrets that only their owner may read."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from ionloop.engine.doctor.check import WRITE, Found, Probe, Scene
from ionloop.errors import IonloopError

DISK_GB = 5.0
INODES = 10_000
#: Files of the home folder that hold the database's password.
SECRETS = ("jobflow.yaml", "my_launchpad.yaml", "db_password")


def home(scene: Scene) -> Found:
    """Whether the home folder has room."""
    folder = scene.settings.home_dir
    return _room(folder, f"free {DISK_GB:.0f} GB there or set IONLOOP_HOME to another folder")


def work(scene: Scene) -> Found:
    """Whether the folder below which jobs run has room."""
    named = scene.settings.work_dir
    mend = "set IONLOOP_WORK_DIR to another folder" if named else "start workers in another folder"
    return _room(named or Path.cwd(), f"free some there, or {mend}")


def _room(folder: Path, mend: str) -> Found:
    there = _existing(folder)
    free_gb = shutil.disk_usage(there).free / 1e9
    told = os.statvfs(there)
    wrong = [] if free_gb > DISK_GB else ["too little"]
    if why := _unwritable(there):
        wrong.append(why)
    if told.f_files and told.f_favail < INODES:  # some file systems count none
        wrong.append(f"only {told.f_favail} more files")
    detail = ", ".join([f"{free_gb:.1f} GB free in {folder}", *wrong])
    return Found(ok=not wrong, detail=detail, mend=mend)


def _unwritable(folder: Path) -> str:
    """Return why nothing can be written; the rights alone don't tell of quotas and read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder) as handle:
            handle.write(b"x" * 4096)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        return f"not writable ({error.strerror})"
    return ""


def _existing(folder: Path) -> Path:
    if not folder.is_absolute():
        msg = f"IONLOOP_HOME, IONLOOP_WORK_DIR: expected an absolute path, got {folder}"
        raise IonloopError(msg)
    while not folder.exists():
        folder = folder.parent
    return folder


def secrets(scene: Scene) -> Found:
    """Whether files that hold the database's password are their owner's alone."""
    files = [scene.settings.home_dir / name for name in SECRETS]
    if named := os.environ.get("JOBFLOW_CONFIG_FILE"):
        config = Path(named).expanduser()
        files += [config, *(config.parent / name for name in SECRETS)]
    if scene.settings.db_password_file:
        files.append(scene.settings.db_password_file.expanduser())
    there = [file for file in dict.fromkeys(files) if file.is_file()]
    loose = [file for file in there if file.stat().st_mode & 0o077]
    if loose:
        detail = ", ".join(f"{file} is {file.stat().st_mode & 0o777:o}" for file in loose)
        names = " ".join(str(file) for file in loose)
        mend = f"`chmod 600 {names}`: others can read the database's password there"
        return Found(ok=False, detail=detail, mend=mend)
    detail = ", ".join(file.name for file in there)
    return Found(ok=True, detail=f"only yours: {detail}" if detail else "no file holds any")


PROBES = [
    Probe("disk", home, WRITE),
    Probe("work folder", work, WRITE),
    Probe("secrets", secrets, WRITE),
]
