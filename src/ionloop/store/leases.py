"""Who runs a campaign: one lease a campaign in MongoDB, kept by a heartbeat.

A lock file can't tell between two machines, or two home folders. A lease can: a process
takes it, says every few seconds that it lives, and gives it back. It is free again when its
process is known to be dead, which can be told on the same machine, or when it was silent for
as long as jobs wait for a database that is away: nothing of that run can live then.
All times are the server's.
"""

from __future__ import annotations

import os
import socket
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from pymongo import ReadPreference
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from ionloop.errors import EngineError
from ionloop.processes import birth, is_alive

#: The collection; the campaign's id is the documents'.
LEASES = "leases"


class Holder(BaseModel):
    """The process that holds a lease, and the machine on which its number means something."""

    token: str = Field(description="Random name of this very holding.")
    host: str = Field(description="Name of the machine, for people.")
    machine: str = Field(description="Boot and namespace in which the process number holds.")
    pid: int = Field(description="Process number.")
    born: str | None = Field(None, description="Start of the process; numbers are used again.")
    home: str = Field(description="IONLOOP_HOME of the run.")

    @classmethod
    def me(cls, home: Path) -> Holder:
        """Describe this process."""
        pid = os.getpid()
        return cls(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            machine=_machine(),
            pid=pid,
            born=birth(pid),
            home=str(home),
        )

    @property
    def is_dead(self) -> bool:
        """Whether the process certainly ended; False where nobody here can know."""
        if self.machine != _machine():
            return False
        return not is_alive(self.pid) or birth(self.pid) != self.born


def _machine() -> str:
    """Name what must be equal for two processes to see each other by number."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return socket.gethostname()
    return f"{boot.read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"


def take(
    db: Database[dict[str, Any]],
    campaign_id: str,
    me: Holder,
    expiry_s: float,
    *,
    by_force: bool = False,
) -> bool:
    """Take a campaign's lease; say whether its last holder is certain to have ended.

    Parameters
    ----------
    db
        The database.
    campaign_id
        The campaign.
    me
        Who takes it.
    expiry_s
        Silence after which a holder counts as dead, s.
    by_force
        Take it from whoever has it: the user knows that machine to be gone.

    Raises
    ------
    EngineError
        If another process has it.
    """
    held = db[LEASES].find_one({"_id": campaign_id})
    silence_s = _silence_s(db, held) if held else 0.0
    certain = held is None or _holder(held).is_dead
    free = certain or by_force or silence_s > expiry_s
    # Of two that found it free at once, one finds another token, and fails to insert.
    query = {"_id": campaign_id, "token": held["token"] if held else {"$exists": False}}
    change = {"$set": me.model_dump(), "$currentDate": {"beat": True}}
    try:
        if free:
            db[LEASES].update_one(query, change, upsert=True)
            return certain
    except DuplicateKeyError:
        held = db[LEASES].find_one({"_id": campaign_id}) or held
        silence_s = 0.0
    who = f"process {held['pid']} on {held['host']}" if held else "another process"
    msg = (
        f"campaign {campaign_id} is run by another `ionloop` ({who}, heard of {silence_s:.0f} s "
        f"ago); wait for it or stop it. If that machine is gone, `ionloop resume {campaign_id} "
        f"--take-over`; after {expiry_s:.0f} s of silence it is free by itself"
    )
    raise EngineError(msg)


def _holder(held: dict[str, Any]) -> Holder:
    return Holder.model_validate({k: v for k, v in held.items() if k in Holder.model_fields})


def _silence_s(db: Database[dict[str, Any]], held: dict[str, Any]) -> float:
    now: datetime = db.command("hello", read_preference=ReadPreference.NEAREST)["localTime"]
    return (now - held["beat"]).total_seconds()


def beat(db: Database[dict[str, Any]], campaign_id: str, me: Holder) -> bool:
    """Say that the holder lives; False if it isn't the holder any more."""
    query = {"_id": campaign_id, "token": me.token}
    return db[LEASES].update_one(query, {"$currentDate": {"beat": True}}).matched_count == 1


def give_back(db: Database[dict[str, Any]], campaign_id: str, me: Holder) -> None:
    """End a holding; nothing if somebody has taken it over."""
    db[LEASES].delete_one({"_id": campaign_id, "token": me.token})
