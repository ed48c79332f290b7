"""The tiny campaign with VASP as its reference: as few labels as the loop can turn on."""

from __future__ import annotations

from dataclasses import replace

import tiny_campaign
from jobflow import Flow

from ionloop.profile import Budget
from ionloop.reference.vasp import VaspReference
from ionloop.seed.maker import SeedMaker
from ionloop.seed.schema import Displacements


def build(campaign_id: str = "tiny", random_seed: int = 0) -> Flow:
    """Make the flow."""
    maker = tiny_campaign.maker(random_seed)
    profile = maker.profile.model_copy(
        update={
            "name": "tiny-vasp",
            "seed_temperatures": [900.0, 1500.0],
            # A model of so few labels holds a crystal together only where it is cool.
            "temperatures": [500.0, 700.0],
            "transport_temperatures": [400.0, 500.0, 600.0],
            "budget": Budget(labels_max=40, generations_max=2, labels_per_generation=6),
        }
    )
    seed = SeedMaker(
        md_steps=300,
        stride=3,
        skip=6,
        n_images=1,
        max_steps=6,
        max_bands=1,
        displacements=Displacements(n_rattle=3, n_strain=1),
    )
    return replace(
        maker,
        profile=profile,
        reference=VaspReference(),
        seed=seed,
        train=replace(maker.train, hyperparameters=tiny_campaign.tiny_mace(epochs=60)),
        evaluate=replace(maker.evaluate, n_test=4),
    ).make(*tiny_campaign.structures(), campaign_id=campaign_id)
