"""A small campaign with one thing wrong, chosen by ``case``."""

from __future__ import annotations

from jobflow import Flow
from pymatgen.core import Lattice, Molecule, Structure

from ionloop.campaign.maker import CampaignMaker
from ionloop.explore.maker import ExploreMaker
from ionloop.explore.schema import ExploreSettings
from ionloop.profile import Profile
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.forcefield import ForceFieldReference
from ionloop.train.maker import CommitteeMaker

SITES = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]]
CHARGES = {"Li": 1, "O": -2, "Cl": -1}


def build(case: str = "none") -> Flow:
    host = Structure(Lattice.cubic(3.9), ["Li", "Li", "Li", "O", "Cl"], SITES).make_supercell(2)
    start = host.copy()
    start.remove_sites([0, len(start) - 1])
    profile: dict = {
        "name": "bad",
        "mobile_ion": "Li",
        "formal_charges": CHARGES,
        "small_cell_reason": "a test",
    }
    changes = {
        "unknown element": {"formal_charges": CHARGES | {"Xx": 1}},
        "wrong mobile ion": {"mobile_ion": "Na", "formal_charges": CHARGES | {"Na": 1}},
        "charges not neutral": {"formal_charges": CHARGES | {"O": -1}},
        "no temperatures": {"temperatures": []},
        "small cell": {"small_cell_reason": None},
    }
    profile |= changes.get(case, {})
    if case == "no cell":
        start = Molecule(["Li", "Cl"], [[0, 0, 0], [0, 0, 2.0]])
    if case == "skewed cell":
        matrix = host.lattice.matrix.copy()
        matrix[1, 0] = 0.1
        host, start = (Structure(matrix, s.species, s.frac_coords) for s in (host, start))
    explore = {"check_every": 12} if case == "judgements between stored frames" else {}
    maker = CampaignMaker(
        profile=Profile(**profile),
        reference=Cp2kReference() if case == "no cp2k" else ForceFieldReference(),
        train=CommitteeMaker(
            size=1 if case == "committee of one" else 2,
            foundation="/nowhere/mace.model" if case == "no model file" else None,
        ),
        explore=ExploreMaker(settings=ExploreSettings(**explore)),
    )
    return maker.make(host, start)
