"""What a process and the programs that it runs take of the machine, and which machine it is."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any


def cpu_seconds() -> float:
    """Return the CPU time so far of this process and of the programs that it runs, s.

    All threads count, and on Linux all processes that it started and that still run.
    """
    ticks = sum(int(word) for pid in _descendants() for word in _stat(pid)[11:13])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def peak_mb() -> float | None:
    """Return the largest resident memory that this process ever had, MB; None off Linux.

    With that of the programs that it runs. Not ``getrusage``: what it says of a child includes its
    parent's memory before ``exec``.
    """
    own = _peak_mb("self")
    return None if own is None else own + sum(_peak_mb(pid) or 0.0 for pid in _descendants())


def machine() -> dict[str, Any]:
    """Return what a time depends on beside the calculator: processor and usable cores."""
    return {"cores": len(os.sched_getaffinity(0)), "hardware": _hardware()}


def _peak_mb(pid: int | str) -> float | None:
    for line in _lines(Path(f"/proc/{pid}/status")):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def _descendants() -> list[int]:
    """Return the processes that this one started, theirs too, and that still run."""
    found, tasks = [], [os.getpid()]
    while tasks:
        for listed in Path(f"/proc/{tasks.pop()}/task").glob("*/children"):
            started = [int(pid) for line in _lines(listed) for pid in line.split()]
            found += started
            tasks += started
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on; zeros if it's gone."""
    line = next(iter(_lines(Path(f"/proc/{pid}/stat"))), "")
    return line.rpartition(")")[2].split() or ["0"] * 13


def _lines(path: Path) -> list[str]:
    """Read a file of the kernel; empty if its process is gone, or there is none."""
    try:
        return path.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _hardware() -> str:
    """Name the processor."""
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
