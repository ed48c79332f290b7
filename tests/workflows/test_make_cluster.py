"""The files of a cluster: filled in, private, and the same kinds of workers as everywhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from composed import composed
from fireworks import FWorker, LaunchPad
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

from ionloop.engine.cluster.identity import ready_query
from ionloop.errors import EngineError
from ionloop.routing import WorkerKind
from ionloop.store.initialise import initialise
from ionloop.testing import environment

ROOT = Path(__file__).parents[2]
#: As make_cluster.py prints.
WORKERS = {"dft": 20, "gpu": 4, "light": 2}


def make(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "workflows/make_cluster.py", str(folder), "--work-dir", f"{folder}-jobs",
        "--dft-partition", "cpu", "--gpu-partition", "a100", *options,
    ]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_all_is_filled_in_and_private(ionloop_db, ionloop_home, tmp_path):
    done = make(tmp_path / "c", "--account", "mat-42", "--dft-cores", "8", "--dft-idle", "77")
    assert done.returncode == 0, done.stderr
    files = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    assert len(files) == 12
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        assert not re.findall(r"<[A-Z_]+>", file.read_text()), file
    script = adapter(tmp_path / "c", "dft").get_script_str("/scratch/here")
    for line in ("--partition=cpu", "--account=mat-42", "--ntasks=8", "--time=24:00:00"):
        assert f"#SBATCH {line}\n" in script
    assert script.rstrip().splitlines()[-3].strip() == "exec ionloop work --kind dft --idle 77"
    script = adapter(tmp_path / "c", "gpu").get_script_str("/scratch/here")
    for line in ("#SBATCH --partition=a100", "#SBATCH --gres=gpu:1", "IONLOOP_DEVICE=cuda"):
        assert f"{line}\n" in script
    pad = LaunchPad.from_file(str(tmp_path / "c" / "my_launchpad.yaml"))
    assert pad.name == ionloop_db
    assert pad.fireworks.count_documents({}) == 0
    for script in ("environment.sh", "submit.sh", "tunnel.sh"):
        done = subprocess.run(["bash", "-n", tmp_path / "c" / script], check=False)
        assert done.returncode == 0


def test_it_says_how_workers_are_submitted_and_where_jobs_run(ionloop_db, ionloop_home, tmp_path):
    done = make(tmp_path / "c")
    lines = [f"bash {tmp_path}/c/submit.sh {kind} {n}" for kind, n in WORKERS.items()]
    assert done.stdout.splitlines()[1:] == lines
    said = source(tmp_path / "c", 'echo "$IONLOOP_WORK_DIR"')
    assert said.stdout.strip() == f"{tmp_path}/c-jobs"
    assert (tmp_path / "c-jobs").is_dir()
    assert "PRINT_FW_JSON: true" in (tmp_path / "c/FW_config.yaml").read_text()
    assert "work --kind dft --idle 60" in (tmp_path / "c/dft/my_qadapter.yaml").read_text()


def test_the_work_folder_must_be_named(ionloop_db, ionloop_home, tmp_path):
    command = [sys.executable, "workflows/make_cluster.py", str(tmp_path / "c")]
    options = ["--dft-partition", "cpu", "--gpu-partition", "a100"]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--work-dir" in done.stderr
    assert not (tmp_path / "c").exists()


def source(folder: Path, then: str, **variables: str) -> subprocess.CompletedProcess[str]:
    script = f"source {folder}/environment.sh && {then}"
    env = {**os.environ, **variables}
    return subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, check=False
    )


def adapter(folder: Path, kind: str) -> CommonAdapter:
    return CommonAdapter.from_file(str(folder / kind / "my_qadapter.yaml"))


def test_without_an_account_no_line_names_one(ionloop_db, ionloop_home, tmp_path):
    assert make(tmp_path / "c").returncode == 0
    assert "account" not in yaml.safe_load((tmp_path / "c/light/my_qadapter.yaml").read_text())


def test_repeating_it_overwrites(ionloop_db, ionloop_home, tmp_path):
    assert make(tmp_path / "c").returncode == 0
    done = make(tmp_path / "c", "--light-partition", "small")
    assert done.returncode == 0, done.stderr
    assert "queue: small" in (tmp_path / "c/light/my_qadapter.yaml").read_text()


@pytest.mark.parametrize("kind", list(WorkerKind))
def test_the_launcher_asks_for_the_jobs_that_the_worker_runs(kind):
    file = ROOT / "workflows" / "fireworks" / kind / "my_fworker.yaml"
    asked = json.loads(FWorker.from_file(str(file)).to_dict()["query"])
    own = ready_query(kind, None)
    assert own["spec.campaign_id"] == {"$exists": True}  # no worker runs others' jobs
    assert asked == own


def test_a_placeholder_without_a_value_is_an_error(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "workflows"))
    from make_cluster import fill

    assert fill("a: <A>\nb: <B>\nc", {"A": "1", "B": ""}) == "a: 1\nc\n"
    with pytest.raises(EngineError, match="NEW"):
        fill("a: <NEW>", {})


def test_the_password_is_in_no_script(ionloop_home, tmp_path):
    """And what sources the environment reaches the database as the runner."""
    with composed() as one:
        initialise(one.server)
        with environment(one.variables("runner")):
            done = make(tmp_path / "c")
        assert done.returncode == 0, done.stderr
        password = (one.secrets / "runner_password").read_text().strip()
        files = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
        holding = {file.name for file in files if password in file.read_text()}
        assert holding == {"db_password", "jobflow.yaml", "my_launchpad.yaml"}
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        script = f"source {tmp_path}/c/environment.sh && ionloop db status"
        asked = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert asked.stdout.startswith("MongoDB "), asked.stderr
