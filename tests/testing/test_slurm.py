"""The throw-away SLURM: it runs jobs in two partitions, and nothing of it stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ionloop.engine.cluster import slurm as asked
from ionloop.errors import IonloopError
from ionloop.processes import is_alive, marked_processes
from ionloop.testing import slurm as testing


@pytest.mark.timeout(300)
def test_jobs_run_and_nothing_stays(tmp_path: Path) -> None:
    with testing.throwaway_slurm() as slurm:
        job = tmp_path / "job.sh"
        out = tmp_path / "out"
        job.write_text(
            "#!/bin/bash\n"
            f"echo $SLURM_JOB_PARTITION $CUDA_VISIBLE_DEVICES $$ > {out}.$SLURM_JOB_ID\n"
            "exec sleep 1000\n"
        )
        for options in (["-p", "cpu"], ["-p", "gpu", "--gres=gpu:1", "--time=5"]):
            slurm.run("sbatch", "--output=/dev/null", *options, str(job))
        end = time.monotonic() + 120
        files = [Path(f"{out}.{number}") for number in (1, 2)]
        while not all(file.exists() and file.read_text() for file in files):
            assert time.monotonic() < end, slurm.jobs()
            time.sleep(0.1)
        first, second = (file.read_text().split() for file in files)
        assert (first[0], second[:2]) == ("cpu", ["gpu", "0"])
        queue = asked.look()
        assert queue is not None
        assert (queue.states, queue.is_gone("1"), queue.is_gone("3")) == (
            {"1": "RUNNING", "2": "RUNNING"}, False, True,
        )  # fmt: skip
        left = asked.seconds_left("2")
        assert left is not None
        assert 150 < left <= 300
        assert asked.seconds_left("7") is None
        slurm.run("scancel", "1")
        while 1 in slurm.jobs():
            assert time.monotonic() < end
            time.sleep(0.1)
        with pytest.raises(IonloopError, match="sbatch -p none"):
            slurm.run("sbatch", "-p", "none", str(job))
    assert not slurm.folder.exists()
    assert not marked_processes(str(slurm.folder))
    assert not is_alive(int(second[2]))
    assert os.environ.get("SLURM_CONF") != str(slurm.conf)


def test_a_missing_slurm_is_an_error_that_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(testing, "_PROGRAMS", ("sbatch", "no-such-program"))
    with pytest.raises(IonloopError, match=r"got no no-such-program; apt-get install .*slurm-wlm"):
        testing.check_installed()


def test_a_cluster_without_slurm_is_no_queue(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asked.look() is None
