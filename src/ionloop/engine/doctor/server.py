"""The database: there, safe, fast, and with the same time as here."""

from __future__ import annotations

from datetime import UTC, datetime

from ionloop.engine.doctor.check import ALL, WRITE, Found, Probe, Role, Scene
from ionloop.errors import StoreError
from ionloop.store import health, mongod
from ionloop.store.connection import database_uri, describe
from ionloop.store.indexes import missing_indexes

#: Beyond it a job's own handling of documents takes seconds.
SLOW_S = 0.05
#: FireWorks compares times of workers and of those who look for lost ones.
SKEW_S = 5.0


def local_mongod(scene: Scene) -> Found:
    """Whether a mongod could be started here."""
    try:
        return Found(ok=True, detail=str(mongod.find_mongod(scene.settings)))
    except StoreError as error:
        named = bool(scene.settings.db_uri)
        return Found(ok=False, detail="none", mend=str(error), minor=named)


def answers(scene: Scene) -> Found:
    """Whether the database answers."""
    if scene.db is None:
        return Found(ok=False, detail="silent", mend=scene.silent)
    version = scene.db.client.server_info()["version"]
    detail = f"MongoDB {version} at {describe(database_uri(scene.settings))}"
    if why := health.refusal(scene.db):
        mend = "put a user of this database and its password into IONLOOP_DB_URI"
        return Found(ok=False, detail=f"{detail}: {why}", mend=mend)
    return Found(ok=True, detail=detail)


def supported(scene: Scene) -> Found:
    """Whether MongoDB still mends this release."""
    version = scene.db.client.server_info()["version"]
    ends = health.end_of_life(version)
    if ends is None:
        return Found(ok=True, detail=f"{version}: no end of life known")
    over = ends < datetime.now(UTC).date()
    detail = f"{version}: support {'ended' if over else 'ends'} {ends}"
    mend = "use MongoDB 8.0, above all where others reach the server; `pip`'s mongod is for tests"
    return Found(ok=not over, detail=detail, mend=mend)


def protected(scene: Scene) -> Found:
    """Whether the server asks for a password, or is out of others' reach."""
    if users := health.signed_in(scene.db):
        return Found(ok=True, detail=f"signed in as {', '.join(users)}")
    if health.is_loopback(scene.db):
        return Found(ok=True, detail="none asked for; only this machine reaches the server")
    mend = "switch authorization on and put the user into IONLOOP_DB_URI: anyone can read and write"
    return Found(ok=False, detail="none asked for, and other machines reach the server", mend=mend)


def replica_set(scene: Scene) -> Found:
    """Whether the server keeps a journal of changes that survives it, as each of a cluster does."""
    hello = scene.db.client.admin.command("hello")
    found = "sharded cluster" if hello.get("msg") == "isdbgrid" else hello.get("setName")
    mend = "start mongod with --replSet: a lone server may lose writes, and repeats none"
    return Found(ok=bool(found), detail=found or "none", mend=mend)


def indexes(scene: Scene) -> Found:
    """Whether all indexes are there."""
    missing = missing_indexes(scene.db)
    detail = f"{len(missing)} missing" if missing else "all there"
    return Found(ok=not missing, detail=detail, mend="`ionloop db index`")


def writes(scene: Scene) -> Found:
    """Whether a write counts only once it is safe."""
    found = health.write_concern(scene.db)
    safe = found.get("w") == "majority" and bool(found.get("j"))
    detail = ", ".join(f"{key}={value}" for key, value in found.items()) or "the server's default"
    mend = "take w and journal out of IONLOOP_DB_URI: ionloop asks for w=majority&journal=true"
    return Found(ok=safe, detail=detail, mend=mend)


def fast(scene: Scene) -> Found:
    """Whether questions are answered fast."""
    took = health.round_trip_s(scene.db)
    mend = "a job asks some ten questions: work nearer to the database, or mend the network"
    return Found(ok=took < SLOW_S, detail=f"{took * 1e3:.1f} ms a question", mend=mend)


def clock(scene: Scene) -> Found:
    """Whether this machine's clock is the server's."""
    ahead = health.clock_ahead_s(scene.db)
    which = "ahead of" if ahead >= 0 else "behind"
    mend = "mend the time of one of them (chrony, ntpd): lost workers are told by the time"
    detail = f"{abs(ahead):.1f} s {which} the database server's"
    return Found(ok=abs(ahead) < SKEW_S, detail=detail, mend=mend)


PROBES = [
    Probe("mongod", local_mongod, frozenset({Role.RUN})),
    Probe("database", answers, ALL),
    Probe("database version", supported, asks=True),
    Probe("database access", protected, ALL, asks=True),
    Probe("replica set", replica_set, WRITE, asks=True),
    Probe("indexes", indexes, WRITE, asks=True),
    Probe("write concern", writes, WRITE, asks=True),
    Probe("round trip", fast, asks=True),
    Probe("clock", clock, WRITE, asks=True),
]
