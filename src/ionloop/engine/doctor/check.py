"""What a check is, and running all of them side by side with time limits."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from ionloop.settings import Settings

#: How long a check may take, s, unless it says more.
LIMIT_S = 20.0


class Role(StrEnum):
    """What a machine is for."""

    RUN = "run"
    WORK = "work"
    SUBMIT = "submit"
    READ = "read"


class Reference(StrEnum):
    """Which program computes the truth."""

    VASP = "vasp"
    CP2K = "cp2k"


#: Both where campaigns are launched and where they are computed.
COMPUTE = frozenset({Role.RUN, Role.WORK})
#: Where workers are handed to a batch system.
SUBMIT = frozenset({Role.SUBMIT})
#: All that write into the database.
WRITE = COMPUTE | SUBMIT
ALL = frozenset(Role)
OPTIONAL: frozenset[Role] = frozenset()


class Check(BaseModel):
    """One finding."""

    name: str
    ok: bool
    needed: bool = Field(description="Whether this machine can't do its work without it.")
    detail: str = Field(description="What was found.")
    mend: str = Field("", description="What to do where it isn't ok.")


@dataclass(frozen=True)
class Found:
    """What a probe says."""

    ok: bool
    detail: str
    mend: str = ""
    #: Not ok here is never more than a remark.
    minor: bool = False


@dataclass(frozen=True)
class Scene:
    """What probes look at: the settings, and the database or why there is none."""

    settings: Settings
    db: Any = None
    silent: str = ""


@dataclass(frozen=True)
class Probe:
    """A named check, and for what kinds of machines it is needed."""

    name: str
    look: Callable[[Scene], Found]
    needed_for: frozenset[Role] = OPTIONAL
    limit_s: float = LIMIT_S
    #: Asks the database: says so where there is none.
    asks: bool = False
    #: Needed, too, where this one is computed.
    reference: Reference | None = None

    def is_needed(self, role: Role, reference: Reference | None) -> bool:
        """Whether a machine needs it that is for ``role``, with this reference if any is named."""
        computed = reference is not None and self.reference is reference and role in COMPUTE
        return computed or role in self.needed_for


def run_probes(
    probes: Sequence[Probe], scene: Scene, role: Role, reference: Reference | None = None
) -> list[Check]:
    """Run all probes at once; what doesn't answer in time is a finding too."""
    answers: queue.Queue[tuple[int, Found]] = queue.Queue()
    for i, probe in enumerate(probes):
        # A daemon: one that hangs, for example on a dead file server, must not hold us up.
        threading.Thread(target=_answer, args=(i, probe, scene, answers), daemon=True).start()
    start = time.monotonic()
    found: dict[int, Found] = {}
    while len(found) < len(probes):
        open_ = [p.limit_s for i, p in enumerate(probes) if i not in found]
        left = start + max(open_) - time.monotonic()
        try:
            i, one = answers.get(timeout=max(left, 0.01))
        except queue.Empty:
            break
        found[i] = one
    needs = [probe.is_needed(role, reference) for probe in probes]
    return [_check(p, found.get(i) or _late(p), needed=needs[i]) for i, p in enumerate(probes)]


def _answer(i: int, probe: Probe, scene: Scene, answers: queue.Queue[tuple[int, Found]]) -> None:
    if probe.asks and scene.db is None:
        answers.put((i, Found(ok=False, detail="no database", mend="see database", minor=True)))
        return
    try:
        found = probe.look(scene)
    except Exception as error:  # noqa: BLE001 - whatever it is becomes this check's line
        detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
        found = Found(ok=False, detail=detail, mend="mend it, or report it as a bug of ionloop")
    answers.put((i, found))


def _late(probe: Probe) -> Found:
    return Found(
        ok=False,
        detail=f"no answer within {probe.limit_s:.0f} s",
        mend="look why it hangs: a dead file server, a busy machine, an unreachable host",
    )


def _check(probe: Probe, found: Found, *, needed: bool) -> Check:
    return Check(
        name=probe.name,
        ok=found.ok,
        needed=needed and not (found.minor and not found.ok),
        detail=found.detail,
        mend="" if found.ok else found.mend,
    )


def ask(command: Sequence[str], limit_s: float = 10.0) -> tuple[int, str]:
    """Run a program for what it says; return its exit status and its words, 124 if it hung."""
    try:
        said = subprocess.run(
            list(command),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {limit_s:.0f} s"
    return said.returncode, said.stdout
