"""A whole campaign with VASP's stand-in, killed with -9 amid its labels, by the real engine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ase import Atoms

from ionloop.reference.vasp.output import VaspRun
from ionloop.store.connection import database
from ionloop.store.queries import campaign_record, status
from ionloop.testing import environment
from ionloop.testing.potcars import write_potcars
from ionloop.testing.vasp_std import Pairs, total_energy

TESTS = Path(__file__).parents[2]
PATIENCE_S = 1500.0


@pytest.fixture
def log(ionloop_db: str, tmp_path: Path) -> Iterator[Path]:
    """A machine as `python -m ionloop.testing.potcars` makes it; yields the log of runs."""
    variables = {
        "PMG_VASP_PSP_DIR": str(write_potcars(tmp_path / "psp")),
        "IONLOOP_VASP_CMD": f"{sys.executable} -m ionloop.testing.vasp_std",
        "VASP_STAND_IN_LOG": str(tmp_path / "runs.log"),
        "VASP_STAND_IN_FAIL": None,
        "PYTHONPATH": os.pathsep.join(
            [str(TESTS / "support"), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    with environment(variables):
        yield tmp_path / "runs.log"


def start_cli(*args: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "ionloop.cli", *args],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def label_runs(log: Path) -> list[Path]:
    """Folders of labels that VASP was started in: ``vasp_<hash of the frame>``."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [Path(line) for line in lines if re.fullmatch(r"vasp_[0-9a-f]{8,}", Path(line).name)]


def finished_labels(log: Path) -> set[str]:
    """Names of the folders of labels in which VASP came to its end."""
    return {folder.name for folder in label_runs(log) if VaspRun(folder).ended}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_dry_run_ends_and_computes_nothing_twice(log: Path, tmp_path: Path) -> None:
    flow = str(TESTS / "support" / "tiny_vasp.py")
    process = start_cli("run", flow, "--local", "--workers", "2", "--set", "campaign_id=c")
    end = time.monotonic() + PATIENCE_S
    while len(finished_labels(log)) < 5:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(2)  # what was VASP's is dead too
    done, before = finished_labels(log), log.read_text().splitlines()
    process = start_cli("resume", "c", "--workers", "2")
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "c finished" in said

    runs = log.read_text().splitlines()
    counts = Counter(folder.name for folder in label_runs(log))
    assert len(done) >= 5
    assert {name: counts[name] for name in done} == dict.fromkeys(done, 1)
    again = [name for name, n in counts.items() if n > 1]
    assert len(again) <= 2  # what the two workers were at
    assert all(counts[name] == 2 for name in again)
    assert len(runs) > len(before)

    assert set(status("c", database()).jobs) == {"COMPLETED"}
    check_record(counts)
    check_report(tmp_path / "report.html")


def check_record(counts: Counter) -> None:
    """Two generations were labelled, trained on and explored; the last one was evaluated."""
    record = campaign_record("c")
    labels = [label for shard in record.shards for label in shard.labels]
    assert {shard.generation for shard in record.shards if shard.purpose == "train"} == {0, 1}
    assert {label.engine for label in labels} == {"vasp 6.4.2 stand-in"}
    assert {label.settings_hash for label in labels} == {record.start.settings_hash}
    assert {f"vasp_{label.frame_hash}" for label in labels} <= set(counts)
    origins = {label.frame.origin.value for label in labels}
    assert {"aimd", "neb", "rattle", "strain"} <= origins
    for label in labels[:3]:
        atoms: Atoms = label.frame.to_atoms()
        atoms.calc = Pairs()
        assert label.energy == pytest.approx(total_energy(atoms, 520.0), abs=1e-6)
    assert {(m.generation, m.index) for m in record.members} == {
        (g, i) for g in (0, 1) for i in (0, 1)
    }
    assert {e.generation for e in record.explorations} >= {0, 1}
    assert [a.next_step for a in record.advances] == ["generation", "evaluate"]
    assert record.evaluation is not None
    assert record.evaluation.accuracy.n_frames > 0


def check_report(path: Path) -> None:
    """The report says which settings made it."""
    process = start_cli("report", "c", "--out", str(path))
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert campaign_record("c").start.settings_hash in path.read_text()
