"""The mongod of docker-compose.yml without Docker: its entry point, options and secrets, for real.

Three things differ, named in :func:`swaps`: folders, the port, and the address, since nothing of
ours may listen on more than loopback here.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ionloop.processes import die_with_parent
from ionloop.store.initialise import Server
from ionloop.store.mongod import find_mongod, free_port

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
MAKE_SECRETS = ROOT / "docker" / "make-secrets.sh"


def fill(value):
    """Replace ${NAME:-default} by its default, as compose does."""
    if isinstance(value, dict):
        return {key: fill(part) for key, part in value.items()}
    if isinstance(value, list):
        return [fill(part) for part in value]
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) if isinstance(value, str) else value


def read_compose() -> dict:
    """Read docker-compose.yml, defaults filled in."""
    return fill(yaml.safe_load(COMPOSE.read_text()))


def make_secrets(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run docker/make-secrets.sh."""
    command = [MAKE_SECRETS, *arguments, folder]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@dataclass(frozen=True)
class Composed:
    """One mongod with users, its secrets, and a way to start it again."""

    folder: Path
    port: int

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def log(self) -> Path:
        return self.folder / "mongod.log"

    @property
    def server(self) -> Server:
        return Server(self.secrets, "ionloop", self.port, patience_s=30.0)

    def variables(self, user: str) -> dict[str, str]:
        """Return the settings of compose's services, for this port."""
        uri = f"mongodb://{user}@127.0.0.1:{self.port}/?directConnection=true&authSource=ionloop"
        return {
            "IONLOOP_DB_URI": uri,
            "IONLOOP_DB_NAME": "ionloop",
            "IONLOOP_DB_PASSWORD_FILE": str(self.secrets / f"{user}_password"),
        }

    def elsewhere(self) -> Composed:
        """Return the same data folder on another port."""
        return replace(self, port=free_port())


def swaps(one: Composed) -> dict[str, str]:
    """Return what differs from compose, option by option."""
    return {
        "/run/secrets/keyfile": str(one.secrets / "keyfile"),
        "/run/ionloop/keyfile": str(one.folder / "keyfile"),
        "--keyFile=/run/ionloop/keyfile": f"--keyFile={one.folder / 'keyfile'}",
        "mongodb": str(os.getuid()),
        "--bind_ip_all": "--bind_ip=127.0.0.1",
        "--port=27017": f"--port={one.port}",
        "--wiredTigerCacheSizeGB=1": "--wiredTigerCacheSizeGB=0.25",
    }


def command_of(one: Composed, service: dict) -> list[str]:
    """Return entry point and command of compose's mongo, with the swaps."""
    shell, script, *secret = service["entrypoint"]
    mounts = [volume.split(":") for volume in service["volumes"]]
    host = next(host for host, inside, *_ in mounts if inside == script)
    words = [*secret, *service["command"]]
    missing = set(swaps(one)) - set(words)
    assert not missing, f"docker-compose.yml no longer says {missing}"
    return [shell, str(ROOT / host), *(swaps(one).get(word, word) for word in words)]


@contextmanager
def running(one: Composed) -> Iterator[None]:
    """Run it; what it needs of the image is a docker-entrypoint.sh and a mongod on PATH."""
    programs = one.folder / "bin"
    programs.mkdir(exist_ok=True)
    stand_in = programs / "docker-entrypoint.sh"
    extra = f"--dbpath={one.folder / 'db'} --nounixsocket --oplogSize=64"
    stand_in.write_text(f'#!/bin/sh\nexec "$@" {extra}\n')  # the image's own has the data folder
    stand_in.chmod(0o755)
    if not (programs / "mongod").exists():
        (programs / "mongod").symlink_to(find_mongod())
    (one.folder / "db").mkdir(exist_ok=True)
    with one.log.open("ab") as log:
        process = subprocess.Popen(
            command_of(one, read_compose()["services"]["mongo"]),
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def composed() -> Iterator[Composed]:
    """Run a fresh one in memory, not initialised yet."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    # Named and held as ionloop.testing does, which removes what killed tests left.
    folder = Path(tempfile.mkdtemp(prefix="ionloop-mongod-", dir=place))
    try:
        one = Composed(folder, free_port())
        done = make_secrets(one.secrets)
        assert done.returncode == 0, done.stderr
        with (folder / "held").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with running(one):
                yield one
    finally:
        shutil.rmtree(folder, ignore_errors=True)
