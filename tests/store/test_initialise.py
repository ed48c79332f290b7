"""``ionloop db init`` on a real mongod, started by the entry point and options of compose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest
from composed import Composed, composed, make_secrets, running
from pymongo.errors import OperationFailure

from ionloop.engine.flows import submit
from ionloop.engine.launchpad import launchpad
from ionloop.errors import StoreError
from ionloop.store.connection import database, job_store
from ionloop.store.indexes import missing_indexes
from ionloop.store.initialise import Server, initialise
from ionloop.store.queries import campaign_record, status
from ionloop.testing import environment

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def ready():
    """A server that `ionloop db init` has set up."""
    with composed() as one:
        done = run_init(one)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[:4] == [
            "replica set rs0: initiated",
            "root: created",
            "runner: created, readWrite on ionloop",
            "viewer: created, read on ionloop",
        ]
        yield one


@pytest.fixture
def runner(ready, ionloop_home):
    with environment(ready.variables("runner")):
        yield ready


@pytest.fixture
def viewer(ready, ionloop_home):
    with environment(ready.variables("viewer")):
        yield ready


def run_init(one: Composed) -> subprocess.CompletedProcess[str]:
    return run_cli("db", "init", str(one.secrets), "--port", str(one.port), "--wait", "30")


def run_cli(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ionloop.cli", *arguments],
        env={**os.environ, "IONLOOP_DB_NAME": "ionloop", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def secret(one: Composed, user: str) -> str:
    return (one.secrets / f"{user}_password").read_text()


def client_of(one: Composed, **login) -> pymongo.MongoClient:
    return pymongo.MongoClient("127.0.0.1", one.port, directConnection=True, **login)


# ---------------------------------------------------------------- who may do what


def test_nobody_reads_without_a_password(ready):
    with client_of(ready) as nobody:
        for act in (
            nobody.ionloop.outputs.find_one,
            lambda: nobody.ionloop.outputs.insert_one({}),
            nobody.list_database_names,
            lambda: nobody.admin.command("createUser", "me", pwd="x", roles=["root"]),
        ):
            with pytest.raises(OperationFailure, match="authentication"):
                act()


def test_runner_keeps_to_its_database(runner):
    db = database()
    db.probe.insert_one({"a": 1})
    db.drop_collection("probe")
    for act in (
        lambda: db.client.other.probe.insert_one({}),
        db.client.other.probe.find_one,
        db.client.admin.system.users.find_one,
        lambda: db.command("createUser", "me", pwd="x", roles=[]),
    ):
        with pytest.raises(OperationFailure, match="not authorized"):
            act()


def test_runner_does_what_fireworks_and_jobflow_do(runner):
    lp = launchpad()
    lp.reset("", require_password=False, max_reset_wo_password=10**6)
    store = job_store()
    store.connect()
    document = {"uuid": "u", "index": 1, "output": {"blob": {"big": "x" * 2**20}}}
    store.update(document, key=["uuid", "index"], save={"data": ["blob"]})
    assert store.query_one({"uuid": "u"}, load=True)["output"]["blob"] == {"big": "x" * 2**20}
    assert "blob_uuid" in store.query_one({"uuid": "u"})["output"]["blob"]
    store.remove_docs({"uuid": "u"})
    assert missing_indexes(database()) == []


def test_viewer_reads_and_does_not_write(viewer):
    db = database()
    db.outputs.find_one()
    for act in (
        lambda: db.outputs.insert_one({}),
        lambda: db.outputs.create_index("x"),
        lambda: db.fireworks.delete_many({}),
        db.client.other.outputs.find_one,
    ):
        with pytest.raises(OperationFailure, match="not authorized"):
            act()


def test_a_campaign_runs_as_runner_and_is_read_as_viewer(
    ready, ionloop_home, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    import engine_jobs

    ledger = tmp_path / "ledger"
    with environment(ready.variables("runner")):
        submit(engine_jobs.generation_flow(0, 1, 2, str(ledger), 0.0), "c")
        done = run_cli("resume", "c", "--workers", "2")
        assert done.returncode == 0, done.stderr
    assert sorted(ledger.read_text().split()) == ["0.0", "0.1", "1.0", "1.1"]
    with environment(ready.variables("viewer")):
        assert status("c").state == "finished"
        assert campaign_record("c").shards[0].n_admitted == 2
        assert json.loads(run_cli("status", "c", "--json").stdout)["n_labels"] == 4
        report = run_cli("report", "c", "--out", str(tmp_path / "c.html"))
        assert report.returncode == 0, report.stderr
        refused = run_cli("resume", "c")
    assert refused.returncode != 0
    said = done.stdout + done.stderr + refused.stdout + refused.stderr
    held = [file.read_text(errors="replace") for file in ionloop_home.rglob("*") if file.is_file()]
    for user in ("root", "runner", "viewer"):
        assert secret(ready, user) not in said
    # Workers read the store from one file of their owner's; nothing else holds the password.
    assert sum(secret(ready, "runner") in text for text in held) == 1
    assert secret(ready, "runner") not in str(list(database_as_root(ready)))


def database_as_root(one: Composed):
    """Yield every document of the campaign database."""
    login = {"username": "root", "password": secret(one, "root"), "authSource": "admin"}
    with client_of(one, **login) as root:
        for name in root.ionloop.list_collection_names():
            yield from root.ionloop[name].find()


# ---------------------------------------------------------------- once more, and new passwords


def test_a_second_run_changes_nothing(ready):
    before = shape(ready)
    done = run_init(ready)
    assert done.returncode == 0, done.stderr
    assert [line.split(": ")[1] for line in done.stdout.splitlines()[:4]] == ["is there"] * 4
    assert shape(ready) == before


def shape(one: Composed) -> tuple:
    login = {"username": "root", "password": secret(one, "root"), "authSource": "admin"}
    with client_of(one, **login) as root:
        users = root.admin.command("usersInfo", {"forAllDBs": True}, showCredentials=True)["users"]
        version = root.admin.command("replSetGetConfig")["config"]["version"]
    return sorted(str(user) for user in users), version


def test_no_password_is_said_or_logged(ready):
    done = run_init(ready)
    log = ready.log.read_text(errors="replace")
    assert '"port":' in log  # it is the log
    for user in ("root", "runner", "viewer"):
        assert secret(ready, user) not in done.stdout + done.stderr + log


def test_new_passwords_follow_their_files():
    with composed() as one:
        initialise(one.server)
        olds = {user: secret(one, user) for user in ("root", "runner", "viewer")}
        make_secrets(one.secrets, "--renew", "runner_password", "--renew", "root_password")
        assert initialise(one.server)[1:4] == [
            "root: new password",
            "runner: new password",
            "viewer: is there",
        ]
        assert secret(one, "viewer") == olds["viewer"]
        for user in ("root", "runner"):
            source = "admin" if user == "root" else "ionloop"
            login = {"username": user, "authSource": source}
            with client_of(one, password=secret(one, user), **login) as known:
                known.admin.command("ping")
            stale = client_of(one, password=olds[user], **login)
            with stale, pytest.raises(OperationFailure, match="Authentication failed"):
                stale.admin.command("ping")


def test_a_role_that_somebody_changed_is_mended(ready):
    login = {"username": "root", "password": secret(ready, "root"), "authSource": "admin"}
    with client_of(ready, **login) as root:
        root.ionloop.command("updateUser", "viewer", roles=["readWrite"])
    assert "viewer: roles mended" in initialise(ready.server)
    assert "viewer: is there" in initialise(ready.server)


def test_root_with_another_password_is_an_error_that_says_what_to_do(ready, tmp_path):
    shutil.copytree(ready.secrets, tmp_path / "secrets")
    make_secrets(tmp_path / "secrets", "--renew", "root_password")
    (tmp_path / "secrets" / "root_password.old").unlink()
    with pytest.raises(StoreError, match=r"put the last one into root_password\.old") as caught:
        initialise(Server(tmp_path / "secrets", "ionloop", ready.port))
    assert secret(ready, "root") not in str(caught.value)
    assert (tmp_path / "secrets" / "root_password").read_text() not in str(caught.value)


def test_the_member_follows_a_changed_port():
    """As when IONLOOP_MONGO_PORT is changed: the data folder knows the old name."""
    with composed() as one:
        initialise(one.server)
        moved = one.elsewhere()
        with running_again(one, moved):
            assert initialise(moved.server)[0] == "replica set rs0: moved"
            assert initialise(moved.server)[0] == "replica set rs0: is there"


def running_again(one: Composed, moved: Composed):
    login = {"username": "root", "password": secret(one, "root"), "authSource": "admin"}
    with client_of(one, **login) as root, pytest.raises(pymongo.errors.AutoReconnect):
        root.admin.command("shutdown", force=True)
    return running(moved)


# ---------------------------------------------------------------- errors in one line


def one_line_of(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ionloop: error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_wrong_password_is_one_line_without_it(ready, ionloop_home, tmp_path):
    wrong = tmp_path / "password"
    wrong.write_text("canary-of-a-password\n")
    wrong.chmod(0o600)
    variables = ready.variables("viewer") | {"IONLOOP_DB_PASSWORD_FILE": str(wrong)}
    said = one_line_of(run_cli("status", **variables))
    assert "expected a user and password that it knows" in said
    assert "canary" not in said


def test_a_missing_secret_stops_it_before_anything_is_changed(tmp_path):
    make_secrets(tmp_path / "secrets")
    (tmp_path / "secrets" / "viewer_password").unlink()
    with pytest.raises(StoreError, match="password of viewer: expected a file with one line"):
        initialise(Server(tmp_path / "secrets", "ionloop", 1, patience_s=0))


def test_no_server_is_one_line(tmp_path):
    make_secrets(tmp_path / "secrets")
    done = run_cli("db", "init", str(tmp_path / "secrets"), "--port", "1", "--wait", "0.2")
    assert "expected an answer of a mongod at 127.0.0.1:1" in one_line_of(done)
