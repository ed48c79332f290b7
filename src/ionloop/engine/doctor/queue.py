"""The batch system, and how FireWorks asks it for workers."""

from __future__ import annotations

import getpass
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import yaml

from ionloop.engine.doctor.check import SUBMIT, Found, Probe, Scene, ask

#: Names of queue adapters: FireWorks' own, and below a cluster's folder one a kind of worker.
_PATTERNS = ("*qadapter*.y*ml", "*/*qadapter*.y*ml")
#: What stands in a template until someone fills it in.
_PLACEHOLDER = re.compile(r"<[A-Z_]+>")


def commands(_: Scene) -> Found:
    """Whether jobs can be handed to a batch system."""
    found = [name for name in ("sbatch", "squeue", "qsub") if shutil.which(name)]
    if not {"sbatch", "qsub"} & set(found):
        mend = "only a cluster needs them: load its module, or go to its login node"
        return Found(ok=False, detail="no sbatch, no qsub", mend=mend)
    return Found(ok=True, detail=", ".join(found))


def partitions(_: Scene) -> Found:
    """Whether SLURM has a partition that takes jobs."""
    if not shutil.which("sinfo"):
        return _no_slurm("sinfo")
    status, said = ask(["sinfo", "--noheader", "--format=%R %a %T %D"])
    mend = "ask the cluster's people, or start slurmctld"
    if status:
        return Found(ok=False, detail=" ".join(said.split()) or f"sinfo: {status}", mend=mend)
    rows = [line.split() for line in said.splitlines() if line.split()]
    usable = ("idle", "mixed", "allocated", "completing")
    up = {row[0] for row in rows if row[1] == "up" and row[2].rstrip("*~#!%$@^-").lower() in usable}
    down = sorted({row[0] for row in rows} - up)
    detail = f"up: {', '.join(sorted(up)) or 'none'}" + (
        f"; down: {', '.join(down)}" if down else ""
    )
    return Found(ok=bool(up), detail=detail, mend=mend)


def _no_slurm(program: str) -> Found:
    """Say that one of SLURM's programs is missing; with another batch system nobody needs it."""
    other = bool(shutil.which("qsub")) and not shutil.which("sbatch")
    mend = "only a SLURM cluster has it: load its module, or go to its login node"
    return Found(ok=False, detail=f"no {program}", mend=mend, minor=other)


def queued(_: Scene) -> Found:
    """How many jobs of this user wait and run."""
    if not shutil.which("squeue"):
        return _no_slurm("squeue")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    status, said = ask(["squeue", "--noheader", "--format=%T", f"--user={user}"])
    if status:
        return Found(ok=False, detail=" ".join(said.split()), mend="see partitions")
    counts = Counter(said.split())
    detail = ", ".join(f"{n} {state.lower()}" for state, n in sorted(counts.items()))
    return Found(ok=True, detail=detail or "no job of yours")


def adapters(scene: Scene) -> Found:
    """Whether the files are there that tell FireWorks how to ask for workers."""
    folders = [Path.cwd(), scene.settings.home_dir, Path("~/.fireworks").expanduser()]
    named = [os.environ.get(name) for name in ("FW_CONFIG_FILE", "JOBFLOW_CONFIG_FILE")]
    folders += [Path(config).expanduser().parent for config in named if config]
    files = sorted({file for folder in folders for p in _PATTERNS for file in folder.glob(p)})
    if not files:
        looked = ", ".join(str(folder) for folder in folders)
        mend = (
            "only a cluster needs them: workflows/make_cluster.py writes them into a folder, and "
            "its environment.sh, sourced, leads there"
        )
        return Found(ok=False, detail=f"none in {looked}", mend=mend)
    bad = [f"{file}: {why}" for file in files if (why := _broken(file))]
    mend = "write it anew by workflows/make_cluster.py, or mend it: YAML with `_fw_name`"
    if bad:
        return Found(ok=False, detail="; ".join(bad), mend=mend)
    return Found(ok=True, detail=", ".join(str(file) for file in files))


def _broken(file: Path) -> str:
    try:
        text = file.read_text()
        found = yaml.safe_load(text)
    except (OSError, yaml.YAMLError) as error:
        return " ".join(str(error).split())
    if not isinstance(found, dict) or not {"_fw_name", "_fw_q_type"} & set(found):
        return "no _fw_name or _fw_q_type in it"
    left = _PLACEHOLDER.search("\n".join(line.partition("#")[0] for line in text.splitlines()))
    return f"{left[0]} isn't filled in" if left else ""


PROBES = [
    Probe("queue", commands, SUBMIT),
    Probe("partitions", partitions, SUBMIT),
    Probe("queue adapter", adapters, SUBMIT),
    Probe("jobs in the queue", queued, SUBMIT),
]
