"""Li3OCl with a Li and a Cl vacancy, VASP as the reference.

Needs VASP and your POTCARs (PMG_VASP_PSP_DIR); see docs/howto/vasp.md, and docs/howto/dry-run.md
to try it without either.
"""

from __future__ import annotations

from pathlib import Path

from jobflow import Flow

from ionloop.campaign.maker import CampaignMaker
from ionloop.profile import Budget, Profile, read_structure
from ionloop.reference.vasp import VaspReference
from ionloop.reference.vasp.settings import VaspSettings
from ionloop.seed.defects import remove_neutral_set
from ionloop.seed.maker import SeedMaker

LI3OCL = Path(__file__).parent / "structures" / "Li3OCl.cif"


def build(random_seed: int = 0, max_generations: int = 6) -> Flow:
    """Make the campaign; what isn't stated here has the defaults of the Makers."""
    host = read_structure(LI3OCL).make_supercell(3)
    start = remove_neutral_set(host, {"Li": 1, "Cl": 1})
    profile = Profile(
        name="Li3OCl-vasp",
        mobile_ion="Li",
        formal_charges={"Li": 1, "O": -2, "Cl": -1},
        hop_distance_max=3.0,
        seed_temperatures=[600, 900, 1200],
        temperatures=[700, 1000, 1300],
        transport_temperatures=[700, 900, 1100],
        budget=Budget(labels_max=600, generations_max=max_generations, labels_per_generation=60),
    )
    return CampaignMaker(
        profile=profile,
        reference=VaspReference(dft=VaspSettings(functional="PBE", encut=520, version="6.4")),
        seed=SeedMaker(md_steps=1000, time_step=2.0, n_images=5, max_bands=2),
        random_seed=random_seed,
    ).make(host, start)
