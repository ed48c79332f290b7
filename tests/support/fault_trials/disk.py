"""A small disk of its own for a campaign's work folder, and a way to fill it."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def can_mount() -> bool:
    """Whether this user may mount a tmpfs: root, and not in a container without the right."""
    if os.geteuid() != 0:
        return False
    effective = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line
    )
    return bool(int(effective.split()[1], 16) >> 21 & 1)  # CAP_SYS_ADMIN


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[None]:
    """Mount a tmpfs of some MB at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size_mb}m,mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Write until there is no room; return the file that takes it."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 14))
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"0")
    return filler


def limit_files(pid: int) -> None:
    """Let a running process, and what it starts, write no file beyond 40 kB."""
    with suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (40_000, hard))
