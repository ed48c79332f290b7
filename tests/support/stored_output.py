"""Documents as jobs store them."""

from __future__ import annotations

from ionloop.document import DATA_FIELDS, Blob
from ionloop.train.schema import Hyperparameters, Member


def put(
    store,
    uuid,
    output,
    *,
    campaign="c",
    index=1,
    generation=0,
    at="2026-01-01T00:00:00",
    data=DATA_FIELDS,
):
    doc = {
        "uuid": uuid,
        "index": index,
        "output": output,
        "completed_at": at,
        "metadata": {"campaign_id": campaign, "generation": generation, "stage": "x"},
        "hosts": [],
        "name": uuid,
    }
    store.update(doc, key=["uuid", "index"], save={"data": data})


def member(index: int, generation: int, wall_s: float = 1.0) -> Member:
    return Member(
        index=index, seed=1, generation=generation, warm_start=False, n_train=1, n_valid=1,
        model_hash="h", model_file=Blob.from_bytes(b"weights", "m.model"), log=[],
        hyperparameters=Hyperparameters(), mace_version="0", wall_s=wall_s,
    )  # fmt: skip
