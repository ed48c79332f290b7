"""Room on the disk: a job that can't write fails, and so would all jobs after it."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

from fireworks import LaunchPad

from ionloop.errors import EngineError
from ionloop.settings import Settings

#: Exit status of a worker that found no room.
DISK_FULL = 28
#: What is written to find a quota, which the free space of a disk doesn't tell, bytes.
_PROBE = 1 << 20
#: No space, a quota, a limit of the shell or batch system on the size of files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def lack_of_room(folder: Path, settings: Settings, *, probe: bool = False) -> str | None:
    """Say what is wrong with the disk of a folder; None if it has room.

    Parameters
    ----------
    folder
        Where jobs run.
    settings
        They hold the space that must be free.
    probe
        Whether to write a little, which finds quotas too.
    """
    least = settings.min_free_mb
    free = shutil.disk_usage(folder).free >> 20
    if free < least:
        return f"expected {least} MB free (IONLOOP_MIN_FREE_MB) in {folder}, got {free} MB"
    try:
        if probe:
            with tempfile.TemporaryFile(dir=folder) as scratch:
                scratch.write(bytes(_PROBE))
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return f"expected to write into {folder}, got: {error.strerror}"
    return None


def require_room(folder: Path, campaign_id: str, settings: Settings) -> None:
    """Refuse to run jobs where they can't write.

    Raises
    ------
    EngineError
        If the disk or a quota is full.
    """
    if lack := lack_of_room(folder, settings, probe=True):
        msg = f"{lack}; free space there, then `ionloop resume {campaign_id}`"
        raise EngineError(msg)


def failed_for_room(lp: LaunchPad, launch_ids: list[int]) -> bool:
    """Whether one of some launches failed since a disk or a quota was full."""
    fields = {"action.stored_data._exception._stacktrace": 1}
    query = {"launch_id": {"$in": launch_ids}, "state": "FIZZLED"}
    for launch in lp.launches.find(query, fields):
        stored = (launch.get("action") or {}).get("stored_data") or {}
        trace = (stored.get("_exception") or {}).get("_stacktrace") or ""
        if any(f"[Errno {number}]" in trace for number in _FULL):
            return True
    return False
