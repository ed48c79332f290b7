"""All that ionloop asks MongoDB, for the test that reads the server's plans."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fireworks import FWorker
from jobflow import Flow

from ionloop.dashboard.source import Source
from ionloop.document import Blob
from ionloop.engine import run_local, submit
from ionloop.engine.cluster.giving_back import MAX_LOST
from ionloop.engine.cluster.identity import identify, ready_query
from ionloop.engine.cluster.lost import return_lost, return_own
from ionloop.engine.cluster.owned import is_given_away, owned_launchpad
from ionloop.engine.launchpad import LOCAL_WORKER, campaign_query, launchpad
from ionloop.engine.local.recover import recover
from ionloop.engine.remote import submit_remote
from ionloop.engine.worker import Worker
from ionloop.routing import WorkerKind
from ionloop.settings import get_settings
from ionloop.store.connection import database, job_store
from ionloop.store.handover import Handover
from ionloop.store.imports import store_shard
from ionloop.store.jfremote import JOBS
from ionloop.store.labels import change_share, next_training, readmit_labels, stored_shards
from ionloop.store.queries import campaign_record, status, stored_output
from ionloop.store.scorecards import scorecards, store_scorecard


def batches(folder: Path, campaign_id: str) -> None:
    """Run a campaign that pauses, in this process, and mend it by all means that there are."""
    import flaky

    for name in "defg":
        (folder / name).write_text("force" if name == "f" else "scf")
    submit(flaky.batches(folder, "ab", "cdefg", "hij", campaign_id=campaign_id), campaign_id)
    lp, runs = launchpad(), get_settings().home_dir / "runs" / campaign_id
    runs.mkdir(parents=True)
    Worker(lp, campaign_id, runs).run()
    assert status(campaign_id).state == "paused"
    for name in "deg":
        (folder / name).unlink()
    assert len(recover(lp, campaign_id, rerun_failed=True).rerun) == 3
    Worker(lp, campaign_id, runs).run()
    refused = [x for one in stored_shards(campaign_id) for x in one.shard.quarantined]
    readmit_labels(campaign_id, [refused[0].frame_hash], "believed")
    change_share(campaign_id, 0.5)
    assert status(campaign_id).state == "finished"


def take_as_a_cluster_does() -> None:
    """Check jobs out by kind of worker and import labels twice, the second time in their place."""
    lp = launchpad()
    for kind in (*WorkerKind, None):
        for campaign_id, found in ((None, True), ("c", False)):
            query = ready_query(kind, campaign_id)
            assert lp.run_exists(FWorker("cluster", query=query)) is found
    (*_, one) = stored_shards("paused")
    assert stored_output(one.uuid, one.index) is not None
    for _ in range(2):
        store_shard(one.shard, "import")


def control_all(main, folder: Path) -> None:
    """Pause, cancel and run a campaign again, and look at it meanwhile."""
    import controlled

    submit(controlled.turn(0, 1, str(folder)), "held")
    for command in ("pause", "cancel"):
        main(command, "held")
        main("status", "held")
    main("resume", "held", "--workers", "1")
    main("rerun", "held", "--stage", "train", "--yes")
    main("pause", "held")
    main("resume", "held", "--no-run")
    main("status", "--all")
    main("doctor", "--for", "read")


def lose_workers(folder: Path) -> None:
    """Lose a worker at each place where one may die, and look for lost ones as all guards do."""
    import engine_jobs

    label = engine_jobs.dear_label("a", str(folder / "dear"), 0.0)
    label.update_metadata({"campaign_id": "lost"})
    submit(label, "lost")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    worker = identify(None, "lost", get_settings())
    worker.env["pid"] = process.pid
    lp, mine = launchpad(), {"metadata.campaign_id": "lost"}

    def begin(**fields: object) -> None:
        taken, number = owned_launchpad(lp).checkout_fw(worker, str(folder))
        assert taken is not None
        past = datetime.now(UTC) - timedelta(hours=1)
        change = {"$set": {"heartbeat": past, **fields}}
        assert lp.launches.update_one({"launch_id": number}, change).modified_count

    begin()
    assert return_own(lp, worker.name, process.pid, "a test", counts=False).rerun
    for campaign_id in ("lost", None):
        begin()
        assert return_lost(lp, campaign_id).rerun
        begin(state="ARCHIVED", lost={"certain": True})  # who gave it back died
        assert return_lost(lp, campaign_id).rerun
        old = {"state": "RESERVED", "updated_on": datetime(2026, 1, 1, tzinfo=UTC)}
        lp.fireworks.update_one({"spec.campaign_id": "lost"}, {"$set": old})
        dead = {"host": socket.gethostname(), "pid": process.pid}
        lp.workflows.update_one(mine, {"$set": {"locked": dead}})
        assert not return_lost(lp, campaign_id)
        assert lp.fireworks.find_one({"spec.campaign_id": "lost"})["state"] == "READY"
        assert "locked" not in lp.workflows.find_one(mine)
    begin()
    number = lp.fireworks.find_one({"spec.campaign_id": "lost"})["launches"][-1]
    assert not is_given_away(lp, number)
    lp.fireworks.update_one({"spec.campaign_id": "lost"}, {"$set": {"spec._lost": MAX_LOST - 1}})
    assert return_lost(lp, "lost").failed


def lose_local_workers(folder: Path) -> None:
    """Recover from the death of a local worker at each place where one may die."""
    import engine_jobs
    from stored_output import put

    label = engine_jobs.dear_label("a", str(folder / "dear"), 0.0)
    submit(label, "died")
    lp, mine = launchpad(), campaign_query("died")

    def begin(there: Path, **checkpoint: object) -> None:
        _, number = lp.checkout_fw(FWorker(LOCAL_WORKER, query=mine), str(there))
        if checkpoint:
            lp.ping_launch(number, checkpoint=checkpoint)

    begin(folder)
    lp.workflows.update_one({"metadata.campaign_id": "died"}, {"$set": {"locked": True}})
    assert recover(lp, "died", rerun_failed=False).rerun
    begin(folder / "gone", _task_n=0)
    shutil.rmtree(folder / "gone")
    assert recover(lp, "died", rerun_failed=False).rerun
    begin(folder, _task_n=0)
    assert recover(lp, "died", rerun_failed=False).rerun
    begin(folder)
    store = job_store()
    store.connect()
    put(store, label.uuid, {"@class": "SinglePoint"}, campaign="died")
    assert recover(lp, "died", rerun_failed=False).completed


def reserve(main, folder: Path) -> None:
    """Reserve jobs: for the queue of a cluster, and by a worker that dies just then."""
    import engine_jobs

    lp = launchpad()
    for name in ("reserved", "chosen"):
        submit(engine_jobs.empty(), name)
    lp.reserve_fw(FWorker("queue", query=campaign_query("reserved")), str(folder))
    main("pause", "reserved")
    main("resume", "reserved", "--no-run")
    chosen = {"$set": {"state": "RESERVED"}}
    fw = lp.fireworks.find_one_and_update({"spec.campaign_id": "chosen"}, chosen)
    known = {"$set": {f"fw_states.{fw['fw_id']}": "RESERVED"}}
    lp.workflows.update_one({"metadata.campaign_id": "chosen"}, known)
    recover(lp, "chosen", rerun_failed=False)
    command = ["work", "--campaign", "chosen", "--jobs", "1", "--idle", "1"]
    subprocess.run([sys.executable, "-m", "ionloop.cli", *command], cwd=folder, check=True)
    assert status("chosen").state == "finished"


def submit_to_jobflow_remote(campaign_id: str) -> None:
    """Submit a campaign to jobflow-remote, and say that a job has failed that all could miss.

    What its workers ask is asked here.
    """
    import engine_jobs

    first = engine_jobs.empty()
    first.update_metadata({"generation": 0, "stage": "label"})
    submit_remote(Flow([first, engine_jobs.empty(first.output)], order="linear"), campaign_id)
    jobs = database()[JOBS]
    failed = {"$set": {"state": "FAILED", "error": "RuntimeError: no"}}
    assert jobs.update_one({"uuid": first.uuid}, failed).modified_count
    assert not list(Handover("output.json").query({"uuid": first.uuid}))


def look_as_others_do(main) -> None:
    """Ask for failed campaigns, for one of jobflow-remote, and for the dashboard's pages."""
    from profiled import OTHER_STATES

    for runner in ("other", "remote"):
        main("status", f"{runner}-{OTHER_STATES.index('FIZZLED')}")
    for command in ("status", "labels", "ledger"):
        main(command, "remote")
    assert next_training("remote", database()) == 0
    source = Source()
    try:
        rows, total = source.campaigns(0, 25)
        assert len(rows) == 25 < total
        for campaign_id in ("c", "remote"):
            assert source.campaign(campaign_id) is not None
        assert source.report("c")
        for material, campaign_id in ((None, None), ("Li3OCl", None), (None, "c")):
            rows = source.scorecards(material, campaign_id, 1, 25)
            assert len(source.found_scorecards([one.key for one in rows])) == len(rows)
        assert source.materials() == ["Li3OCl"]
    finally:
        source.close()


def keep_scorecards(main, folder: Path) -> None:
    """Keep scorecards, list them, and look for a campaign's models."""
    from made_record import make_card
    from stored_output import member, put

    data = b"weights"
    trained = member(0, 0).model_copy(
        update={
            "model_hash": hashlib.sha256(data).hexdigest(),
            "model_file": Blob.from_bytes(data, "member.model"),
        }
    )
    store = job_store()
    store.connect()
    put(store, "member", trained)
    for files in ([data], [b"elsewhere"]):
        store_scorecard(make_card(*files))
    put(store, "campaign's own", make_card(b"its own"), data=[])
    for options in ([], ["--material", "Li3OCl"], ["--campaign", "c"]):
        main("scorecards", *options)
    main("scorecards", "--key", "campaign's own")
    main("scorecards", "--key", scorecards()[0].key)
    main("models", "c", "--out", str(folder / "models"))
    assert (folder / "models" / "member-0.model").read_bytes() == data


def ask_all(main, folder: Path) -> None:
    """Run a campaign with two workers and one that pauses, and ask all that can be asked.

    New commands and queries belong here.
    """
    import engine_jobs

    ledger = str(folder / "ledger")
    submit(engine_jobs.generation_flow(0, last=1, n=3, ledger=ledger, seconds=0.0), "c")
    assert run_local("c", workers=2, watch=lambda _: None).state == "finished"
    batches(folder, "paused")
    for campaign_id in ("c", "paused"):
        campaign_record(campaign_id)
        main("status", campaign_id)
        main("labels", campaign_id)
        main("ledger", campaign_id)
        main("labels", "list", campaign_id, "--json")
        main("resume", campaign_id, "--no-run")
    main("status", "--json")
    main("report", "c")
    main("status", "nothing", code=2)
    take_as_a_cluster_does()
    control_all(main, folder)
    submit_to_jobflow_remote("remote")
    keep_scorecards(main, folder)
    look_as_others_do(main)
    lose_workers(folder)
    lose_local_workers(folder)
    reserve(main, folder)
