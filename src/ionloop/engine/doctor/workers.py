"""Who works: seen lately, at work while jobs wait, and with the packages that we have."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ionloop.engine.doctor.check import WRITE, Found, Probe, Scene
from ionloop.store import health
from ionloop.versions import installed

#: A worker without a running job that was seen last before so long isn't one any more, s.
_GONE_S = 24 * 3600
#: Workers that a line names.
_SHOWN = 3


def at_work(scene: Scene) -> Found:
    """Whether someone works where jobs wait."""
    seen = health.workers(scene.db)
    now = datetime.now(UTC)
    alive = [w for w in seen if w.running and w.silence_s(now) <= w.lost_after_s]
    gone = [w for w in seen if w.running and w not in alive]
    waiting = health.waiting_jobs(scene.db)
    detail = "; ".join(_line(worker, now) for worker in (alive or seen)[:_SHOWN]) or "none seen yet"
    if gone:
        names = ", ".join(worker.name for worker in gone[:_SHOWN])
        mend = "`ionloop resume CAMPAIGN`, with --no-run for a cluster: their jobs run again"
        return Found(ok=False, detail=f"silent for long, with running jobs: {names}", mend=mend)
    if waiting and not alive:
        n, campaign = sum(waiting.values()), next(iter(waiting))
        mend = f"`ionloop resume {campaign}` runs it here; on a cluster start workers"
        return Found(ok=False, detail=f"none at work, and {n} jobs wait; {detail}", mend=mend)
    return Found(ok=True, detail=detail)


def _line(worker: health.Worker, now: datetime) -> str:
    ago = "never" if worker.seen is None else f"{(now - worker.seen).total_seconds():.0f} s ago"
    jobs = f", {worker.running} jobs run" if worker.running else ""
    return f"{worker.name} on {worker.host}, seen {ago}{jobs}"


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return the packages whose versions differ, of those that both have."""
    both = sorted(ours.keys() & theirs.keys())
    return [f"{p} {theirs[p]}, here {ours[p]}" for p in both if ours[p] != theirs[p]]


def same_versions(scene: Scene) -> Found:
    """Whether workers of the last day, and the latest campaign's launcher, have our packages."""
    now = datetime.now(UTC)
    told = [w for w in health.workers(scene.db) if w.versions and _is_current(w, now)]
    wrong = [
        f"{worker.name}: {', '.join(differs)}"
        for worker in told
        if (differs := differing(installed(worker.versions), worker.versions))
    ]
    launched = health.campaign_versions(scene.db)
    if launched:
        campaign, versions = launched
        if differs := differing(installed(versions), versions):
            wrong.append(f"{campaign} was launched with {', '.join(differs)}")
    mend = "install the same versions everywhere (constraints.txt); a campaign keeps its own"
    if wrong:
        return Found(ok=False, detail="; ".join(wrong[:_SHOWN]), mend=mend)
    n = f"{len(told)} workers" + (" and the latest campaign" if launched else "")
    return Found(ok=True, detail=f"as here: {n}" if told or launched else "no worker has told yet")


def _is_current(worker: health.Worker, now: datetime) -> bool:
    seen = worker.seen
    return bool(worker.running or (seen and (now - seen).total_seconds() < _GONE_S))


PROBES = [
    Probe("workers", at_work, asks=True),
    Probe("versions", same_versions, WRITE, asks=True),
]
