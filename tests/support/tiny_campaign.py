"""The quickstart made small: the whole loop in about a minute, for tests of the machinery.

Its model is far too poor for physics; what it shows is that every part works together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jobflow import Flow
from pymatgen.core import Structure

from ionloop.campaign.maker import CampaignMaker
from ionloop.evaluate.maker import EvaluateMaker
from ionloop.explore.maker import ExploreMaker
from ionloop.explore.schema import ExploreSettings
from ionloop.frame import Frame, Origin
from ionloop.label.extxyz import write_extxyz
from ionloop.label.schema import Label
from ionloop.profile import Budget, Profile
from ionloop.reference.forcefield import ForceFieldReference, single_point
from ionloop.reference.quality import judge_point
from ionloop.seed.defects import remove_neutral_set
from ionloop.seed.displace import rattle
from ionloop.seed.maker import SeedMaker
from ionloop.seed.schema import Displacements
from ionloop.train.maker import CommitteeMaker
from ionloop.train.schema import Hyperparameters

LI3OCL = Path(__file__).parents[2] / "flows" / "structures" / "Li3OCl.cif"
CHARGES = {"Li": 1, "O": -2, "Cl": -1}


def structures() -> tuple[Structure, Structure]:
    """The perfect 2x2x2 cell, and the one without a Li-Cl pair."""
    crystal = Structure.from_file(LI3OCL)
    crystal.scale_lattice(3.90**3)
    host = crystal.make_supercell(2)
    return host, remove_neutral_set(host, {"Li": 1, "Cl": 1}, None, CHARGES)


def maker(random_seed: int = 0, frames_per_job: int = 4) -> CampaignMaker:
    """The campaign, before it knows its structures."""
    return CampaignMaker(
        profile=Profile(
            name="tiny",
            mobile_ion="Li",
            formal_charges=CHARGES,
            r_max=3.8,
            hop_distance_max=2.8,
            seed_temperatures=[800, 1100, 1400, 1700],
            temperatures=[1100, 1500],
            transport_temperatures=[900, 1000, 1100],
            budget=Budget(labels_max=100, generations_max=2, labels_per_generation=10),
        ),
        reference=ForceFieldReference(frames_per_job=frames_per_job),
        seed=SeedMaker(
            md_steps=600,
            stride=5,
            skip=10,
            n_images=1,
            max_steps=10,
            max_bands=1,
            displacements=Displacements(n_rattle=6, n_strain=2),
        ),
        train=CommitteeMaker(size=2, hyperparameters=tiny_mace()),
        explore=ExploreMaker(
            md_steps=700,
            settings=ExploreSettings(
                ceiling_factor=50,
                max_events=2,
                n_uncertain=3,
                n_random=2,
                n_images=1,
                max_steps=6,
                end_fmax=0.05,
            ),
        ),
        evaluate=EvaluateMaker(
            md_steps=200,
            reference_md_steps=2000,
            skip_fs=100,
            n_test=6,
            n_timed=3,
            stability_ps=1.0,
            nve_ps=0.2,
            expansion_ps=0.0,
        ),
        random_seed=random_seed,
    )


def tiny_mace(**fields: object) -> Hyperparameters:
    """One layer, 8 scalars: an epoch on some ten frames in a fraction of a second."""
    own = {
        "hidden_irreps": "8x0e",
        "num_interactions": 1,
        "max_ell": 1,
        "correlation": 2,
        "radial_mlp": [16],
        "mlp_irreps": "8x0e",
        "batch_size": 2,
        "lr": 0.03,
        "ema_decay": 0.9,
        "epochs": 24,
        "warm_epochs": 4,
        "eval_interval": 3,
        "stress_weight": 0,
        "dtype": "float32",
        **fields,
    }
    return Hyperparameters(**own)


def build(
    campaign_id: str = "tiny",
    random_seed: int = 0,
    frames_per_job: int = 4,
    imported: Sequence[str] = (),
) -> Flow:
    """Make the flow."""
    campaign = replace(maker(random_seed, frames_per_job), imported=list(imported))
    return campaign.make(*structures(), campaign_id=campaign_id)


def write_labels(path: Path, n: int) -> list[Label]:
    """Label rattled frames by the campaign's own reference, as calculations of long ago."""
    campaign, (_, start) = maker(), structures()
    frame = Frame.from_structure(start, origin=Origin.RATTLE, group="before")
    rng = np.random.default_rng(5)
    frames = [rattle(frame, 0.08, rng, group=f"before-{i}") for i in range(n)]
    reference = campaign.reference
    calculator = reference.teacher.calculator()
    labels = [
        judge_point(
            asked,
            single_point(asked, calculator, reference),
            reference.settings_hash,
            campaign.profile,
        )
        for asked in frames
    ]
    write_extxyz(labels, path)
    return labels
