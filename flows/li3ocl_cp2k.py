"""Li3OCl with a Li vacancy (charge -1), CP2K as the reference: real DFT on two cores.

The same campaign as the quickstart; only the reference and the budget differ. PBE, own
Li basis, 300 Ry with a smoothed density, so no stress labels; see docs/howto/cp2k.md.
"""

from __future__ import annotations

from pathlib import Path

from jobflow import Flow

from ionloop.campaign.maker import CampaignMaker
from ionloop.evaluate.maker import EvaluateMaker
from ionloop.explore.maker import ExploreMaker
from ionloop.explore.schema import ExploreSettings
from ionloop.judge.maker import JudgeMaker
from ionloop.judge.schema import Limits
from ionloop.profile import Budget, Profile, read_structure
from ionloop.reference.cp2k import Cp2kReference
from ionloop.seed.defects import remove_neutral_set
from ionloop.seed.maker import SeedMaker
from ionloop.seed.schema import Displacements
from ionloop.train.maker import CommitteeMaker
from ionloop.train.schema import Hyperparameters

LI3OCL = Path(__file__).parent / "structures" / "Li3OCl.cif"


def build(random_seed: int = 0, max_generations: int = 3) -> Flow:
    """Make the campaign; every choice that matters stands below."""
    host = read_structure(LI3OCL).make_supercell(2)
    start = remove_neutral_set(host, {"Li": 1})

    profile = Profile(
        name="Li3OCl-cp2k",
        mobile_ion="Li",
        formal_charges={"Li": 1, "O": -2, "Cl": -1},
        charge=-1,
        r_max=5.0,
        small_cell_reason="39 atoms keep a label at seconds; Gamma-only error is 0.02 eV/A",
        hop_distance_max=3.0,
        seed_temperatures=[700, 1000, 1300],
        temperatures=[900, 1200, 1500],
        transport_temperatures=[1100, 1300, 1500],
        budget=Budget(labels_max=120, generations_max=max_generations, labels_per_generation=16),
    )
    return CampaignMaker(
        profile=profile,
        reference=Cp2kReference(),
        seed=SeedMaker(
            md_steps=40,
            time_step=2.0,
            store_every=5,
            stride=2,
            skip=2,
            n_images=3,
            fmax=0.1,
            max_steps=30,
            displacements=Displacements(n_rattle=9, n_strain=5),
        ),
        train=CommitteeMaker(
            size=2,
            hyperparameters=Hyperparameters(
                hidden_irreps="16x0e",
                num_interactions=1,
                max_ell=2,
                correlation=3,
                radial_mlp=[32, 32],
                batch_size=2,
                lr=0.02,
                epochs=60,
                warm_epochs=30,
                stress_weight=0,
                dtype="float32",
            ),
        ),
        # The model's bands as the reference's: barriers compare like with like.
        explore=ExploreMaker(
            md_steps=2000,
            settings=ExploreSettings(max_events=6, n_images=3, fmax=0.1, max_steps=60),
        ),
        judge=JudgeMaker(limits=Limits(trusted_share=0.9)),
        evaluate=EvaluateMaker(md_steps=6000, skip_fs=1000, n_test=16, stability_ps=50.0),
        random_seed=random_seed,
    ).make(host, start)
