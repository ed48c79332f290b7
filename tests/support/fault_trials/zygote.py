"""Starts launchers fast: all is imported once, and each launcher is a fork that runs the CLI.

Reads a line of JSON a launcher, answers its process number, and its status when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from pathlib import Path

from ionloop.processes import die_with_parent


class Zygote:
    """The client's side: starts launchers and knows how they ended."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fault_trials.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ended: dict[int, int] = {}
        self._born: list[int] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def start(
        self, args: list[str], env: dict[str, str], log: Path, folder: Path | None = None
    ) -> int:
        """Start ``ionloop ARGS``, in a folder; return its process number."""
        line = json.dumps(
            {"args": args, "env": env, "log": str(log), "folder": str(folder or Path.cwd())}
        )
        with self._news:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            assert self._news.wait_for(lambda: self._born, timeout=60), "no zygote"
            return self._born.pop()

    def status(self, pid: int) -> int | None:
        """Return how a launcher ended, negative for a signal; None if it runs."""
        with self._news:
            return self._ended.get(pid)

    def close(self) -> None:
        """End the zygote; it leaves no launcher behind."""
        self._process.stdin.close()
        self._process.wait(30)
        self._thread.join(5)
        self._process.stdout.close()

    def _listen(self) -> None:
        for line in self._process.stdout:
            said = json.loads(line)
            with self._news:
                if "status" in said:
                    self._ended[said["pid"]] = said["status"]
                else:
                    self._born.append(said["pid"])
                self._news.notify_all()


def _fork(order: dict) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        die_with_parent()  # also where the trials are killed
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["env"])
        sys.argv = ["ionloop", *order["args"]]
        _ionloop()
    finally:
        os._exit(70)


def _ionloop() -> None:
    import traceback

    from ionloop.cli.commands import main

    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def main() -> None:
    """Fork launchers until the input ends, then kill those that are left."""
    import ionloop.cli.commands
    import ionloop.engine.cluster.guard
    import ionloop.engine.local.launcher
    import ionloop.report.html  # noqa: F401

    alive: set[int] = set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as ready:
        ready.register(sys.stdin, selectors.EVENT_READ, "order")
        ready.register(reader, selectors.EVENT_READ, "child")
        while True:
            kinds = [key.data for key, _ in ready.select()]
            if "child" in kinds:
                os.read(reader, 4096)
                _reap(alive)
            if "order" in kinds:
                line = sys.stdin.readline()
                if not line:
                    break
                pid = _fork(json.loads(line))
                alive.add(pid)
                _say({"pid": pid})
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _reap(alive: set[int]) -> None:
    while alive:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        alive.discard(pid)
        _say({"pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _say(what: dict) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
