"""Processes that must not outlive their parent, and leftovers of those that were killed."""

from __future__ import annotations

import ctypes
import getpass
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Environment variable that marks a worker and all that it starts.
RUN_MARK = "IONLOOP_RUN_MARK"
_PR_SET_PDEATHSIG = 1


def user_name() -> str:
    """Return the name of the user who runs this process; a container may know a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def die_with_parent(sig: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to send this process ``sig`` when its parent ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(sig))


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self/stat").exists()


def birth(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; None if it isn't there or known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def marked_processes(mark: str) -> list[int]:
    """Return the processes whose environment carries ``RUN_MARK=mark`` (Linux only)."""
    wanted = f"{RUN_MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # another user's process, or one that has just ended
            continue
        if wanted in environment.split(b"\0") and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def kill_marked(mark: str) -> int:
    """Kill all that a dead run left behind; return how many processes that were.

    A worker that is killed can't stop the DFT code or the training that it started.
    Call it only while holding the campaign's run lock, so that nobody alive is hit.
    """
    killed = 0
    for pid in marked_processes(mark):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed += 1
    return killed


def run_logged(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> int:
    """Run a command to its end with output to a file; return its exit status.

    Parameters
    ----------
    command
        Program and arguments.
    log
        File that stdout and stderr are appended to.
    env
        Variables added to the environment.
    """
    with (
        log.open("ab") as out,
        subprocess.Popen(
            list(command),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            preexec_fn=die_with_parent,  # noqa: PLW1509
        ) as process,
    ):
        return process.wait()
