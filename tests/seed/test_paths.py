"""Distinct hops of crystals whose neighbour shells are known."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ionloop.errors import StructureError
from ionloop.frame import Origin
from ionloop.seed.defects import remove_neutral_set
from ionloop.seed.paths import (
    mobile_sites,
    path_classes,
    site_classes,
    vacancy_hops,
)

# pymatgen calls spglib 2.8 in a way that spglib is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

A = 3.91


def antiperovskite(n: int = 2) -> Structure:
    """Li3OCl, n³ unit cells of 5 atoms."""
    cell = Structure(
        Lattice.cubic(A),
        ["Li", "Li", "Li", "O", "Cl"],
        [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]],
    )
    cell.make_supercell(n)
    return cell


def lithium_nitride() -> Structure:
    """Li3N, P6/mmm, 2x2x2."""
    cell = Structure(
        Lattice.hexagonal(3.64, 3.871),
        ["Li", "Li", "Li", "N"],
        [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0], [0, 0, 0.5], [0, 0, 0]],
    )
    cell.make_supercell(2)
    return cell


def lattice_gap(point: np.ndarray, structure: Structure) -> float:
    """Distance of a point from the nearest ion, Å."""
    lattice = structure.lattice
    return lattice.get_all_distances(
        lattice.get_fractional_coords(point), structure.frac_coords
    ).min()


@pytest.fixture(scope="module")
def host() -> Structure:
    return antiperovskite()


@pytest.fixture(scope="module")
def defective(host: Structure) -> Structure:
    return remove_neutral_set(host, {"Li": 1, "Cl": 1})


def test_antiperovskite_has_the_known_shells(host: Structure) -> None:
    """8 neighbours at a/√2 (one class), 6 at a in two classes: in plane, and through O."""
    found = path_classes(host, "Li", 4.0)
    assert [label.split()[1] for label in found.labels] == ["2.76", "3.91", "3.91"]
    assert [label.split()[-1] for label in found.labels] == ["#0", "#1", "#2"]
    per_site = Counter(found.classes[found.pairs[:, 0] == 5].tolist())
    assert per_site[0] == 8
    assert sorted([per_site[1], per_site[2]]) == [2, 4]


def test_both_directions_are_of_one_class(host: Structure) -> None:
    classes = site_classes(host, "Li", 4.0)
    assert all(classes[j, i] == label for (i, j), label in classes.items())
    assert len(classes) == 24 * (8 + 2 + 1)  # at a, +a and -a are one site of a 2a cell


def test_labels_of_short_pairs_do_not_depend_on_the_longest_pair(host: Structure) -> None:
    short = site_classes(host, "Li", 3.0)
    long = site_classes(host, "Li", 5.0)
    assert {pair: long[pair] for pair in short} == short


def test_classes_survive_a_shifted_origin_and_another_order(host: Structure) -> None:
    rng = np.random.default_rng(1)
    order = rng.permutation(len(host))
    moved = Structure.from_sites([host[int(n)] for n in order])
    moved.translate_sites(range(len(moved)), [0.123, 0.456, 0.789])
    ours, theirs = path_classes(host, "Li", 4.0), path_classes(moved, "Li", 4.0)
    # The two classes at a may swap their numbers.
    assert sorted(np.bincount(ours.classes)) == sorted(np.bincount(theirs.classes))
    assert np.bincount(ours.classes)[0] == np.bincount(theirs.classes)[0] == 24 * 8


def test_lithium_nitride_tells_plane_from_bridge() -> None:
    """Li(2c)-Li(2c) in plane at a/√3 and Li(1b)-Li(2c) between planes."""
    found = path_classes(lithium_nitride(), "Li", 3.0)
    expected = sorted([3.64 / np.sqrt(3), np.hypot(3.64 / np.sqrt(3), 3.871 / 2)])
    lengths = [found.distances[found.classes == k].mean() for k in range(len(found.labels))]
    assert lengths == pytest.approx(expected, abs=1e-6)
    assert (found.classes == 0).sum() == 16 * 3
    assert (found.classes == 1).sum() == 2 * 16 * 6


def test_path_through_an_anion_is_left_out(host: Structure, defective: Structure) -> None:
    hops, left_out = vacancy_hops(host, defective, "Li", 4.0)
    assert [round(hop.distance, 2) for hop in hops] == [2.76, 3.91]
    (reason,) = left_out.values()
    assert re.fullmatch(r"an ion is 0\.\d\d Å from the straight path", reason)
    blocked = vacancy_hops(host, defective, "Li", 4.0, clearance=0.0).hops
    assert len(blocked) == 3
    assert {hop.path_class for hop in hops} <= set(site_classes(host, "Li", 4.0).values())


def test_end_points_swap_ion_and_vacancy(host: Structure, defective: Structure) -> None:
    for hop in vacancy_hops(host, defective, "Li", 4.0).hops:
        start, end = np.array(hop.start.positions), np.array(hop.end.positions)
        moved = np.linalg.norm(end - start, axis=1)
        assert np.flatnonzero(moved > 1e-6).tolist() == [hop.ion]
        assert moved[hop.ion] == pytest.approx(hop.distance)
        assert hop.start.symbols == hop.end.symbols
        assert hop.start.symbols[hop.ion] == "Li"
        assert hop.start.origin is Origin.NEB
        assert hop.start.group == hop.path_class
        gaps = hop.end.to_atoms().get_all_distances(mic=True)
        np.fill_diagonal(gaps, np.inf)
        assert gaps.min() > 1.9
        free = [s for s in mobile_sites(host, "Li") if lattice_gap(s, defective) > 0.1]
        assert len(free) == 1
        shift = (end[hop.ion] - free[0]) / (2 * A)
        assert shift == pytest.approx(np.rint(shift), abs=1e-9)


def test_multiplicity_counts_undirected_pairs(host: Structure, defective: Structure) -> None:
    first = vacancy_hops(host, defective, "Li", 3.0).hops[0]
    assert first.multiplicity == 24 * 8 // 2


def test_representative_is_far_from_the_other_defect(host: Structure, defective: Structure) -> None:
    hop = vacancy_hops(host, defective, "Li", 3.0).hops[0]
    cl_host = [s for s in host if s.specie.symbol == "Cl"]
    gone = next(s for s in cl_host if min(s.distance(t) for t in defective) > 0.5)
    lattice = host.lattice
    old = lattice.get_fractional_coords(hop.start.positions[hop.ion])
    ours = gone.distance_and_image_from_frac_coords(old)[0]
    vacancy = lattice.get_fractional_coords(hop.end.positions[hop.ion])
    rivals = [
        gone.distance(s)
        for s in defective
        if s.specie.symbol == "Li"
        and abs(s.distance_and_image_from_frac_coords(vacancy)[0] - hop.distance) < 1e-3
    ]
    assert ours == pytest.approx(max(rivals))
    assert max(rivals) > min(rivals) + 0.5


def test_ion_may_have_relaxed_off_its_site(host: Structure, defective: Structure) -> None:
    relaxed = defective.copy()
    relaxed.perturb(0.15)
    ideal, off = (vacancy_hops(host, s, "Li", 3.0).hops[0] for s in (defective, relaxed))
    assert off.ion == ideal.ion
    assert off.end.positions[off.ion] == pytest.approx(ideal.end.positions[ideal.ion])


def test_charge_passes_to_the_frames(host: Structure) -> None:
    charged = remove_neutral_set(host, {"Li": 1})
    hop = vacancy_hops(host, charged, "Li", 3.0, charge=-1).hops[0]
    assert hop.start.charge == hop.end.charge == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, d: (h, h, "Li", 3.0), "vacant"),
        (lambda h, d: (h, d, "Na", 3.0), "mobile ion Na"),
        (lambda h, d: (h, d, "Li", 1.0), "hop_distance_max"),
        (lambda h, d: (h, d.copy().scale_lattice(d.volume * 1.1), "Li", 3.0), "one lattice"),
        (lambda h, d: (d, h, "Li", 3.0), "own site"),
    ],
)
def test_bad_input_says_what_to_do(host, defective, change, message) -> None:
    with pytest.raises(StructureError, match=message):
        vacancy_hops(*change(host, defective))


def olivine() -> Structure:
    """LiFePO4, Pnma, experimental."""
    sites = [[0, 0, 0], [0.282, 0.25, 0.975], [0.095, 0.25, 0.418], [0.097, 0.25, 0.743],
             [0.457, 0.25, 0.206], [0.166, 0.046, 0.285]]  # fmt: skip
    lattice = Lattice.orthorhombic(10.33, 6.01, 4.69)
    cell = Structure.from_spacegroup("Pnma", lattice, ["Li", "Fe", "P", "O", "O", "O"], sites)
    cell.make_supercell(2)
    return cell


@pytest.mark.parametrize(
    ("crystal", "reach", "lengths"),
    [
        (lambda: antiperovskite(3), 6.0, [2.765, 3.91, 3.91, 4.789, 5.53, 5.53]),
        (lithium_nitride, 4.5, [2.102, 2.857, 3.64, 3.64, 3.871, 3.871, 4.203, 4.405]),
        (olivine, 5.0, [3.005, 4.69]),
    ],
)
def test_classes_are_those_of_pymatgens_distinct_path_finder(crystal, reach, lengths) -> None:
    """What DistinctPathFinder of pymatgen-analysis-diffusion 2026.9.23 gave for the unit cells."""
    found = path_classes(crystal(), "Li", reach)
    ours = [found.distances[found.classes == k].mean() for k in range(len(found.labels))]
    assert sorted(ours) == pytest.approx(lengths, abs=1e-3)
