"""Tetragonal Li7La3Zr2O12 with a lithium vacancy, and a NEP potential as the reference.

NEP (GPUMD) costs 10 ms a step of 95 atoms, so that arms can be compared on a garnet whose
barriers are known: ``ionloop arms llzo_nep --set teacher=nep.txt``. Whatever
``ionloop.reference.potentials.teacher_by_name`` takes can stand for it.

The cell is the primitive one of I4_1/acd (Awaka et al., J. Solid State Chem. 182, 2046 (2009)),
relaxed with the NEP potential of Yan and Zhu (arXiv 2504.15925); for another teacher relax it
anew and give it as ``structure``. It has a charge, since a vacancy's counter-ion would change the
barriers: as with any charged cell, energies and stress aren't trained on.
"""

from __future__ import annotations

from pathlib import Path

from jobflow import Flow

from ionloop.campaign.maker import CampaignMaker
from ionloop.evaluate.maker import EvaluateMaker
from ionloop.explore.maker import ExploreMaker
from ionloop.explore.schema import ExploreSettings
from ionloop.profile import Budget, Profile, read_structure
from ionloop.reference.forcefield import ForceFieldReference, teacher_by_name
from ionloop.seed.defects import remove_neutral_set
from ionloop.seed.maker import SeedMaker
from ionloop.train.maker import CommitteeMaker
from ionloop.train.schema import Hyperparameters

LLZO = Path(__file__).parent / "structures" / "Li7La3Zr2O12.cif"
R_MAX = 4.5  # Å; the primitive cell's smallest height is 9.04 Å


def build(
    teacher: str,
    structure: str | None = None,
    random_seed: int = 0,
    max_generations: int = 3,
) -> Flow:
    """Make the campaign; every choice that matters stands below."""
    host = read_structure(structure or LLZO).get_primitive_structure()
    start = remove_neutral_set(host, {"Li": 1})
    profile = Profile(
        name="LLZO",
        mobile_ion="Li",
        formal_charges={"Li": 1, "La": 3, "Zr": 4, "O": -2},
        charge=-1,
        r_max=R_MAX,
        hop_distance_max=3.0,  # next come jumps of 3.6 Å and more, over 0.7 eV
        seed_temperatures=[500, 700],
        temperatures=[500, 700, 900],
        transport_temperatures=[500, 600, 700],
        budget=Budget(labels_max=200, generations_max=max_generations, labels_per_generation=20),
    )
    return CampaignMaker(
        profile=profile,
        reference=ForceFieldReference(teacher=teacher_by_name(teacher)),
        seed=SeedMaker(md_steps=3000, max_steps=200, max_bands=4),
        train=CommitteeMaker(size=2, hyperparameters=small_mace()),
        explore=ExploreMaker(
            md_steps=1000,
            replicas=2,
            # Five images give the NEP's barriers to 1 meV, so that saddles need no refining.
            settings=ExploreSettings(n_images=5, max_steps=200, refine="none"),
        ),
        evaluate=EvaluateMaker(md_steps=2500, replicas=2, reference_md_steps=20_000, n_test=30),
        random_seed=random_seed,
    ).make(host, start)


def small_mace() -> Hyperparameters:
    """Two layers of 32 scalars; for a few hundred steps 0.04 was the better rate than 0.01."""
    return Hyperparameters(
        hidden_irreps="32x0e",
        num_interactions=2,
        max_ell=2,
        correlation=2,
        radial_mlp=[32, 32],
        batch_size=2,
        lr=0.04,
        epochs=120,
        warm_epochs=60,
        eval_interval=10,
        stress_weight=0,
        dtype="float32",
    )
