"""Overhead of atomate2, custodian and our own reading a VASP label, with VASP's stand-in.

    python benchmarks/bench_label_overhead.py [--labels 10] [--polling 0.5]

Prints a table: the wall time of a label, as a job of its own through JSON and jobflow; that
of the program, by a shell script around the stand-in that reads the clock before and after;
and the difference. The first label stands apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from ase.build import bulk
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize

from ionloop.frame import Frame
from ionloop.testing import environment
from ionloop.testing.potcars import write_potcars

SCRIPT = """#!/bin/sh
date +%s.%N >> {log}
{python} -m ionloop.testing.vasp_std
status=$?
date +%s.%N >> {log}
exit $status
"""


def measure(frame: Frame, folder: Path) -> float:
    """Return the wall time of one label, s."""
    from ionloop.reference.vasp import VaspReference

    reference = VaspReference().bind(frame.to_structure())
    begin = time.perf_counter()
    job = reference.static([frame])
    sent = MontyDecoder().process_decoded(json.loads(json.dumps(jsanitize(job.as_dict()))))
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    responses = run_locally(
        sent, store=store, root_dir=folder, create_folders=True, log=False, raise_immediately=True
    )
    wall = time.perf_counter() - begin
    (point,) = responses[job.uuid][1].output
    if not point.converged:
        msg = f"expected a label, got {point.failure}"
        raise RuntimeError(msg)
    return wall


def program_times(log: Path) -> list[float]:
    """Return how long each run of the program took, s."""
    clock = [float(line) for line in log.read_text().split()]
    return list(np.diff(clock)[::2])


def main() -> None:
    """Label frames one after another and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--polling", type=float, help="custodian's look, s; ours by default")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # jobflow 0.4.0 enters folders by monty's cd
    with tempfile.TemporaryDirectory(prefix="bench-label-") as root:
        walls, programs, polling = label(Path(root), arguments.labels, arguments.polling)
    rest = [wall - program for wall, program in zip(walls, programs, strict=True)]
    print(f"{len(rest) - 1} labels, custodian looks every {polling:g} s")
    print("                     median     min     max   first  (s)")
    for name, values in (("label", walls), ("VASP's stand-in", programs), ("overhead", rest)):
        first, later = values[0], values[1:]
        numbers = (statistics.median(later), min(later), max(later), first)
        print(f"  {name:16s} " + " ".join(f"{x:7.2f}" for x in numbers))


def label(
    folder: Path, n_labels: int, polling: float | None
) -> tuple[list[float], list[float], float]:
    """Label frames, one more than asked; return times of labels and program, and the polling, s."""
    log, script = folder / "clock", folder / "vasp_std"
    script.write_text(SCRIPT.format(log=log, python=sys.executable))
    script.chmod(0o755)
    psp = str(write_potcars(folder / "psp"))
    os.environ["PMG_VASP_PSP_DIR"] = psp  # read when pymatgen is imported
    with environment({"IONLOOP_VASP_CMD": str(script)}):
        from pymatgen.core import SETTINGS

        from ionloop.reference.vasp import runs

        SETTINGS["PMG_VASP_PSP_DIR"] = psp
        runs.POLL_S = polling or runs.POLL_S
        walls = []
        for seed in range(n_labels + 1):
            atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
            atoms.rattle(0.05, seed=seed)
            walls.append(measure(Frame.from_atoms(atoms, origin="rattle", group="b"), folder))
        return walls, program_times(log), runs.POLL_S


if __name__ == "__main__":
    main()
