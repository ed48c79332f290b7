"""docker-compose.yml: valid, nothing published beyond loopback, no secret in it, true to the code.

No Docker engine is needed. What mongod and `ionloop db init` do with these options is tested in
tests/store/test_initialise.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import yaml
from composed import COMPOSE, ROOT, Composed, command_of, make_secrets, read_compose

from ionloop.cli import app
from ionloop.settings import Settings
from ionloop.store.initialise import USERS
from ionloop.store.mongod import REPLICA_SET


@pytest.fixture(scope="module")
def compose() -> dict:
    return read_compose()


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """Hold a file to the compose specification's own schema, which check-jsonschema ships."""
    schema = ("--builtin-schema", "vendor.compose-spec")
    command = [sys.executable, "-m", "check_jsonschema", *schema, path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_is_valid_compose() -> None:
    done = validate(COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("service", "key", "value"),
    [
        ("mongo", "comand", ["mongod"]),
        ("mongo", "healthcheck", {"test": ["CMD", {"a": "b"}]}),
        ("init", "depends_on", {"mongo": {"condition": "ready"}}),
        ("dashboard", "ports", "8050"),
    ],
)
def test_the_schema_finds_planted_mistakes(tmp_path, service, key, value) -> None:
    broken = yaml.safe_load(COMPOSE.read_text())
    broken["services"][service][key] = value
    path = tmp_path / "docker-compose.yml"
    path.write_text(yaml.safe_dump(broken))
    done = validate(path)
    assert done.returncode == 1
    assert f"$.services.{service}" in done.stdout


def test_mongod_runs_as_a_replica_set_with_keyfile_and_authentication(compose) -> None:
    options = compose["services"]["mongo"]["command"]
    assert options[0] == "mongod"
    assert {f"--replSet={REPLICA_SET}", "--auth"} < set(options)
    assert "--keyFile=/run/ionloop/keyfile" in options
    assert compose["services"]["mongo"]["image"] == "mongo:8.0"


def test_the_tests_run_mongod_with_these_options(compose) -> None:
    """Folders, port, cache and address are swapped; every other option must be the same."""
    one = Composed(Path("/somewhere"), 1)
    words = command_of(one, compose["services"]["mongo"])
    expected = compose["services"]["mongo"]["command"]
    ours = words[-len(expected) :]
    same = [a for a, b in zip(ours, expected, strict=True) if a == b]
    assert same == ["mongod", "--replSet=rs0", "--auth"]
    names = [[word.split("=")[0] for word in line] for line in (ours, expected)]
    assert [n.replace("_all", "") for n in names[1]] == names[0]


def test_an_option_that_is_gone_is_noticed(compose) -> None:
    mongo = compose["services"]["mongo"]
    changed = {**mongo, "command": [w for w in mongo["command"] if w != "--port=27017"]}
    with pytest.raises(AssertionError, match="no longer says"):
        command_of(Composed(Path("/somewhere"), 1), changed)


def test_ports_are_published_on_loopback_only(compose) -> None:
    ports = [port for one in compose["services"].values() for port in one.get("ports", [])]
    assert ports == ["127.0.0.1:27017:27017", "127.0.0.1:8050:8050"]


def test_logs_are_bounded(compose) -> None:
    bound = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}
    assert [one["logging"] for one in compose["services"].values()] == [bound] * 4


def test_the_address_of_the_database_alone_can_be_set() -> None:
    set_by = re.findall(r'"\$\{(\w+):-127\.0\.0\.1\}:', COMPOSE.read_text())
    assert set_by == ["IONLOOP_MONGO_BIND"]


def test_nobody_starts_before_the_database_is_set_up(compose) -> None:
    services = compose["services"]
    assert services["init"]["depends_on"]["mongo"]["condition"] == "service_healthy"
    assert services["init"]["network_mode"] == "service:mongo"
    assert services["init"]["restart"] == "no"
    for name in set(services) - {"mongo", "init"}:
        wanted = services[name]["depends_on"]["init"]["condition"]
        assert wanted == "service_completed_successfully"
    # `up --wait` takes init's end for a fault unless a service that always runs depends on it.
    assert "profiles" not in services["dashboard"]


#: What a health check must say: how it is asked, how often, and what is left to it at the start.
HEALTH = {"test", "interval", "timeout", "retries", "start_period", "start_interval"}


def is_short(service: dict) -> bool:
    """Whether a service ends by itself."""
    return service["restart"] == "no"


def health_faults(services: dict) -> list[str]:
    """List services that run for long with no health check, and who starts before they are well."""
    found = [
        f"{name} lacks {sorted(lacking)}"
        for name, one in services.items()
        if not is_short(one) and (lacking := HEALTH - set(one.get("healthcheck", {})))
    ]
    for name, one in services.items():
        for other, wanted in one.get("depends_on", {}).items():
            short = is_short(services[other])
            expected = "service_completed_successfully" if short else "service_healthy"
            if wanted["condition"] != expected:
                found.append(f"{name} doesn't wait until {other} is {expected}")
    return found


def test_what_runs_for_long_says_whether_it_is_well(compose) -> None:
    services = compose["services"]
    assert {name for name, one in services.items() if is_short(one)} == {"init"}
    assert health_faults(services) == []


@pytest.mark.parametrize(
    ("service", "key", "value", "fault"),
    [
        ("worker", "healthcheck", {}, "worker lacks"),
        ("mongo", "healthcheck", {"disable": True}, "mongo lacks"),
        ("dashboard", "healthcheck", {"test": ["CMD", "true"]}, r"dashboard lacks \['interval'"),
        ("init", "depends_on", {"mongo": {"condition": "service_started"}}, "service_healthy"),
        ("dashboard", "depends_on", {"init": {"condition": "service_started"}}, "completed"),
    ],
)
def test_health_that_nobody_looks_at_is_found(service, key, value, fault) -> None:
    services = read_compose()["services"]
    services[service][key] = value
    (found,) = health_faults(services)
    assert re.search(fault, found)


def test_each_service_gets_the_secrets_that_it_needs(compose) -> None:
    got = {name: set(one["secrets"]) for name, one in compose["services"].items()}
    assert got == {
        "mongo": {"keyfile"},
        "init": {"root_password", *(f"{user}_password" for user in USERS)},
        "dashboard": {"viewer_password"},
        "worker": {"runner_password"},
    }


def test_each_service_says_who_it_is_and_connects_directly(compose) -> None:
    for service, user in {"dashboard": "viewer", "worker": "runner"}.items():
        given = compose["services"][service]["environment"]
        uri = given["IONLOOP_DB_URI"]
        assert uri == (
            f"mongodb://{user}@mongo:27017/?directConnection=true&authSource="
            + given["IONLOOP_DB_NAME"]
        )
        assert given["IONLOOP_DB_PASSWORD_FILE"] == f"/run/secrets/{user}_password"


def test_settings_that_services_get_exist(compose) -> None:
    for one in compose["services"].values():
        for name in one.get("environment", {}):
            assert name.removeprefix("IONLOOP_").lower() in Settings.model_fields


def test_our_services_run_without_rights(compose) -> None:
    for name in ("init", "dashboard", "worker"):
        one = compose["services"][name]
        assert one["cap_drop"] == ["ALL"]
        assert one["read_only"] is True
        assert one["user"] == "1000:1000"
        assert one["security_opt"] == ["no-new-privileges:true"]
    assert compose["services"]["worker"]["profiles"] == ["worker"]


def test_services_run_commands_that_exist(compose) -> None:
    """Names and options of the command lines, Dockerfile's included, as the program knows them."""
    lines = [one["command"] for name, one in compose["services"].items() if name != "mongo"]
    for line in [*lines, *dockerfile_commands()]:
        assert line[0] == "ionloop"
        command = typer.main.get_command(app)
        words = line[1:]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known


def dockerfile_commands() -> list[list[str]]:
    text = (ROOT / "docker" / "Dockerfile").read_text()
    return [yaml.safe_load(line[4:]) for line in text.splitlines() if line.startswith("CMD ")]


def test_every_file_that_compose_mounts_is_there(compose) -> None:
    mounts = [
        v.split(":")[0] for one in compose["services"].values() for v in one.get("volumes", [])
    ]
    local = [mount for mount in mounts if mount.startswith("./")]
    assert local
    assert all((ROOT / mount).is_file() for mount in local)
    assert set(mounts) - set(local) == set(compose["volumes"])


# ---------------------------------------------------------------- secrets


def test_secrets_come_from_files_outside_of_git(compose) -> None:
    for name, one in compose["secrets"].items():
        assert one["file"].endswith(f"/{name}")
        done = subprocess.run(["git", "-C", ROOT, "check-ignore", "-q", one["file"]], check=False)
        assert done.returncode == 0, f"{one['file']} isn't ignored by git"


def test_make_secrets_writes_each_once_and_for_its_owner_only(compose, tmp_path) -> None:
    folder = tmp_path / "secrets"
    assert make_secrets(folder).returncode == 0
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(written) == set(compose["secrets"])
    assert len(set(written.values())) == 4
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    make_secrets(folder)
    assert written == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_make_secrets_renews_in_place_what_is_named(tmp_path) -> None:
    folder = tmp_path / "secrets"
    make_secrets(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    inode = (folder / "runner_password").stat().st_ino
    renew = ("--renew", "runner_password", "--renew", "root_password")
    assert make_secrets(folder, *renew).returncode == 0
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {
        "runner_password",
        "root_password",
    }
    assert after["root_password.old"] == before["root_password"]
    assert (folder / "runner_password").stat().st_ino == inode
    refused = make_secrets(folder, "--renew", "keyfile")
    assert refused.returncode == 2
    assert "got 'keyfile'; name one of them" in refused.stderr


# ---------------------------------------------------------------- images


def test_compose_builds_stages_that_the_dockerfile_has(compose) -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text()
    stages = {line.split()[3] for line in text.splitlines() if line.startswith("FROM ")}
    builds = [one["build"] for one in compose["services"].values() if "build" in one]
    assert {build["target"] for build in builds} == stages - {"base"}
    assert {build["dockerfile"] for build in builds} == {"docker/Dockerfile"}


def test_images_run_as_nobody_special_and_pin_what_they_install() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text()
    for stage in text.split("FROM base AS ")[1:]:
        assert "USER ionloop" in stage
        installs = [line for line in stage.splitlines() if "pip install" in line]
        assert installs
        assert all("-c constraints.txt" in line for line in installs)
    dashboard = text.split("AS dashboard")[1].split("FROM ")[0]
    assert "torch" not in dashboard


def test_what_the_images_copy_is_there_and_in_the_context() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text()
    copied = {
        word
        for line in text.splitlines()
        if line.startswith("COPY ")
        for word in line.split()[1:-1]
    }
    shown = (ROOT / ".dockerignore").read_text().splitlines()
    assert all((ROOT / name).exists() for name in copied)
    assert "*" in shown
    assert {line[1:] for line in shown if line.startswith("!")} == copied
