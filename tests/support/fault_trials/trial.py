"""One trial: a campaign under faults, driven until it is finished, then examined."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import engine_jobs

from fault_trials import faults
from fault_trials.checks import unfinished, violations
from fault_trials.disk import can_mount, small_disk
from fault_trials.plan import LABEL_S, LABELS, Plan
from fault_trials.proxy import Proxy
from fault_trials.server import Server
from fault_trials.zygote import Zygote
from ionloop.engine.flows import submit
from ionloop.engine.launchpad import launchpad
from ionloop.errors import IonloopError
from ionloop.processes import kill_marked, marked_processes
from ionloop.testing import environment

SUPPORT = Path(__file__).resolve().parents[1]
#: Seconds between two looks.
LOOK_S = 0.01
#: A campaign that needs more resumes than this isn't driven on.
MAX_RESUMES = 8


class HungError(Exception):
    """Nothing moved for a long time."""


@dataclass
class Outcome:
    """What became of a trial."""

    plan: Plan
    done: list[str] = field(default_factory=list)
    #: Faults that came too late to matter, for example to a disk that nobody needed any more.
    missed: list[str] = field(default_factory=list)
    resumes: int = 0
    wall_s: float = 0.0
    paid_twice: int = 0
    cut: int = 0
    dataset_hash: str = ""
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        return not self.violations


class Trial:
    """A campaign, its launchers, and what is done to them."""

    #: A trial in which nothing moves for so long hangs, s.
    hangs_s = 240.0
    #: Whether a job may go on in a copy of its folder, with the result that is there.
    copies = False

    def __init__(
        self, plan: Plan, server: Server, zygote: Zygote, *, drop_s: float, expected_hash: str
    ) -> None:
        self.plan = plan
        self.server = server
        self.zygote = zygote
        self.drop_s = drop_s
        self.rng = random.Random(f"{plan.seed} faults")
        self.campaign = f"trial-{plan.seed}"
        self.outcome = Outcome(plan)
        self.folder = Path(tempfile.mkdtemp(prefix="ionloop-trial-"))
        self.home = self.folder / "home"
        self.ledger = self.folder / "ledger"
        self.log = self.folder / "launcher.log"
        self.launcher = 0
        self.take_over = False
        self.proxy: Proxy | None = None
        #: Folders of launchers on "other machines", and of workers beside the launcher's.
        self.other_homes: list[Path] = []
        #: Labels that may have been paid twice, since their worker counted as gone; how often more.
        self.may_pay_twice: Counter[str] = Counter()
        #: The undisturbed run's; "" for that run itself.
        self.expected_hash = expected_hash

    # ------------------------------------------------------------ the whole

    def run(self) -> Outcome:
        """Run it; what it left is removed if nothing was violated."""
        begin = time.monotonic()
        with ExitStack() as stack:
            stack.callback(self._clean)
            self._prepare(stack)
            try:
                self._drive()
                self.outcome.violations += violations(self)
            except (HungError, AssertionError, IonloopError) as error:
                self.outcome.violations.append(f"{type(error).__name__}: {error}")
                self.outcome.notes.append(unfinished(self.campaign))
            self.outcome.wall_s = time.monotonic() - begin
            if not self.outcome.survived:  # a small disk goes with its logs
                for log in sorted(self.home.glob("runs/*/worker-*.log")):
                    shutil.copy(log, self.folder / log.name)
        return self.outcome

    def _prepare(self, stack: ExitStack) -> None:
        uri = self.server.uri
        if {"connection_drop", "connection_held", "database_lost"} & set(self.plan.kinds):
            self.proxy = stack.enter_context(Proxy(self.server.port))
            uri = f"mongodb://127.0.0.1:{self.proxy.port}/?directConnection=true"
        self.mounted = can_mount() and self.rng.random() < 0.7
        if "disk_full" in self.plan.kinds and self.mounted:
            stack.enter_context(small_disk(self.home / "runs", size_mb=8))
        path = [str(SUPPORT)]
        if "launcher_kill_workers_left" in self.plan.kinds:
            path.insert(0, str(SUPPORT / "fault_trials" / "leave"))
        self.env = {
            "IONLOOP_HOME": str(self.home),
            "IONLOOP_DB_NAME": self.campaign.replace("-", "_"),
            "PYTHONPATH": os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")]),
            "IONLOOP_MIN_FREE_MB": str(self.rng.choice([0, 1])),
        }
        if (
            "machine_lost" in self.plan.kinds
        ):  # as its jobs would be told to: docs/reference/faults.md
            self.env["IONLOOP_WORK_DIR"] = str(self.folder)
        if "database_lost" in self.plan.kinds:
            self.env["IONLOOP_DB_PATIENCE_S"] = "6"
        # Launchers come by the proxy; this process looks directly.
        here = {**self.env, "IONLOOP_DB_URI": self.server.uri}
        stack.enter_context(environment(here))
        self.env = {**os.environ, **self.env, "IONLOOP_DB_URI": uri}

    def _drive(self) -> None:
        work = (self.plan.generations - 1, LABELS, str(self.ledger), LABEL_S, "calculation")
        submit(engine_jobs.generation_flow(0, *work), self.campaign)
        self.resume()
        for kind, moment in self.plan.faults:
            if not self.wait_until(lambda n=moment.begun: self.begun() >= n):
                self.outcome.missed.append(kind)
            else:
                time.sleep(moment.delay_s)
                effective = self.fault(kind)(self)
                (self.outcome.done if effective else self.outcome.missed).append(kind)
        while not self.wait_for_end():
            self.resume()

    def fault(self, kind: str) -> Callable[[Trial], bool]:
        """Return what does a kind of fault."""
        return getattr(faults, kind)

    def _clean(self) -> None:
        for mark in self.marks():
            kill_marked(mark)
        if self.outcome.survived:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.outcome.notes.append(f"its folder is kept: {self.folder}")

    # ------------------------------------------------------------ launchers

    def resume(self) -> None:
        """Start a launcher as a user would; one that the database can't yet serve ends at once."""
        args = ["resume", self.campaign, "--workers", str(self.plan.workers)]
        if self.take_over:
            args.append("--take-over")
            self.take_over = False
        self.start(args)

    def start(self, args: list[str]) -> None:
        """Start ``ionloop ARGS``."""
        if self.launcher:
            self.outcome.resumes += 1
        self.launcher = self.zygote.start(args, self.env, self.log)

    def status(self) -> int | None:
        """Return the launcher's exit status; None while it runs."""
        return self.zygote.status(self.launcher)

    def wait_for_end(self) -> bool:
        """Wait until the launcher ends; return whether the campaign is finished."""
        self.wait(lambda: self.status() is not None)
        if self.status() == 0:
            return True
        note = f"launcher {self.launcher} ended with {self.status()}: {self.last_words()}"
        if note not in self.outcome.notes:
            self.outcome.notes.append(note)
        if self.outcome.resumes >= MAX_RESUMES:
            msg = f"not finished after {MAX_RESUMES} resumes"
            raise HungError(msg)
        return False

    def wait_until(self, condition) -> bool:
        """Wait for a moment, resuming what ends; False if the campaign finishes before it."""
        while not condition():
            if self.status() == 0:
                return False
            if self.status() is not None:
                self.wait_for_end()
                self.resume()
            self.wait(lambda: condition() or self.status() is not None)
        return True

    def wait(self, condition) -> None:
        """Wait for a condition.

        Raises
        ------
        HungError
            If nothing moves for a long time.
        """
        moved, seen = time.monotonic(), None
        while not condition():
            now = self.progress()
            if now != seen:
                moved, seen = time.monotonic(), now
            if time.monotonic() - moved > self.hangs_s:
                msg = f"nothing moved for {self.hangs_s:.0f} s; {self.last_words()}"
                raise HungError(msg)
            self.tend()
            time.sleep(LOOK_S)

    def progress(self) -> object:
        """Return what changes while the trial goes on."""
        return (self.size(self.ledger), self.size(self.log), self.status())

    def tend(self) -> None:
        """Do what somebody would while others wait."""

    # ------------------------------------------------------------ what there is

    @staticmethod
    def size(path: Path) -> int:
        return path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    def begun(self) -> int:
        return sum(line.startswith("begin") for line in self.lines())

    def last_words(self) -> str:
        said = self.log.read_text().splitlines() if self.log.exists() else []
        return " | ".join(said[-2:])

    def workers(self) -> list[int]:
        """Return the worker processes of the launcher that runs."""
        path = Path(f"/proc/{self.launcher}/task/{self.launcher}/children")
        try:
            pids = [int(pid) for pid in path.read_text().split()]
        except FileNotFoundError:
            return []
        return [pid for pid in pids if is_worker(pid)]

    def busy(self) -> list[int]:
        """Return the workers that have a job, from before its checkout until after its end."""
        idle = self.home / "runs" / self.campaign
        return [pid for pid in self.workers() if folder_of(pid) not in (None, idle)]

    def allow_twice(self, fw_id: int) -> None:
        """Note that a job's label may be paid once more; other kinds of jobs have none."""
        job = launchpad().get_fw_dict_by_id(fw_id)["spec"]["_tasks"][0]["job"]
        if job["name"] == "calculation":
            self.may_pay_twice[job["function_args"][0]] += 1

    def orphans(self) -> list[int]:
        """Return what runs of the campaign though its launcher has ended."""
        return [pid for mark in self.marks() for pid in marked_processes(mark)]

    def marks(self) -> list[str]:
        """Return what marks the trial's processes."""
        return [str(home / "runs" / self.campaign) for home in (self.home, *self.other_homes)]


def folder_of(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_worker(pid: int) -> bool:
    try:
        return b"ionloop.engine.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
