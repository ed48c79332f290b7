"""A password stands nowhere but where it must: a canary is looked for in all that is left."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote_plus

import pytest
from bson.raw_bson import RawBSONDocument

from ionloop import cli
from ionloop.document import Blob
from ionloop.engine.launchpad import launchpad
from ionloop.processes import die_with_parent
from ionloop.settings import get_settings
from ionloop.store.connection import database_uri, hide_password, job_store
from ionloop.store.queries import status
from ionloop.store.scorecards import store_scorecard
from ionloop.testing import environment
from ionloop.testing.slurm import Slurm, throwaway_slurm

SUPPORT = Path(__file__).parent / "support"
ROOT = Path(__file__).parents[1]
CORE = "Kanarienvogel17"
#: The core stands between characters that a URI must encode.
PASSWORD = f"a@/{CORE}:%b"
WRONG = f"c@/{CORE}:%d"
HASH = hashlib.sha256(b"weights").hexdigest()
#: Pages of the dashboard, the last one of nothing.
PAGES = ("", "campaigns/c", "campaigns/c/report", "api/campaigns/c", "scorecards",
         "api/scorecards", "healthz", "campaigns/none")  # fmt: skip
#: Files that must hold it; FireWorks reads the last one, where a cluster is made.
KEEPERS = {"jobflow.yaml", "db_password", "my_launchpad.yaml"}


def forms() -> list[bytes]:
    """What the core looks like plainly, and in base64 wherever it begins there."""
    found = [CORE.encode()]
    for shift in range(3):
        coded = base64.b64encode(b"x" * shift + CORE.encode() + b"xxx")
        found.append(coded[4 : 4 + 4 * (len(CORE) // 3 - 1)])
    return found


def holds(data: bytes) -> bool:
    return any(form in data for form in forms())


@pytest.mark.parametrize("shift", range(5))
def test_the_canary_is_found_in_any_form(shift):
    around = "y" * shift + PASSWORD
    assert holds(around.encode())
    assert holds(quote_plus(around).encode())
    assert holds(base64.b64encode(around.encode()))
    assert not holds(base64.b64encode(b"nothing of the kind, however long it may be"))


def uri(port: int, password: str) -> str:
    return f"mongodb://runner:{quote_plus(password)}@127.0.0.1:{port}/?replicaSet=rs0&authSource=d"


def run_process(*command: str) -> tuple[int, bytes]:
    """Run a module in a process of its own; return its status and all that it said."""
    return run_command(sys.executable, "-m", *command)


def run_command(*command: str | Path, cwd: Path | None = None) -> tuple[int, bytes]:
    done = subprocess.run(
        command, cwd=cwd,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.fixture
def main(monkeypatch, capfd, caplog):
    """Run ``ionloop`` in this process; return its status and all that it said or logged."""

    def call(*args: str) -> tuple[int, bytes]:
        monkeypatch.setattr(sys, "argv", ["ionloop", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capfd.readouterr()
        trace = "".join(traceback.format_exception(ended.value))
        return int(ended.value.code or 0), f"{said.out}{said.err}{caplog.text}{trace}".encode()

    return call


def run_all(main, tmp_path: Path) -> dict[str, tuple[int, bytes]]:
    """Run a campaign with failures, and ask for all that can be asked."""
    flow, broken = tmp_path / "flow.py", tmp_path / "broken.py"
    flow.write_text("import telling_jobs\nbuild = telling_jobs.build\n")
    broken.write_text(
        "from ionloop.settings import get_settings\nraise RuntimeError(get_settings())\n"
    )
    given = [f"--set={key}={tmp_path / key}" for key in ("ledger", "flag")]
    run = ["ionloop.cli", "run", str(flow), "--local", "--workers=2", *given]
    commands = [f"run {broken}", "status c", "status c --json", "labels c --json", "report c",
                "db status", "doctor --json"]  # fmt: skip
    return {"run": run_process(*run)} | {name: main(*name.split()) for name in commands}


def run_control(main, folder: Path) -> dict[str, tuple[int, bytes]]:
    """Change what the campaign does, take its models and look at its page."""
    from made_record import make_card
    from stored_output import member, put

    store = job_store()
    store.connect()
    model = Blob.from_bytes(b"weights", "member.model")
    put(store, "member", member(0, 0).model_copy(update={"model_hash": HASH, "model_file": model}))
    store_scorecard(make_card(b"weights"))
    commands = [
        "resume c --no-run", "pause c", "rerun c --stage advance --yes", "cancel c",
        f"models c --out {folder / 'models'}", "scorecards --json", "scorecards",
    ]  # fmt: skip
    said = {command.partition(" --out")[0]: main(*command.split()) for command in commands}
    return said | {"dashboard": run_dashboard(folder / "dashboard.log")}


def run_dashboard(log: Path) -> tuple[int, bytes]:
    """Ask a dashboard for its pages, one of them unknown; return all that came, and its log."""
    command = [sys.executable, "-m", "ionloop.cli", "dashboard", "--port=0"]
    with log.open("wb") as file, running(command, stdout=file, stderr=file) as process:
        until(lambda: b"http://" in log.read_bytes() or process.poll() is not None)
        address = log.read_text().split()[0]
        found = [fetch(address + page) for page in PAGES]
        process.terminate()
        code = process.wait(20)
    assert [code for code, _ in found] == [*[200] * (len(PAGES) - 1), 404]
    said = [body for _, body in found] + [log.read_bytes()]
    return 0 if code == -signal.SIGTERM else code, b"".join(said)


def fetch(address: str) -> tuple[int, bytes]:
    """Return status, headers and body of a page."""
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status, bytes(answer.headers) + answer.read()
    except HTTPError as error:
        with error:
            return error.code, bytes(error.headers) + error.read()


@contextmanager
def running(command: Sequence[object], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL,
        preexec_fn=die_with_parent, **streams,  # noqa: PLW1509
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


def run_cluster(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Make a cluster's files, and run another campaign by its launcher on a real SLURM."""
    made, jobs = folder / "cluster", folder / "jobs"
    options = [
        "--dft-partition=cpu", "--gpu-partition=gpu", "--light-memory=500", f"--work-dir={jobs}",
        "--idle=2",
    ]  # fmt: skip
    given = [f"--set={key}={folder / key}-w" for key in ("ledger", "flag")]
    run = ["run", str(folder / "flow.py"), "--set=campaign=w", *given]
    said = {
        "make_cluster": run_command(
            sys.executable, ROOT / "workflows" / "make_cluster.py", made, *options
        ),
        "submit": run_process("ionloop.cli", *run),
    }
    with throwaway_slurm() as slurm:
        said["submit.sh"] = run_launcher(made, folder / "submit.log", slurm)
        said["scontrol"] = 0, slurm.run("scontrol", "--details", "show", "job").encode()
        # SLURM keeps each job's script and the environment that sbatch saw.
        assert leaks_in_files(slurm.folder, {"slurm.conf", "script", "environment"}) == []
    return said


def run_launcher(made: Path, log: Path, slurm: Slurm) -> tuple[int, bytes]:
    """Run submit.sh until its batch job has run what can run of the campaign, and has ended."""
    with log.open("wb") as file:
        command = ["bash", made / "submit.sh", "light", "1", "1"]
        with running(command, stdout=file, stderr=file) as process:
            until(lambda: not {"READY", "WAITING", "RESERVED", "RUNNING"} & set(status("w").jobs))
            process.terminate()
            code = process.wait(20)
    until(lambda: not slurm.jobs())
    return code, log.read_bytes()


def run_refused(main, home: Path) -> dict[str, tuple[int, bytes]]:
    """Do the same with a password that the server refuses; a worker can't connect."""
    worker = ["c", "--folder", str(home / "runs" / "c"), "--parent", str(os.getpid())]
    commands = [
        "status", "resume c", "db status", "doctor --json", "pause c", "cancel c",
        "rerun c --stage advance", "models c --out m", "scorecards", "dashboard --port=0",
    ]  # fmt: skip
    said = {f"refused {name}": main(*name.split()) for name in commands}
    return said | {
        "refused worker": run_process("ionloop.engine.worker", *worker),
        "refused work": run_process("ionloop.cli", "work", "--idle=1"),
    }


#: Exit statuses: two jobs fail on purpose; a refused command is the user's to mend.
ENDS = {
    "run": 1, "refused worker": 1, "refused doctor --json": 1,
    "refused work": 2, "refused status": 2, "refused resume c": 2, "refused db status": 2,
    "refused pause c": 2, "refused cancel c": 2, "refused rerun c --stage advance": 2,
    "refused models c --out m": 2, "refused scorecards": 2, "refused dashboard --port=0": 2,
}  # fmt: skip


def leaks_in_database(port: int) -> list[str]:
    """Search every document of every database, the log of all writes too."""
    from authenticated import root_client

    found = []
    with root_client(port) as client:
        names = [f"d.{name}" for name in client["d"].list_collection_names()]
        for name in [*names, "local.oplog.rs", "local.startup_log"]:
            db, _, collection = name.partition(".")
            raw = client.codec_options.with_options(document_class=RawBSONDocument)
            leaks = sum(holds(doc.raw) for doc in client[db][collection].with_options(raw).find())
            found += [f"{name}: {leaks} documents"] if leaks else []
        assert client["d"]["outputs_blobs.chunks"].count_documents({}) > 0
        assert client["local"]["oplog.rs"].count_documents({}) > 100
    return found


def leaks_in_files(folder: Path, expected: set[str]) -> list[str]:
    """Search all files of a folder, those of these names among them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert expected <= {path.name for path in files}
    return [str(path) for path in files if path.name not in KEEPERS and holds(content(path))]


def content(path: Path) -> bytes:
    """Read a file; SLURM may replace its own meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


#: Files of runs, of SLURM's jobs and of the commands that must have been searched.
LEFT = {
    "seen.json", "FW.json", "worker-0.log", "c.html", "FW_submit.script", "submit.log",
    "committee.json", "member-0.model", "dashboard.log",
}  # fmt: skip


@pytest.mark.timeout(900)  # several processes start, each with FireWorks and jobflow
def test_a_password_is_left_nowhere(tmp_path, ionloop_home, main, monkeypatch):
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    from authenticated import mongod_with_users

    with mongod_with_users("d", "runner", PASSWORD) as (port, log):
        with environment({"IONLOOP_DB_URI": uri(port, PASSWORD), "IONLOOP_DB_NAME": "d"}):
            said = run_all(main, tmp_path) | run_cluster(tmp_path) | run_control(main, tmp_path)
        with environment({"IONLOOP_DB_URI": uri(port, WRONG), "IONLOOP_DB_NAME": "d"}):
            said |= run_refused(main, ionloop_home)
        assert [name for name, (_, text) in said.items() if holds(text)] == []
        assert leaks_in_database(port) == []
        assert not holds(log.read_bytes())
    broken = next(name for name in said if "broken" in name)
    assert {name: code for name, (code, _) in said.items() if code} == ENDS | {broken: 2}, said
    assert b"not authorized on admin" in said["status c"][1]
    assert b"Authentication failed" in said["refused worker"][1]
    assert leaks_in_files(tmp_path, LEFT) == []
    assert {path.suffix for path in tmp_path.rglob("ionloop-light-*")} == {".out", ".error"}
    told = {path.parent.parent for path in tmp_path.rglob("seen.json")}
    (launcher,) = told - {ionloop_home / "runs" / "c"}
    assert launcher.is_relative_to(tmp_path / "jobs" / "light")
    assert (launcher / "FW_submit.script").is_file()
    homes = [ionloop_home / name for name in KEEPERS - {"my_launchpad.yaml"}]
    for keeper in [*homes, *(tmp_path / "cluster" / name for name in KEEPERS)]:
        assert stat.S_IMODE(keeper.stat().st_mode) == 0o600
        assert holds(keeper.read_bytes())


SECRET = f"mongodb://u:{CORE}@127.0.0.1:1/?connect=false"


def test_what_prints_itself_prints_no_password(ionloop_home):
    variables = {
        "IONLOOP_DB_URI": f"{SECRET}&serverSelectionTimeoutMS=1", "IONLOOP_DB_PATIENCE_S": "1",
    }  # fmt: skip
    with environment(variables) as settings:
        store = job_store()
        for shown in (settings, store, store.docs_store, store.additional_stores["data"]):
            assert CORE not in f"{shown!r} {shown}"
        with pytest.raises(Exception, match=r"127\.0\.0\.1:1") as caught:
            launchpad()
        assert CORE not in str(caught.value)


def test_a_launch_pad_prints_no_password(ionloop_db):
    lp = launchpad()
    lp.host = SECRET
    assert repr(lp) == str(lp) == f"LaunchPad(127.0.0.1:1, {ionloop_db!r})"


def test_a_worker_hides_the_password_from_what_it_starts(ionloop_home):
    with environment({"IONLOOP_DB_URI": SECRET, "IONLOOP_DB_PASSWORD_FILE": None}):
        before = database_uri()
        hide_password()
        assert CORE not in str(os.environ)
        assert database_uri() == before
        keeper = Path(os.environ["IONLOOP_DB_PASSWORD_FILE"])
        assert stat.S_IMODE(keeper.stat().st_mode) == 0o600
        hide_password()  # a worker's worker
        assert database_uri() == before


def test_a_password_in_a_file_stays_there(ionloop_home, tmp_path):
    secret = tmp_path / "password"
    secret.touch(0o600)
    secret.write_text(PASSWORD)
    given = {"IONLOOP_DB_URI": "mongodb://u@h:1/", "IONLOOP_DB_PASSWORD_FILE": str(secret)}
    with environment(given):
        before = database_uri()
        hide_password()
        assert database_uri() == before
        assert quote_plus(PASSWORD) in before
        assert CORE not in str(os.environ)


def test_without_a_uri_there_is_nothing_to_hide(ionloop_home):
    hide_password()
    assert not ionloop_home.exists()
    assert get_settings().db_password_file is None
