"""An imported shard in the database is found by a campaign's jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobflow import JobConfig, run_locally

from ionloop.errors import LabelError
from ionloop.label.imports import Terms, imported_shard, judge_readings
from ionloop.label.maker import LabelMaker
from ionloop.label.schema import LabelShard
from ionloop.profile import Profile
from ionloop.reference.forcefield import ForceFieldReference
from ionloop.reference.importers.reading import Reading, Step
from ionloop.store.connection import database, job_store
from ionloop.store.imports import store_shard

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")

PROFILE = Profile(name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1})


def shard(settings: dict, n: int = 3) -> LabelShard:
    import numpy as np
    from ase.build import bulk

    steps = []
    for seed in range(n):
        atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
        atoms.rattle(0.05, seed=seed)
        steps.append(
            Step(list(atoms.get_chemical_symbols()), atoms.positions, atoms.cell.array,
                 energy=-1.0 - seed, forces=np.full((8, 3), 0.1 * seed), stress=np.eye(3) / 7)
        )  # fmt: skip
    return imported_shard(
        judge_readings([Reading(Path("a"), "vasp", settings, steps)], Terms(PROFILE))
    )


@pytest.fixture
def store(ionloop_db):
    made = job_store()
    made.connect()
    return made


def run(job, store, folder):
    return run_locally(job, store=store, root_dir=folder, create_folders=True,
                       raise_immediately=True, log=False)[job.uuid][1].output  # fmt: skip


def test_a_campaign_adopts_what_was_stored(store, tmp_path):
    reference = ForceFieldReference()
    stored = shard(reference.settings)
    uuid = store_shard(stored, "import a")
    adopt = LabelMaker().adopt([uuid], reference, PROFILE, {"campaign_id": "c", "generation": 0})
    assert adopt.metadata == {"campaign_id": "c", "generation": 0, "stage": "label"}
    assert adopt.config == JobConfig(expose_store=True)
    taken = run(adopt, store, tmp_path)
    assert taken.labels == stored.labels
    assert taken.settings_hash == reference.settings_hash


def test_storing_twice_keeps_one_and_labels_lie_in_gridfs(store):
    stored = shard({"code": "vasp"})
    assert store_shard(stored, "a") == store_shard(stored, "b")
    outputs = database().outputs
    (document,) = outputs.find({"metadata.stage": "import"})
    assert document["name"] == "b"
    assert "blob_uuid" in document["output"]["labels"]
    assert database()["outputs_blobs.files"].count_documents({}) == 2  # labels, quarantined
    assert store_shard(shard({"code": "cp2k"}), "c") != document["uuid"]


def test_other_settings_end_the_campaign_with_the_key(store, tmp_path):
    reference = ForceFieldReference()
    uuid = store_shard(shard({**reference.settings, "code": "other"}), "a")
    with pytest.raises(LabelError, match="expected imported labels of the reference's settings"):
        run(LabelMaker().adopt([uuid], reference, PROFILE, {}), store, tmp_path)


def test_imported_frames_arent_asked_again_and_cost_nothing(store, tmp_path):
    """A budget of two, three imported labels: both new frames are asked."""
    reference = ForceFieldReference()
    uuid = store_shard(shard(reference.settings), "a")
    profile = PROFILE.model_copy(
        update={"budget": PROFILE.budget.model_copy(update={"labels_max": 2})}
    )
    frames = [label.frame for label in shard(reference.settings, n=5).labels]
    made = run_with_shards(frames, reference, profile, [uuid], store, tmp_path)
    assert [label.frame for label in made.labels] == frames[3:]
    assert len(made.labels) == 2
    assert made.left_out == {}


def run_with_shards(frames, reference, profile, shards, store, folder) -> LabelShard:
    job = LabelMaker().make(frames, reference, profile, 0, "train", shards, {}, 0, 3)
    run_locally(job, store=store, root_dir=folder, create_folders=True, log=False)
    return store.get_output(job.uuid, load=True)
