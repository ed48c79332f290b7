"""jobflow-remote's template, filled in as a user does, on a real SLURM."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jfremote_project
import pytest
import yaml
from authenticated import mongod_with_users
from jobflow import Flow

from ionloop.engine.remote import submit_remote
from ionloop.routing import WorkerKind
from ionloop.store.connection import database
from ionloop.store.jfremote import JOBS
from ionloop.store.queries import campaign_record, status
from ionloop.testing import environment
from ionloop.testing.slurm import throwaway_slurm

SUPPORT = Path(__file__).resolve().parents[1] / "support"
PASSWORD = "canary-of-the-queue"
PARTITIONS = {"dft": "cpu", "gpu": "gpu", "light": "cpu"}


def filled(folder: Path, port: int) -> str:
    """Fill the template in."""
    text = jfremote_project.TEMPLATE.read_text()
    values = {
        "/<SCRATCH>": str(folder),
        "<CPU PARTITION>": "cpu",
        "<GPU PARTITION>": "gpu",
        "<ACCOUNT>": "research",
        "<CORES>": "1",
        "/<FOLDER>/.venv": sys.prefix,
        "<DATABASE HOST>:27017": f"127.0.0.1:{port}",
        "$HOME/.ionloop/db_password": str(folder / "db_password"),
    }
    for name, value in values.items():
        assert name in text, name
        text = text.replace(name, value)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert "<" not in "".join(lines)
    return text


@pytest.fixture
def cluster(ionloop_home, tmp_path, monkeypatch):
    """A SLURM, a database with users, and the template's project, whose looks come sooner."""
    import jobflow_remote

    password = tmp_path / "db_password"
    password.touch(0o600)
    password.write_text(PASSWORD)
    with mongod_with_users("ionloop", "runner", PASSWORD) as (port, _), throwaway_slurm() as slurm:
        project = yaml.safe_load(filled(tmp_path, port))
        project["runner"] = dict.fromkeys(project["runner"], 0.5)
        variables = {
            "IONLOOP_DB_URI": f"mongodb://runner@127.0.0.1:{port}/?directConnection=true&authSource=ionloop",
            "IONLOOP_DB_PASSWORD_FILE": str(password),
            "IONLOOP_DB_NAME": "ionloop",
            "IONLOOP_WORK_DIR": str(tmp_path / "ionloop" / "jobflow-remote"),
            "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
        }
        with environment(variables | jfremote_project.write_project(tmp_path, project)):
            # Read from the environment once, at import.
            settings = jobflow_remote.JobflowRemoteSettings()
            monkeypatch.setattr(jobflow_remote, "SETTINGS", settings)
            yield slurm


@pytest.mark.timeout(1800)
def test_the_filled_template_runs_a_campaign(cluster, tmp_path):
    """Two generations, a job of each kind of worker, each in its partition."""
    import engine_jobs

    ledger = tmp_path / "ledger"
    labels = engine_jobs.generation_flow(0, 1, 2, str(ledger), 0.0)
    labels.jobs[0].config.manager_config = {"worker": "dft"}
    training = engine_jobs.empty()
    training.config.manager_config = {"worker": "gpu"}
    submit_remote(Flow([labels, training]), "c")
    jfremote_project.run_runner(1500)
    found = status("c")
    assert (found.state, found.n_labels, set(found.jobs)) == ("finished", 4, {"COMPLETED"})
    assert sorted(ledger.read_text().split()) == ["0.0", "0.1", "1.0", "1.1"]
    assert [len(shard.labels) for shard in campaign_record("c").shards] == [2, 2]
    jobs = list(database()[JOBS].find())
    assert {job["worker"] for job in jobs} == {kind.value for kind in WorkerKind}
    for job in jobs:
        told = cluster.run("scontrol", "show", "job", job["remote"]["process_id"])
        assert f"Partition={PARTITIONS[job['worker']]}" in told
        assert "JobState=COMPLETED" in told
        assert Path(job["run_dir"]).is_relative_to(tmp_path / "ionloop" / "jobflow-remote")
    files = [path for path in (tmp_path / "ionloop").rglob("*") if path.is_file()]
    assert {"submit.sh", "queue.out", "queue.err", "jfremote_in.json"} <= {f.name for f in files}
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
