"""Quickstart: Li3OCl with a Li-Cl vacancy pair, a teacher potential as the reference.

Minutes on a laptop: the labels cost milliseconds, so that all of the loop can be seen
at work, and the answer is known, since the teacher's own barrier and D are computed too.
Another crystal: ``build(structure="my.cif", teacher="chgnet")``.
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
from ionloop.reference.forcefield import ForceFieldReference, teacher_by_name
from ionloop.seed.charges import formal_charges, neutral_vacancies
from ionloop.seed.defects import remove_neutral_set, supercell
from ionloop.seed.maker import SeedMaker
from ionloop.seed.schema import Displacements
from ionloop.train.maker import CommitteeMaker
from ionloop.train.schema import Hyperparameters

LI3OCL = Path(__file__).parent / "structures" / "Li3OCl.cif"
TEACHER_LATTICE = 3.90  # Å, near the Buckingham model's own 3.87
R_MAX = 5.0  # Å, the model's cut-off


def build(
    structure: str | None = None,
    teacher: str = "buckingham",
    mobile_ion: str = "Li",
    random_seed: int = 0,
    max_generations: int = 2,
) -> Flow:
    """Make the campaign; every choice that matters stands below."""
    crystal = read_structure(structure or LI3OCL)
    if structure is None:
        crystal.scale_lattice(TEACHER_LATTICE**3)
    host = supercell(crystal, 2 * TEACHER_LATTICE if structure is None else 2 * R_MAX)
    charges = formal_charges(crystal)
    start = remove_neutral_set(host, neutral_vacancies(charges, mobile_ion), None, charges)

    profile = Profile(
        name="Li3OCl" if structure is None else crystal.composition.reduced_formula,
        mobile_ion=mobile_ion,
        formal_charges=charges,
        r_max=R_MAX,
        hop_distance_max=3.0 if structure is None else 4.0,
        small_cell_reason="38 atoms make it fast" if structure is None else None,
        seed_temperatures=[600, 900, 1200, 1500],
        temperatures=[1000, 1250, 1500],
        transport_temperatures=[900, 1100, 1300],
        budget=Budget(labels_max=280, generations_max=max_generations, labels_per_generation=24),
    )
    return CampaignMaker(
        profile=profile,
        reference=ForceFieldReference(teacher=teacher_by_name(teacher)),
        seed=SeedMaker(
            md_steps=4000,
            stride=10,
            skip=30,
            displacements=Displacements(n_rattle=12, n_strain=12),
        ),
        train=CommitteeMaker(size=2, hyperparameters=small_mace()),
        explore=ExploreMaker(
            md_steps=400,
            replicas=3,
            settings=ExploreSettings(max_events=3, n_uncertain=3, n_random=2),
        ),
        judge=JudgeMaker(limits=Limits(trusted_share=0.9)),
        evaluate=EvaluateMaker(
            md_steps=1200,
            replicas=4,
            reference_md_steps=80_000 if teacher == "buckingham" else 4000,
            skip_fs=200,
            n_test=24,
            stability_ps=10.0,  # gross faults alone; 500 ps is what a potential for use deserves
            nve_ps=2.0,
            expansion_ps=0.0,  # four more runs, of a cell of 135 atoms
        ),
        random_seed=random_seed,
    ).make(host, start)


def small_mace() -> Hyperparameters:
    """One layer, 16 scalars: a minute and a half a member on one slow core."""
    return Hyperparameters(
        hidden_irreps="16x0e",
        num_interactions=1,
        max_ell=2,
        correlation=3,
        radial_mlp=[32, 32],
        batch_size=2,
        lr=0.05,
        epochs=9,
        warm_epochs=5,
        eval_interval=5,
        stress_weight=0,
        dtype="float32",
    )
