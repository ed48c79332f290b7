"""Vacancies: which, how far apart, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ionloop.errors import StructureError
from ionloop.seed.defects import remove_neutral_set


@pytest.fixture
def host() -> Structure:
    cell = Structure(
        Lattice.cubic(3.91),
        ["Li", "Li", "Li", "O", "Cl"],
        [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]],
    )
    cell.make_supercell(2)
    return cell


def vacancies(host: Structure, structure: Structure) -> list[int]:
    gaps = host.lattice.get_all_distances(host.frac_coords, structure.frac_coords)
    return np.flatnonzero(gaps.min(axis=1) > 0.1).tolist()


def test_pair_is_as_far_apart_as_the_cell_allows(host: Structure) -> None:
    result = remove_neutral_set(host, {"Li": 1, "Cl": 1}, formal_charges={"Li": 1, "Cl": -1})
    assert len(host) == 40
    assert result.composition.as_dict() == {"Li": 23, "O": 8, "Cl": 7}
    li, cl = vacancies(host, result)
    assert (host[li].specie.symbol, host[cl].specie.symbol) == ("Li", "Cl")
    chlorides = [n for n, site in enumerate(host) if site.specie.symbol == "Cl"]
    assert host.get_distance(li, cl) == pytest.approx(
        max(host.get_distance(li, n) for n in chlorides)
    )


def test_choice_is_deterministic_unless_drawn(host: Structure) -> None:
    one, two = (remove_neutral_set(host, {"Li": 1}) for _ in range(2))
    assert one == two
    rngs = [np.random.default_rng(seed) for seed in range(9)]
    drawn = [remove_neutral_set(host, {"Li": 1}, rng) for rng in rngs]
    assert len({vacancies(host, structure)[0] for structure in drawn}) > 3


def test_many_vacancies_spread(host: Structure) -> None:
    """Three Li and one O: no two vacancies are neighbours."""
    gone = vacancies(host, remove_neutral_set(host, {"Li": 2, "O": 1}))
    gaps = host.distance_matrix[np.ix_(gone, gone)]
    assert gaps[gaps > 0].min() > 3.91


def test_order_of_the_rest_is_kept(host: Structure) -> None:
    result = remove_neutral_set(host, {"Li": 1, "Cl": 1})
    kept = [n for n in range(len(host)) if n not in vacancies(host, result)]
    assert np.allclose(result.frac_coords, host.frac_coords[kept])


@pytest.mark.parametrize(
    ("removals", "charges", "message"),
    [
        ({}, None, "ions to remove"),
        ({"Li": 0}, None, "ions to remove"),
        ({"Na": 1}, None, "Na"),
        ({"Cl": 8}, None, "supercell"),
        ({"Li": 1}, {"Li": 1}, r"neutral.*\+1 e"),
        ({"Li": 1, "Cl": 1}, {"Li": 1}, "formal charge"),
    ],
)
def test_bad_sets_are_refused(host, removals, charges, message) -> None:
    with pytest.raises(StructureError, match=message):
        remove_neutral_set(host, removals, formal_charges=charges)
