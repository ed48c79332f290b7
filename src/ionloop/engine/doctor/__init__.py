"""Look at this machine, its database and its workers, and say what to mend.

Nothing is started or changed. A check has a time limit and can't fail but in its own line.
"""

from __future__ import annotations

from ionloop.engine.doctor import compute, data, disk, programs, queue, server, workers
from ionloop.engine.doctor.check import Check, Probe, Reference, Role, Scene, run_probes
from ionloop.errors import StoreError
from ionloop.settings import Settings, get_settings
from ionloop.store.connection import database

__all__ = ["Check", "Reference", "Role", "examine"]

PROBES: list[Probe] = [
    *server.PROBES,
    *workers.PROBES,
    *queue.PROBES,
    *programs.PROBES,
    *compute.PROBES,
    *data.PROBES,
    *disk.PROBES,
]


def examine(
    settings: Settings | None = None,
    role: Role = Role.RUN,
    reference: Reference | None = None,
) -> list[Check]:
    """Check everything at once, each within its time limit.

    Parameters
    ----------
    settings
        The settings; read now if None.
    role
        What the machine is for: a worker needs other things than one where results are read.
    reference
        Whose programs and data it needs too, where it computes; None: no reference's.
    """
    settings = settings or get_settings()
    db, silent = None, ""
    try:
        db = database(settings)
    except StoreError as error:
        silent = str(error)
    scene = Scene(settings=settings, db=db, silent=silent)
    return run_probes(PROBES, scene, role, reference)
