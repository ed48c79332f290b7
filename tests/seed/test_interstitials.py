"""Voids and interstitial hops of crystals whose geometry is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from ionloop.campaign.start import material_of
from ionloop.errors import StructureError
from ionloop.profile import Profile
from ionloop.reference.neb import relax_band
from ionloop.reference.teachers import BuckinghamTeacher
from ionloop.seed.interstitials import has_interstitial, interstitial_hops
from ionloop.seed.schema import Hop
from ionloop.seed.voids import voids

# pymatgen calls spglib 2.8 in a way that spglib is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

A = 4.62


def crystal(name: str, kind: str, a: float, n: int = 1) -> Structure:
    return AseAtomsAdaptor.get_structure(bulk(name, kind, a, cubic=True) * (n, n, n))


@pytest.fixture(scope="module")
def host() -> Structure:
    """Antifluorite Li2O: O fcc, Li in all tetrahedra, the octahedra empty."""
    return crystal("OLi2", "fluorite", A, 2)


@pytest.fixture(scope="module")
def structure(host) -> Structure:
    """With a Li in an octahedron."""
    structure = host.copy()
    structure.append("Li", voids(host, 1.5)[5])
    return structure


@pytest.fixture(scope="module")
def hops(host, structure) -> dict[str, Hop]:
    found = interstitial_hops(host, structure, "Li", 3.5, charge=1)
    assert found.left_out == {}
    return {hop.path_class: hop for hop in found.hops}


@pytest.mark.parametrize(
    ("name", "kind", "a", "room", "radii"),
    [
        ("Cu", "fcc", 4.0, 1.9, [2.0] * 4),  # octahedra: a/2
        ("Cu", "fcc", 4.0, 1.5, [np.sqrt(3)] * 8 + [2.0] * 4),  # and tetrahedra: √3 a/4
        ("Fe", "bcc", 3.0, 1.5, [np.sqrt(5) / 4 * 3] * 12),  # tetrahedra: √5 a/4
        ("OLi2", "fluorite", A, 1.5, [np.sqrt(3) / 4 * A] * 4),  # octahedra of O, cubes of Li
        ("Cu", "fcc", 4.0, 2.1, []),
    ],
)
def test_voids_are_those_of_the_crystal(name, kind, a, room, radii) -> None:
    for n in (1, 2):
        cell = crystal(name, kind, a, n)
        found = voids(cell, room)
        assert len(found) == len(radii) * n**3
        if radii:
            away = cell.lattice.get_all_distances(found, cell.frac_coords).min(axis=1)
            assert np.sort(away) == pytest.approx(np.repeat(radii, n**3), abs=1e-3)


def test_antifluorite_has_one_hop_of_either_kind(hops) -> None:
    """Each of 32 voids: 8 Li with 3 other voids; 12 voids at a/√2. Both ends count a path."""
    counted = {name: hop.multiplicity for name, hop in hops.items()}
    assert counted == {
        "Li knock-on 2.00+2.00 A #0": 32 * 8 * 3 // 2,
        "Li direct 3.27 A #0": 32 * 12 // 2,
    }


def test_a_knock_on_moves_two_ions_and_a_direct_hop_one(host, structure, hops) -> None:
    empty = voids(host, 1.5)
    for name, n_ions in (("Li knock-on 2.00+2.00 A #0", 2), ("Li direct 3.27 A #0", 1)):
        hop = hops[name]
        start, end = np.array(hop.start.positions), np.array(hop.end.positions)
        lengths = np.linalg.norm(end - start, axis=1)
        moved = np.flatnonzero(lengths > 0.01)
        assert len(moved) == n_ions
        assert hop.ion == len(structure) - 1
        assert lengths[moved] == pytest.approx(hop.distance)
        assert hop.start.charge == hop.end.charge == 1
        # Afterwards each site has its ion, and another void the last one.
        after = hop.end.to_structure()
        away = host.lattice.get_all_distances(host.frac_coords, after.frac_coords).min(axis=1)
        assert away.max() < 1e-6
        last = after.frac_coords[moved[0] if n_ions == 2 else hop.ion]
        nearest = host.lattice.get_all_distances(last, empty)[0]
        assert nearest.min() < 1e-3
        assert nearest.argmin() != 5


def test_classes_do_not_depend_on_origin_void_or_order(host, structure, hops) -> None:
    rng = np.random.default_rng(0)
    for _ in range(2):
        order, shift = rng.permutation(len(host)), rng.random(3)
        other = Structure.from_sites([host[i] for i in order])
        other.translate_sites(range(len(other)), shift, to_unit_cell=True)
        moved = other.copy()
        moved.append("Li", voids(other, 1.5)[int(rng.integers(32))])
        moved.perturb(0.05, seed=1)
        found = interstitial_hops(other, moved, "Li", 3.5, charge=1).hops
        assert {h.path_class: h.multiplicity for h in found} == {
            name: hop.multiplicity for name, hop in hops.items()
        }


def test_voids_of_two_kinds_are_joined_and_start_hops_of_their_own() -> None:
    """In fcc an ion goes from octahedron to tetrahedron, √3 a/4 away, and from tetrahedron on."""
    host = crystal("Cu", "fcc", 4.0, 2)
    structure = host.copy()
    octahedron = [0.25, 0.0, 0.0]
    structure.append("Cu", octahedron)
    found = interstitial_hops(host, structure, "Cu", 2.1, clearance=0.8)
    direct = {h.path_class: h for h in found.hops if "direct" in h.path_class}
    counted = {name: hop.multiplicity for name, hop in direct.items()}
    # 8 cells: 32 octahedra with 8 tetrahedra each; 64 tetrahedra with 6 others at a/2.
    assert counted == {"Cu direct 1.73 A #0": 32 * 8, "Cu direct 2.00 A #1": 64 * 6 // 2}
    joined, own = direct.values()
    assert joined.start.to_structure().frac_coords[-1] == pytest.approx(octahedron)
    room = [
        host.lattice.get_all_distances(frame.to_structure().frac_coords[-1], host.frac_coords).min()
        for frame in (joined.start, joined.end, own.start, own.end)
    ]
    assert room == pytest.approx([2.0, np.sqrt(3), np.sqrt(3), np.sqrt(3)], abs=1e-3)


def test_an_interstitial_pushes_its_neighbour_on_rather_than_pass_it(hops) -> None:
    """In antifluorite and fluorite interstitialcy is the way; here with Li3OCl's potential."""
    barriers = {}
    for name, hop in hops.items():
        band = relax_band(
            hop, lambda _: BuckinghamTeacher().calculator(), n_images=3, fmax=0.1, max_steps=80,
            engine="lammps", settings_hash="h",
        )  # fmt: skip
        assert band.energies[-1] == pytest.approx(band.energies[0], abs=5e-3)
        barriers[name.split()[1]] = band.barrier
    assert 0.2 < barriers["knock-on"] < 0.6
    assert barriers["direct"] > 1.2


def test_a_campaign_takes_an_interstitial_and_needs_no_vacancy(host, structure, hops) -> None:
    profile = Profile(
        name="Li2O", mobile_ion="Li", formal_charges={"Li": 1, "O": -2}, r_max=3.8, charge=1,
        hop_distance_max=3.5, small_cell_reason="test",
    )  # fmt: skip
    assert has_interstitial(host, structure, "Li")
    assert not has_interstitial(host, host, "Li")
    material = material_of(profile, host, structure)
    assert {hop.path_class for hop in material.hops} == set(hops)
    assert material.start.charge == 1


def test_what_has_no_hop_says_why(host, structure) -> None:
    two = structure.copy()
    two.append("Li", voids(host, 1.5)[9])
    with pytest.raises(StructureError, match=r"expected one Li more than the host's 64.*got 66"):
        interstitial_hops(host, two, "Li", 3.5)
    with pytest.raises(StructureError, match=r"raise Profile\.hop_distance_max"):
        interstitial_hops(host, structure, "Li", 1.5)
    with pytest.raises(StructureError, match=r"3\.27 A #0': 'an ion is 1\.15 Å"):
        interstitial_hops(host, structure, "Li", 3.5, clearance=3.0)
    dense = crystal("Cu", "fcc", 2.5, 2)
    tight = dense.copy()
    tight.append("Cu", [0.25, 0, 0])
    with pytest.raises(StructureError, match=r"expected a void of 1\.5 Å in Cu, found none"):
        interstitial_hops(dense, tight, "Cu", 3.0)
