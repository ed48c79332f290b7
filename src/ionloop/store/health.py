"""What a server says of itself, and what its collections say of the workers."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from statistics import median
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from ionloop.store.connection import OUTPUTS
from ionloop.store.queries import campaign_ids
from ionloop.store.times import as_utc

#: When MongoDB's support of a release ends: mongodb.com/legal/support-policy/lifecycles.
END_OF_LIFE = {
    "4.2": date(2023, 4, 30),
    "4.4": date(2024, 2, 29),
    "5.0": date(2024, 10, 31),
    "6.0": date(2025, 7, 31),
    "7.0": date(2027, 8, 31),
    "8.0": date(2029, 10, 31),
}
#: A worker of another program, as ``rlaunch``, pings every hour by default; FireWorks waits 4 h.
FOREIGN_S = 4 * 3600
#: Launches that tell which workers there are.
_RECENT = 500
#: Campaigns that are looked at, the latest ones.
_LATEST = 20


@dataclass(frozen=True)
class Worker:
    """A worker as its launches show it."""

    name: str
    host: str
    seen: datetime | None
    running: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    #: The silence after which it is taken for gone, s: its own setting, told by its launches.
    lost_after_s: float = FOREIGN_S

    def silence_s(self, now: datetime) -> float:
        """Return for how long nobody heard of it, s."""
        return (now - self.seen).total_seconds() if self.seen else float("inf")


def end_of_life(version: str) -> date | None:
    """Return when the support of a MongoDB release ends; None of releases unknown here.

    >>> end_of_life("6.0.12")
    datetime.date(2025, 7, 31)
    """
    return END_OF_LIFE.get(".".join(version.split(".")[:2]))


def signed_in(db: Database[dict[str, Any]]) -> list[str]:
    """Return the users that this connection is; none where the server asks for none."""
    said = db.client.admin.command("connectionStatus")["authInfo"]
    return [f"{user['user']}@{user['db']}" for user in said["authenticatedUsers"]]


def refusal(db: Database[dict[str, Any]]) -> str:
    """Return why the server lets this connection read nothing; nothing if it may."""
    try:
        db.list_collection_names()
    except OperationFailure as error:
        return str((error.details or {}).get("errmsg", error))
    return ""


def is_loopback(db: Database[dict[str, Any]]) -> bool:
    """Whether only this machine reaches the server, as far as can be known from here."""
    db.client.admin.command("ping")  # a client knows its servers once it has asked
    hosts = {host for host, _ in db.client.nodes}
    if not all(_loops_back(host) for host in hosts):
        return False
    try:
        net = db.client.admin.command("getCmdLineOpts")["parsed"].get("net", {})
    except OperationFailure:  # this user may not ask
        return True
    return not net.get("bindIpAll") and all(
        _loops_back(host) for host in net.get("bindIp", "127.0.0.1").split(",")
    )


def _loops_back(host: str) -> bool:
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def write_concern(db: Database[dict[str, Any]]) -> dict[str, Any]:
    """Return the write concern of this connection."""
    return dict(db.client.write_concern.document)


def round_trip_s(db: Database[dict[str, Any]], n: int = 5) -> float:
    """Return the median time of a question and its answer, s."""
    times = []
    for _ in range(n):
        start = time.monotonic()
        db.client.admin.command("ping")
        times.append(time.monotonic() - start)
    return median(times)


def clock_ahead_s(db: Database[dict[str, Any]]) -> float:
    """Return by how much this machine's clock is ahead of the server's, s."""
    before = time.time()
    theirs: datetime = db.client.admin.command("hello")["localTime"]
    after = time.time()
    return (before + after) / 2 - theirs.replace(tzinfo=UTC).timestamp()


def waiting_jobs(db: Database[dict[str, Any]]) -> dict[str, int]:
    """Count the jobs of the latest campaigns that could run now."""
    counts = {
        campaign_id: db.fireworks.count_documents(
            {"spec.campaign_id": campaign_id, "state": "READY"}
        )
        for campaign_id in campaign_ids(db, _LATEST)
    }
    return {campaign_id: n for campaign_id, n in counts.items() if n}


def workers(db: Database[dict[str, Any]]) -> list[Worker]:
    """Return the workers of the latest launches and of all running ones, latest first."""
    fields = ["launch_id", "state", "host", "fworker.name", "fworker.env", "heartbeat"]
    fields += ["time_start", "time_end", "state_history.updated_on"]
    launches = list(db.launches.find({}, fields).sort("launch_id", -1).limit(_RECENT))
    launches += list(db.launches.find({"state": "RUNNING"}, fields))
    found: dict[tuple[str, str], Worker] = {}
    counted = set()
    for one in launches:
        if one["launch_id"] in counted:
            continue
        counted.add(one["launch_id"])
        key = one["fworker"]["name"], one["host"]
        env = one["fworker"].get("env") or {}
        known = found.get(key) or _first(key, env)
        times = [t for t in (known.seen, _seen(one)) if t]
        running = known.running + (one["state"] == "RUNNING")
        found[key] = replace(known, seen=max(times, default=None), running=running)
    return sorted(found.values(), key=lambda w: w.seen.timestamp() if w.seen else 0, reverse=True)


def _first(key: tuple[str, str], env: Mapping[str, Any]) -> Worker:
    told = env.get("versions") or {}
    lost_after_s = float(env.get("lost_after_s") or FOREIGN_S)
    return Worker(*key, seen=None, versions=told, lost_after_s=lost_after_s)


def _seen(launch: Mapping[str, Any]) -> datetime | None:
    """Return when a launch's worker last said something."""
    said = [launch.get(name) for name in ("heartbeat", "time_start", "time_end")]
    said += [entry.get("updated_on") for entry in launch.get("state_history", [])]
    return max((as_utc(t) for t in said if t), default=None)


def campaign_versions(db: Database[dict[str, Any]]) -> tuple[str, dict[str, str]] | None:
    """Return the latest campaign and the versions that it was launched with."""
    for campaign_id in campaign_ids(db, _LATEST):
        query = {"metadata.campaign_id": campaign_id, "output.@class": "CampaignStart"}
        if found := db[OUTPUTS].find_one(query, {"output.versions": 1}):
            return campaign_id, found["output"]["versions"]
    return None
