"""submit.sh outlives what ends qlaunch, and tunnel.sh leads a batch job to the database."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pymongo.uri_parser import parse_uri
from slurm_stub import SlurmStub

from ionloop.engine import submit
from ionloop.processes import die_with_parent

ROOT = Path(__file__).parents[2]
TUNNEL = ROOT / "workflows" / "fireworks" / "tunnel.sh"
URI = "mongodb://runner@db.example.org:27017/?directConnection=true&authSource=ionloop"
#: Fails once, as a busy controller does.
_SBATCH = """\
#!/bin/sh
echo try >> "{folder}/tries"
test -e "{folder}/failed" || {{ touch "{folder}/failed"; echo "sbatch: error: busy" >&2; exit 1; }}
echo "Submitted batch job 7"
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    found = SlurmStub.installed(tmp_path / "stub", monkeypatch)
    (found.folder / "sbatch").write_text(_SBATCH.format(folder=found.folder))
    (found.folder / "sbatch").chmod(0o755)
    return found


@pytest.fixture
def made(ionloop_db, ionloop_home, tmp_path) -> Path:
    command = [
        sys.executable, "workflows/make_cluster.py", tmp_path / "c", "--work-dir", tmp_path / "w",
        "--dft-partition", "cpu", "--gpu-partition", "gpu",
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return tmp_path / "c"


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", folder / "submit.sh", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509
    )


def test_submission_goes_on_after_a_failed_sbatch_until_it_is_told_to_end(
    made, stub, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "support"))
    import engine_jobs

    label = engine_jobs.dear_label("a", str(tmp_path / "ledger"), 0.0)
    label.update_metadata({"campaign_id": "c"})
    submit(label, "c")
    tries = stub.folder / "tries"
    process = start(made, "light", "1", "1")
    end = time.monotonic() + 120
    while len(tries.read_text().split() if tries.exists() else []) < 2:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "qlaunch for light jobs ended with status 0; again in 1 s" in said
    assert said.splitlines()[-1].startswith("submit.sh: told to end by SIGTERM")
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert list((tmp_path / "w" / "light").glob("block_*/launcher_*/FW_submit.script"))


@pytest.mark.parametrize("words", [[], ["cpu"], [""]])
def test_submission_of_no_kind_is_refused(made, words):
    process = start(made, *words)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "expected dft, gpu or light, got" in said


def tunnel(folder: Path, job: str | None, uri: str = URI) -> subprocess.CompletedProcess[str]:
    """Source tunnel.sh where ssh notes its arguments, and fails twice."""
    folder.mkdir(exist_ok=True)
    (folder / "ssh").write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/asked\ntest "$(wc -l < {folder}/asked)" -gt 2\n'
    )
    (folder / "ssh").chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "IONLOOP_DB_URI": uri}
    env |= {"SLURM_JOB_ID": job} if job else {}
    script = f"source {TUNNEL} me@db 27018 && echo $IONLOOP_DB_URI"
    return subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, check=False
    )


def test_a_batch_job_reaches_the_database_by_a_port_of_its_own(tmp_path):
    done = tunnel(tmp_path / "bin", "7")
    found = parse_uri(done.stdout.strip())
    ((host, port),) = found["nodelist"]
    assert (host, found["username"]) == ("127.0.0.1", "runner")
    assert found["options"] == {"directConnection": True, "authSource": "ionloop"}
    asked = (tmp_path / "bin" / "asked").read_text().splitlines()
    assert len(asked) == 3  # two ports were another's
    assert f"-L 127.0.0.1:{port}:127.0.0.1:27018 me@db" in asked[-1]
    assert len({re.search(r"-L \S+", line)[0] for line in asked}) > 1


def test_a_shell_of_the_login_node_gets_no_tunnel(tmp_path):
    assert tunnel(tmp_path / "bin", None).stdout.strip() == URI
    assert not (tmp_path / "bin" / "asked").exists()


def test_a_member_that_would_send_clients_elsewhere_is_refused(tmp_path):
    done = tunnel(tmp_path / "bin", "7", URI.replace("directConnection=true", "replicaSet=rs0"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected directConnection=true" in done.stderr
