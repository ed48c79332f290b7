"""A real SLURM: its jobs are cancelled with their campaign, and doctor sees its partitions."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from ionloop.engine import submit
from ionloop.engine.control.cancel import cancel
from ionloop.engine.control.hold import release
from ionloop.engine.doctor import queue
from ionloop.engine.doctor.check import Scene
from ionloop.engine.launchpad import launchpad
from ionloop.settings import get_settings
from ionloop.store.connection import write_jobflow_config
from ionloop.store.queries import status


@pytest.mark.slow
def test_a_slurm_job_is_cancelled_with_its_campaign(camp, tmp_path, runs, elsewhere, monkeypatch):
    from ionloop.testing.slurm import throwaway_slurm

    scene = Scene(settings=get_settings())
    monkeypatch.setenv("JOBFLOW_CONFIG_FILE", str(write_jobflow_config()))
    (tmp_path / "slow").touch()
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    with throwaway_slurm() as slurm:
        assert queue.partitions(scene).detail == "up: cpu, gpu"
        work = f"{sys.executable} -m ionloop.cli work --idle 60"
        slurm.run("sbatch", "--partition=cpu", f"--output={tmp_path}/out", f"--wrap=exec {work}")
        camp.wait_for(lambda: camp.lines(tmp_path, "begun"), 120)
        assert queue.queued(scene).detail == "1 running"
        slurm.run("scontrol", "update", "PartitionName=gpu", "State=DOWN")
        assert queue.partitions(scene).detail == "up: cpu; down: gpu"
        report = cancel(launchpad(), "c")
        assert (len(report.ended), report.left) == (1, []), (tmp_path / "out").read_text()
        assert "SLURM job 1" in report.ended[0]
        assert slurm.jobs() == {}
        slurm.run("scontrol", "update", "PartitionName=cpu", "State=DOWN")
        assert not queue.partitions(scene).ok
    (tmp_path / "slow").unlink()
    release(launchpad(), "c")
    camp.run_here(runs)
    assert status("c").state == "finished"
    assert Counter(camp.lines(tmp_path, "ledger")) == Counter(["0.0", "0.1"])
