"""Campaigns on a real SLURM: FireWorks' queue launcher submits, workers are lost, all ends well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ionloop.engine import submit
from ionloop.engine.cluster.lost import verdict
from ionloop.engine.cluster.slurm import look
from ionloop.processes import die_with_parent
from ionloop.routing import KEY
from ionloop.store.connection import database
from ionloop.store.ledger import ledger
from ionloop.store.queries import campaign_record, status
from ionloop.testing.slurm import Slurm, throwaway_slurm

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"
KINDS = ("dft", "gpu", "light")
#: Partition of each kind of worker.
PARTITIONS = {"dft": "cpu", "gpu": "gpu", "light": "cpu"}
PATIENCE_S = 900.0


class Cluster:
    """A SLURM, an account on it as make_cluster.py makes one, and what happens there."""

    def __init__(self, slurm: Slurm, folder: Path) -> None:
        self.slurm = slurm
        self.folder = folder
        self.config = folder / "config"
        self.launchers: list[subprocess.Popen[bytes]] = []

    def make(self, *options: str) -> None:
        command = [
            sys.executable, "workflows/make_cluster.py", str(self.config),
            "--work-dir", str(self.folder), "--dft-partition", "cpu", "--gpu-partition", "gpu",
            "--dft-cores", "1", "--gpu-cores", "1", "--dft-memory", "500", "--gpu-memory", "500",
            "--light-memory", "500", "--device", "cpu", "--idle", "900", "--dft-idle", "900",
            *options,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def launch(self, kind: str, n: int | None = None) -> None:
        """Let FireWorks submit n workers of a kind as jobs get ready; None: always up to three."""
        where = self.folder / kind
        where.mkdir()
        # What submit.sh runs, but for an end after n workers.
        command = [
            Path(sys.executable).with_name("qlaunch"), "--launch_dir", where,
            "-l", self.config / "my_launchpad.yaml", "-c", self.config / kind,
            "rapidfire", "--sleep", "2", "--nlaunches", str(n),
        ]  # fmt: skip
        environment = os.environ | {"FW_CONFIG_FILE": str(self.config / "FW_config.yaml")}
        with (self.folder / f"qlaunch-{kind}.log").open("wb") as log:
            self.launchers.append(
                subprocess.Popen(
                    command if n else ["bash", self.config / "submit.sh", kind, "3", "2"],
                    env=environment,
                    cwd=where,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    preexec_fn=die_with_parent,  # noqa: PLW1509
                )
            )

    def stop(self) -> None:
        for launcher in self.launchers:
            launcher.terminate()  # submit.sh ends its qlaunch
            launcher.wait()

    def said(self) -> str:
        logs = [*self.folder.glob("qlaunch-*.log"), *self.folder.rglob("ionloop-*-*.error")]
        ends = [f"{log.name}:\n{log.read_text(errors='replace')[-2000:]}" for log in sorted(logs)]
        return "\n".join([str(self.slurm.jobs()), *ends])

    def until(self, what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        end = time.monotonic() + patience_s
        while not (found := what()):
            assert time.monotonic() < end, self.said()
            time.sleep(0.2)
        return found

    def running(self, kind: str) -> dict[str, dict[str, Any]]:
        """Launches that run jobs of a kind, by their workers' names."""
        db = database()
        query = {"state": "RUNNING", f"spec.{KEY}": kind}
        last = [fw["launches"][-1] for fw in db.fireworks.find(query) if fw["launches"]]
        begun = {"launch_id": {"$in": last}, "state_history.checkpoint": {"$exists": True}}
        return {launch["fworker"]["name"]: launch for launch in db.launches.find(begun)}

    def lose(self, stage: str, end: Callable[[dict[str, Any]], object]) -> int:
        """End a worker that runs a job of a stage; return the launch, when it counts as lost."""
        db = database()

        def begun() -> dict[str, Any] | None:
            fw = db.fireworks.find_one({"state": "RUNNING", "spec.stage": stage})
            last = fw["launches"][-1] if fw and fw["launches"] else None
            checked = {"launch_id": last, "state_history.checkpoint": {"$exists": True}}
            return db.launches.find_one(checked)

        def lost() -> int | None:
            launch = self.until(begun)
            end(launch["fworker"]["env"])
            number = launch["launch_id"]
            self.until(lambda: db.launches.find_one({"launch_id": number})["state"] != "RUNNING")
            state = db.launches.find_one({"launch_id": number})["state"]
            return number if state == "ARCHIVED" else None  # else it had ended just then

        return self.until(lost)

    def finish(self) -> None:
        self.until(lambda: status("c").state not in ("running", "waiting"))
        assert status("c").state == "finished", (status("c"), self.said())


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    with throwaway_slurm() as slurm:
        found = Cluster(slurm, folder)
        try:
            yield found
        finally:
            found.stop()


@pytest.fixture
def jobs(ionloop_db, ionloop_home, monkeypatch):
    """The tests' jobs, importable by workers too."""
    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.syspath_prepend(str(SUPPORT))
    import cluster_jobs

    return cluster_jobs


def partitions() -> dict[str, set[str]]:
    """Where jobs of each kind ran, by what their workers said."""
    db = database()
    fws = db.fireworks.find({}, {f"spec.{KEY}": 1, "fw_id": 1})
    kinds = {fw["fw_id"]: fw["spec"].get(KEY, "light") for fw in fws}
    found: dict[str, set[str]] = {}
    for launch in db.launches.find({}):
        found.setdefault(kinds[launch["fw_id"]], set()).add(
            launch["fworker"]["env"]["slurm_partition"]
        )
    return found


@pytest.mark.timeout(1800)
def test_a_campaign_survives_lost_workers(jobs, tmp_path, monkeypatch):
    """One is cancelled and one is killed while both compute labels; none is computed twice."""
    monkeypatch.setenv("IONLOOP_LOST_AFTER_S", "60")
    book = tmp_path / "book"
    book.mkdir()
    with cluster(tmp_path) as here:
        here.make()
        submit(jobs.generation_flow(0, last=1, n=4, folder=str(book)), "c")
        for kind, n in (("dft", 4), ("gpu", 1), ("light", 1)):
            here.launch(kind, n)
        two = here.until(lambda: len(found := here.running("dft")) >= 2 and found)
        cancelled, killed = sorted(two)[:2]
        here.slurm.run("scancel", two[cancelled]["fworker"]["env"]["slurm_job_id"])
        os.kill(two[killed]["fworker"]["env"]["pid"], signal.SIGKILL)
        gone = [two[name]["launch_id"] for name in (cancelled, killed)]
        query = {"launch_id": {"$in": gone}, "state": "RUNNING"}
        here.until(lambda: database().launches.count_documents(query) == 0)
        (book / "go0").touch()
        spread = here.until(
            lambda: (
                {f["spec"]["generation"] for f in of_state("RUNNING")} == {1}
                and len(found := here.running("dft")) >= 2
                and found
            )
        )
        (book / "go1").touch()
        here.finish()
        check_launches(gone, spread)
    assert Counter((book / "ledger").read_text().split()) == Counter(
        f"{generation}.{i}" for generation in (0, 1) for i in range(4)
    )
    gpus = (book / "gpus").read_text().split()
    assert len(gpus) == 2
    assert set(gpus) <= {"0", "1"}  # what SLURM gave
    assert [len(shard.labels) for shard in campaign_record("c").shards] == [4, 4]


def of_state(state: str) -> list[dict[str, Any]]:
    return list(database().fireworks.find({"state": state, f"spec.{KEY}": "dft"}))


def check_launches(gone: list[int], spread: dict[str, Any]) -> None:
    """Each job ended well once, in its partition; those of lost workers in their old folders."""
    db = database()
    assert partitions() == {kind: {partition} for kind, partition in PARTITIONS.items()}
    done = list(db.launches.find({"state": "COMPLETED"}))
    ended = {launch["fw_id"]: launch for launch in done}
    assert len(done) == len(ended) == db.fireworks.count_documents({})
    for launch in db.launches.find({"launch_id": {"$in": gone}}):
        assert launch["state"] == "ARCHIVED"
        assert ended[launch["fw_id"]]["launch_dir"] == launch["launch_dir"]
    workers = {ended[launch["fw_id"]]["fworker"]["name"] for launch in spread.values()}
    assert len(workers) >= 2  # labels were computed by several
    assert all("versions" in launch["fworker"]["env"] for launch in done)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_that_slurm_starts_anew_is_told_from_its_old_worker(jobs, tmp_path, monkeypatch):
    """As after a node's end: the old worker says nothing more, and its job's number runs on."""
    monkeypatch.setenv("IONLOOP_LOST_AFTER_S", "3600")
    book = tmp_path / "book"
    book.mkdir()
    with cluster(tmp_path) as here:
        here.make("--dft-cores", "2")
        submit(jobs.generation_flow(0, last=0, n=1, folder=str(book)), "c")
        for kind in KINDS:
            here.launch(kind, 1)
        (old,) = here.until(lambda: here.running("dft")).values()
        job = old["fworker"]["env"]["slurm_job_id"]
        before = database().launches.find_one({"launch_id": old["launch_id"]})
        here.slurm.run("scontrol", "requeue", job)
        here.until(lambda: here.slurm.jobs()[int(job)] == "PENDING")
        here.slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # not in 2 minutes
        here.until(lambda: here.slurm.jobs()[int(job)] == "RUNNING")
        # SLURM has told this worker, which gave its job back; a dead node's worker couldn't have.
        env = {**before["fworker"]["env"], "host": "dead-node"}
        silent = {**before, "fworker": {**before["fworker"], "env": env}, "silence_s": 100.0}
        found = verdict(silent, look())
        assert found is not None
        assert (found.certain, job in found.why) == (True, True)
        (book / "go0").touch()
        here.finish()
    (done,) = database().launches.find({"state": "COMPLETED", "fworker.name": {"$regex": "^dft"}})
    env = done["fworker"]["env"]
    assert (env["slurm_job_id"], env["slurm_restarts"]) == (job, 1)
    assert env["cores"] == 2  # SLURM's; it has one thread
    spent = next(one for one in ledger("c").kinds if one.n_lost)
    assert spent.lost.core_hours == pytest.approx(2 * spent.lost.wall_s / 3600)
    assert 0 < spent.lost.wall_s < spent.total.wall_s
    assert (book / "ledger").read_text().split() == ["0.0"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_job_goes_on_after_the_end_of_its_workers_wall_time(jobs, tmp_path):
    """A label takes longer than any worker may run; what was computed is kept."""
    book = tmp_path / "book"
    book.mkdir()
    (book / "go0").touch()
    with cluster(tmp_path) as here:
        here.make("--walltime", "00:01:00", "--idle", "20", "--dft-idle", "20")
        submit(jobs.generation_flow(0, last=0, n=1, folder=str(book), seconds=60.0), "c")
        for kind in KINDS:
            here.launch(kind)
        here.finish()
    begun = (book / "begun").read_text().split()
    assert len(begun) > 1
    assert (book / "ledger").read_text().split() == ["0.0"]
    (done,) = database().launches.find({"state": "COMPLETED", "fworker.name": {"$regex": "^dft"}})
    steps = (Path(done["launch_dir"]) / "steps").read_text().split()
    assert 600 <= len(steps) <= 600 + len(begun)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_whole_campaign_survives_lost_workers(jobs, tmp_path, monkeypatch):
    """The tiny campaign, with MACE, from its seeds to its evaluation.

    A worker at the reference's MD is cancelled, then one at a label, and one that trains is
    killed; ``submit.sh`` submits others.
    """
    import tiny_campaign

    monkeypatch.setenv("IONLOOP_LOST_AFTER_S", "60")
    with cluster(tmp_path) as here:
        here.make("--idle", "30", "--dft-idle", "30")
        submit(tiny_campaign.build("c"), "c")
        for kind in KINDS:
            here.launch(kind)
        gone = [
            here.lose("seed", lambda env: here.slurm.run("scancel", env["slurm_job_id"])),
            here.lose("label", lambda env: here.slurm.run("scancel", env["slurm_job_id"])),
            here.lose("train", lambda env: os.kill(env["pid"], signal.SIGKILL)),
        ]
        here.until(lambda: status("c").state not in ("running", "waiting"), 3000)
        assert status("c").state == "finished", here.said()
    db = database()
    lost = db.launches.count_documents({"launch_id": {"$in": gone}, "state": "ARCHIVED"})
    assert lost == len(gone)
    done = db.launches.distinct("fw_id", {"state": "COMPLETED"})
    assert len(done) == db.launches.count_documents({"state": "COMPLETED"})
    assert partitions() == {kind: {partition} for kind, partition in PARTITIONS.items()}
    record = campaign_record("c")
    assert record.evaluation is not None
    asked = [h for shard in record.shards for h in shard.frame_hashes]
    assert len(asked) == len(set(asked))
