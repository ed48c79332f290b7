"""FireWorks' database, and what of a campaign is left to do there."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from fireworks import Firework, FWAction, FWorker, LaunchPad

from ionloop.cores import job_cores
from ionloop.errors import EngineError, UnsafePathError
from ionloop.paths import JOB_MARK, is_below, is_job_folder
from ionloop.routing import stored_name
from ionloop.settings import Settings, get_settings
from ionloop.store.connection import database_uri, describe
from ionloop.store.outage import patient
from ionloop.store.remote_progress import is_remote

logger = logging.getLogger(__name__)

#: FireWorks' own ways to hand files from job to job, to and from any path.
_FILE_KEYS = ("_files_in", "_files_out", "_files_prev")

#: States from which a campaign goes on.
ACTIVE = frozenset({"READY", "RESERVED", "RUNNING"})
#: Name under which local workers check out jobs.
LOCAL_WORKER = "ionloop-local"


class QuietLaunchPad(LaunchPad):
    """A launch pad that doesn't print its password; FireWorks' own is shown with its URI."""

    def __repr__(self) -> str:
        return f"LaunchPad({describe(self.host)}, {self.name!r})"

    def checkout_fw(
        self,
        fworker: FWorker,
        launch_dir: str,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[Firework | None, int | None]:
        """Check a job out; it never runs outside of the work folder.

        A job that began elsewhere, as on a machine that is lost, goes on in a copy of that
        folder. One that the database sends to what is no folder of a job has failed, and so has
        one that is to copy files: FireWorks would take any path, and ionloop asks for none.
        """
        fw, launch_id = super().checkout_fw(fworker, launch_dir, *args, **kwargs)
        if fw is None:
            return None, launch_id
        root = get_settings().work_dir
        if files := [key for key in _FILE_KEYS if key in fw.spec]:
            return self._refuse(fw, launch_id, f"expected no {files[0]}, got one")
        copied = (fw.spec.get("_recovery") or {}).get("_prev_dir")
        if copied and not Path(copied).is_dir():
            logger.warning("job %d begins anew: %s isn't seen here", fw.fw_id, copied)
            del fw.spec["_recovery"]  # FireWorks would fail it
        elif (
            copied
            and root
            and not _is_inside(root, copied)
            and not _may_be_copied(copied, launch_dir)
        ):
            return self._refuse_folder(fw, launch_id, root, copied)
        there = fw.spec.get("_launch_dir")
        if there and root and not _is_inside(root, there):
            if not _may_be_copied(there, launch_dir):
                return self._refuse_folder(fw, launch_id, root, there)
            logger.warning("job %d goes on in %s, a copy of %s", fw.fw_id, launch_dir, there)
            shutil.copytree(there, launch_dir, symlinks=True, dirs_exist_ok=True)
            del fw.spec["_launch_dir"]
        here = Path(fw.spec.get("_launch_dir") or launch_dir)
        here.mkdir(parents=True, exist_ok=True)
        (here / JOB_MARK).write_text(f"{fw.fw_id} {launch_id}\n")
        self._note_cores(fw, launch_id, fworker)
        return fw, launch_id

    def _note_cores(self, fw: Firework, launch_id: int, fworker: FWorker) -> None:
        """Correct what a worker says of its cores where a job's program takes others."""
        job = (fw.spec.get("_tasks") or [{}])[0].get("job")
        if job is None or "cores" not in fworker.env:
            return
        cores = job_cores(stored_name(job), get_settings(), alone=fworker.name != LOCAL_WORKER)
        if cores != fworker.env["cores"]:
            change = {"$set": {"fworker.env.cores": cores}}
            self.launches.update_one({"launch_id": launch_id}, change)

    def _refuse_folder(
        self, fw: Firework, launch_id: int, root: Path, there: object
    ) -> tuple[None, None]:
        """End a job that the database sends to what is no folder of a job."""
        why = (
            f"expected a folder below {root}, got {str(there)[:100]!r}; "
            "if it is right, set IONLOOP_WORK_DIR to a folder above both"
        )
        return self._refuse(fw, launch_id, why)

    def _refuse(self, fw: Firework, launch_id: int, why: str) -> tuple[None, None]:
        """End a job whose document asks for what none of ours asks for."""
        name = f"{UnsafePathError.__module__}.{UnsafePathError.__qualname__}"
        why = f"{name}: job {fw.fw_id}: {why}"
        logger.error(why)
        stored = {"_exception": {"_stacktrace": why, "_details": None}}
        self.complete_launch(launch_id, FWAction(stored_data=stored, exit=True), "FIZZLED")
        return None, None


def _is_plain(path: object) -> bool:
    """Whether FireWorks takes a path as it stands: it expands variables, and from where it is."""
    text = str(path)
    return "$" not in text and Path(text).is_absolute()


def _is_inside(root: Path, path: str) -> bool:
    return _is_plain(path) and is_below(root, path)


def _may_be_copied(path: str, into: str) -> bool:
    """Whether a folder from elsewhere is a job's, and no folder around the one to copy it into."""
    return _is_plain(path) and is_job_folder(path) and not is_below(Path(path), into)


def launchpad(settings: Settings | None = None, *, patience_s: float | None = None) -> LaunchPad:
    """Connect FireWorks to ionloop's database; start its counters if they are new.

    Parameters
    ----------
    settings
        Settings of this machine.
    patience_s
        How long to wait for a database that is away, s; None takes the settings' for jobs.
    """
    settings = settings or get_settings()
    uri = database_uri(settings)
    times: dict[str, Any] = {}
    if patience_s is None:
        uri = patient(uri, settings)
    else:
        patience_ms = int(1000 * patience_s)
        times = {"serverSelectionTimeoutMS": patience_ms, "timeoutMS": 3 * patience_ms}
    lp = QuietLaunchPad(
        host=uri,
        name=settings.db_name,
        uri_mode=True,
        strm_lvl="WARNING",
        mongoclient_kwargs=times,
    )
    if lp.fw_id_assigner.find_one() is None:
        counters = {"next_fw_id": 1, "next_launch_id": 1}
        lp.fw_id_assigner.update_one({"_id": -1}, {"$setOnInsert": counters}, upsert=True)
    return lp


def campaign_query(campaign_id: str) -> dict[str, Any]:
    """Return the query of a campaign's fireworks: jobflow copies job.metadata into specs."""
    return {"spec.campaign_id": campaign_id}


def workflow_of(lp: LaunchPad, campaign_id: str) -> dict[str, Any]:
    """Return a campaign's live workflow document; archives are its settled generations'.

    Raises
    ------
    EngineError
        If there is no such campaign.
    """
    workflow = lp.workflows.find_one({"metadata.campaign_id": campaign_id})
    if workflow is None and is_remote(campaign_id, lp.db):
        msg = (
            f"campaign {campaign_id} is run by jobflow-remote, not by FireWorks: "
            "see `jf flow list`; what failed goes on with `jf job rerun --no-delete`"
        )
        raise EngineError(msg)
    if workflow is None:
        msg = f"unknown campaign {campaign_id!r}; `ionloop status` shows the latest"
        raise EngineError(msg)
    return dict(workflow)


def remove_unlisted(lp: LaunchPad, campaign_id: str) -> int:
    """Delete a campaign's fireworks that none of its workflow documents lists; count them.

    A killed process inserted them: the workflow document, which FireWorks writes last, is the
    commit. The caller sees to it that nobody adds jobs meanwhile.
    """
    # An index alone answers this: it is the one that counts a campaign's jobs.
    known = lp.fireworks.find(campaign_query(campaign_id), {"fw_id": 1, "_id": 0})
    orphans = {fw["fw_id"] for fw in known}
    # Live first: a compaction, which asks nobody, moves jobs from there to archives. Not by
    # distinct, whose answer is one document of at most 16 MB.
    for key in ("campaign_id", "archive_of"):
        for workflow in lp.workflows.find({f"metadata.{key}": campaign_id}, {"nodes": 1}):
            orphans.difference_update(workflow["nodes"])
    return int(lp.fireworks.delete_many({"fw_id": {"$in": list(orphans)}}).deleted_count)


def is_active(lp: LaunchPad, campaign_id: str) -> bool:
    """Whether a campaign has jobs that run or can run.

    The workflow document is asked, since FireWorks replaces it as the last write of a
    change: between a parent's COMPLETED and its child's READY the fireworks themselves
    show neither.
    """
    fields = {"fw_states": 1, "metadata.held.why": 1}
    workflow = lp.workflows.find_one({"metadata.campaign_id": campaign_id}, fields)
    if workflow is None:
        return False
    changing = workflow["metadata"].get("held", {}).get("why") == "rerun"  # for some ten ms
    return changing or not ACTIVE.isdisjoint(workflow["fw_states"].values())
