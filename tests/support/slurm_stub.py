"""Programs named as SLURM's, for what a real one can't be brought to say fast."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from ionloop.engine.cluster import slurm

_SQUEUE = """\
#!/bin/sh
case "$*" in
*%Z*) cat "{folder}/folders" ;;
*--jobs*) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1 ;;
*) cat "{folder}/queue" ;;
esac
"""
_SCANCEL = """\
#!/bin/sh
test -e "{folder}/hang" && exec sleep 60
echo "$@" >> "{folder}/cancelled"
test -e "{folder}/refuse" && {{ echo "scancel: error: Access/permission denied" >&2; exit 1; }}
for job in "$@"; do sed -i "/^$job /d" "{folder}/queue"; done
"""


@dataclass(frozen=True)
class SlurmStub:
    """A ``squeue`` that says what stands in a file and a ``scancel`` that notes its arguments.

    They do what the files ``refuse`` and ``hang`` of the folder ask for.
    """

    folder: Path

    @classmethod
    def installed(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmStub:
        """Put the programs before all others, on a cluster called big."""
        folder.mkdir()
        for name, text in (("squeue", _SQUEUE), ("scancel", _SCANCEL)):
            (folder / name).write_text(text.format(folder=folder))
            (folder / name).chmod(0o755)
        for name in ("queue", "folders"):
            (folder / name).touch()
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        monkeypatch.setattr(slurm, "cluster_name", lambda: "big")
        return cls(folder)

    def queue(self, jobs: dict[str, str]) -> None:
        """Say which jobs there are: state and restarts by id."""
        (self.folder / "queue").write_text("".join(f"{i} {what}\n" for i, what in jobs.items()))

    def waiting_in(self, folders: dict[str, str]) -> None:
        """Say where this user's jobs were submitted, by id."""
        text = "".join(f"{i} {where}\n" for i, where in folders.items())
        (self.folder / "folders").write_text(text)

    def cancelled(self) -> list[str]:
        """Return the jobs that scancel was asked to end."""
        book = self.folder / "cancelled"
        return book.read_text().split() if book.exists() else []
