"""A worker that is killed by the kernel at a chosen moment."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jobflow
import pymongo.collection
from fireworks import LaunchPad
from maggma.stores import GridFSStore, MongoStore

from ionloop.engine.launchpad import launchpad
from ionloop.engine.worker import Worker
from ionloop.store.connection import job_store


def die_around(owner: type, name: str, nth: int, *, after: bool, when: Callable[..., bool]) -> None:
    """Make the nth call of a method, of those that ``when`` picks, this process's last act."""
    original, seen = getattr(owner, name), [0]

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        hit = when(self, *args, **kwargs)
        seen[0] += hit
        if hit and seen[0] == nth and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(self, *args, **kwargs)
        if hit and seen[0] == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapper)


def always(*_: Any, **__: Any) -> bool:
    return True


def many_new(_: Any, fws: list[Any], **__: Any) -> bool:
    """Whether an upsert is one that inserts an addition or a replacement."""
    return sum(fw.fw_id < 0 for fw in fws) > 1


def outputs(store: MongoStore, *_: Any, **__: Any) -> bool:
    return store.collection_name == "outputs"


def into(name: str) -> Callable[..., bool]:
    return lambda collection, *_, **__: collection.name == name


def shrinking(_: Any, __: Any, change: dict[str, Any], **___: Any) -> bool:
    """Whether an update takes settled jobs out of a workflow."""
    return "nodes" in change.get("$set", {})


POINTS: dict[str, tuple[type, str, bool, Callable[..., bool]]] = {
    "reserved": (LaunchPad, "get_new_launch_id", False, always),
    "launch made": (LaunchPad, "get_new_launch_id", True, always),
    "checked out": (LaunchPad, "checkout_fw", True, always),
    "output without blobs": (GridFSStore, "update", False, always),
    "output stored": (MongoStore, "update", True, outputs),
    "before launch ends": (LaunchPad, "complete_launch", False, always),
    "launch ended": (LaunchPad, "get_wf_by_fw_id_lzyfw", False, always),
    "jobs added, not listed": (LaunchPad, "_upsert_fws", True, many_new),
    "adding jobs": (pymongo.collection.Collection, "find_one_and_replace", True, into("fireworks")),
    "before unlock": (LaunchPad, "_update_wf", True, always),
    "archiving": (pymongo.collection.Collection, "insert_one", False, into("workflows")),
    "archive written": (pymongo.collection.Collection, "insert_one", True, into("workflows")),
    "archived, locked": (pymongo.collection.Collection, "update_one", True, shrinking),
}

#: The moment, and which passing of it, for tests that try them all.
CRASHES = [
    ("reserved", 2),
    ("launch made", 2),
    ("checked out", 2),
    ("output without blobs", 1),
    ("output stored", 2),
    ("before launch ends", 2),
    ("launch ended", 4),
    ("jobs added, not listed", 1),
    ("adding jobs", 4),
    ("before unlock", 2),
]


def crash(campaign_id: str, folder: Path, point: str, nth: int) -> int:
    """Run a worker in a child that kills itself at the nth passing of a point.

    Returns the signal that ended the child: 9, or 0 if it never came there. It is forked, since
    the imports of a new interpreter would take seconds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: pymongo has threads
        pid = os.fork()
    if pid == 0:
        try:
            owner, name, after, when = POINTS[point]
            jobflow.SETTINGS.JOB_STORE = job_store()
            die_around(owner, name, nth, after=after, when=when)
            Worker(launchpad(), campaign_id, folder).run()
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])
