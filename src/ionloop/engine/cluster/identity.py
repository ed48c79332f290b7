"""Who a cluster's worker says it is; FireWorks keeps that with each launch."""

from __future__ import annotations

import os
import socket
from typing import Any

from fireworks import FWorker

from ionloop.cores import job_cores
from ionloop.engine.cluster.slurm import cluster_name, restarts
from ionloop.processes import user_name
from ionloop.routing import KEY, WorkerKind
from ionloop.settings import Settings
from ionloop.versions import installed

#: Packages whose versions decide what a job computes, or how it is read.
PACKAGES = (
    "ionloop", "mace-torch", "torch", "atomate2", "jobflow", "FireWorks", "pymatgen", "ase",
)  # fmt: skip


def ready_query(kind: WorkerKind | None, campaign_id: str | None) -> dict[str, Any]:
    """Return the query of the fireworks that a worker may run.

    Parameters
    ----------
    kind
        Its kind; None runs all kinds. Jobs that name no kind are light.
    campaign_id
        The one campaign that it runs; None: any.
    """
    query: dict[str, Any] = {"spec.campaign_id": campaign_id or {"$exists": True}}
    if kind is WorkerKind.LIGHT:
        query[f"spec.{KEY}"] = {"$in": [kind.value, None]}
    elif kind is not None:
        query[f"spec.{KEY}"] = kind.value
    elif campaign_id is None:  # all kinds by name: an index of jobs by kind is asked then
        query[f"spec.{KEY}"] = {"$in": [*(k.value for k in WorkerKind), None]}
    return query


def identify(kind: WorkerKind | None, campaign_id: str | None, settings: Settings) -> FWorker:
    """Make the FWorker of this process."""
    host, job = socket.gethostname(), os.environ.get("SLURM_JOB_ID")
    return FWorker(
        name=f"{kind.value if kind else 'any'}-{host}-{job or os.getpid()}",
        query=ready_query(kind, campaign_id),
        env={
            "host": host,
            "pid": os.getpid(),
            "user": user_name(),
            "slurm_job_id": job,
            "slurm_restarts": restarts(),
            "slurm_cluster": cluster_name() if job else None,
            "slurm_partition": os.environ.get("SLURM_JOB_PARTITION"),
            "lost_after_s": settings.lost_after_s,
            "cores": job_cores("", settings, alone=True),
            "versions": versions(),
        },
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed here."""
    return installed(PACKAGES)
