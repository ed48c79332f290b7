"""Store a made-up campaign as its jobs would have, and jobs in given states."""

from __future__ import annotations

from datetime import datetime, timedelta

import engine_jobs
from jobflow import Flow

from ionloop.document import DATA_FIELDS
from ionloop.engine.flows import submit
from ionloop.report.schema import CampaignRecord
from ionloop.store.connection import database, job_store

START = datetime(2026, 1, 1, 8, 0)  # noqa: DTZ001 - jobflow stores local time
#: From verdict to verdict in the made-up campaign.
GENERATION = timedelta(hours=3)


def store_record(campaign_id: str, record: CampaignRecord) -> None:
    """Store a record's documents as outputs."""
    store = job_store()
    store.connect()
    lists = [record.shards, record.calibrations, record.members, record.explorations,
             record.band_sets, record.found_bands, record.advances]  # fmt: skip
    single = [record.start, record.seeds, record.evaluation]
    documents = [one for one in single if one] + [one for some in lists for one in some]
    for i, one in enumerate(documents):
        generation = getattr(one, "generation", 0)
        output = {**one.model_dump(mode="json"), "@class": type(one).__name__, "@module": "x"}
        document = {
            "uuid": f"{campaign_id}-{i}",
            "index": 1,
            "output": output,
            "completed_at": (START + generation * GENERATION).isoformat(),
            "metadata": {"campaign_id": campaign_id, "generation": generation, "stage": "x"},
            "hosts": [],
            "name": type(one).__name__,
        }
        store.update(document, key=["uuid", "index"], save={"data": DATA_FIELDS})


def submit_jobs(campaign_id: str, states: dict[str, int], name: str = "campaign") -> None:
    """Submit idle jobs, and say that so many are in each state."""
    jobs = [engine_jobs.empty(i) for i in range(sum(states.values()))]
    for i, job in enumerate(jobs):
        job.update_metadata({"generation": i % 3, "stage": ("label", "train")[i % 2]})
    submit(Flow(jobs, name=name), campaign_id)
    fireworks = database().fireworks
    found = fireworks.find({"spec.campaign_id": campaign_id}, {"fw_id": 1})
    ids = sorted(firework["fw_id"] for firework in found)
    for state, n in states.items():
        chosen, ids = ids[:n], ids[n:]
        fireworks.update_many({"fw_id": {"$in": chosen}}, {"$set": {"state": state}})
