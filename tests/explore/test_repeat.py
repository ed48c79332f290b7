from __future__ import annotations

import numpy as np
import pytest

from ionloop.explore.found import found_bands
from ionloop.explore.repeat import hop_of, open_hops
from ionloop.explore.saddles import BandPlan
from ionloop.explore.schema import FoundBands, Repeated
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.frame import Origin
from ionloop.profile import Profile
from ionloop.reference.schema import Band


def band(barrier: float, *, converged: bool = True, name: str = "found, 1 ion: a") -> Band:
    images = np.zeros((3, 2, 3))
    images[:, 0, 0] = [0.0, 1.4, 2.8]
    images[:, 1] = 3.0
    return Band(
        symbols=["Li", "O"], cell=(9 * np.eye(3)).tolist(), charge=-1, images=images.tolist(),
        energies=[0.0, barrier, 0.1], ion=0, path_class=name, hop_distance=2.8,
        converged=converged, fmax=0.05, n_force_calls=9, engine="mace", settings_hash="h",
        wall_s=1.0,
    )  # fmt: skip


def found(
    bands: list[Band], orders: list[int], repeated: list[Repeated] | None = None
) -> FoundBands:
    return FoundBands(
        generation=4, bands=bands, n_imaginary=orders, frames=[], n_events=len(bands),
        n_returned=0, n_broken=0, wall_s=1.0, repeated=repeated or [],
    )  # fmt: skip


def test_nothing_before_is_nothing_to_repeat():
    assert open_hops(None, 4, 0.01) == []
    assert open_hops(found([], []), 4, 0.01) == []


def test_a_hop_comes_back_until_its_barrier_has_settled():
    bands = [band(0.3), band(0.4), band(0.5)]
    repeated = [
        Repeated(index=1, first=2, before=0.405, now=0.4),
        Repeated(index=2, first=1, before=0.48, now=0.5),
    ]
    again = open_hops(found(bands, [1, 1, 1], repeated), 4, 0.01)
    # One that still moves, known since generation 1, then the one of this generation.
    assert [(x.first, x.before) for x in again] == [(1, 0.5), (4, 0.3)]
    assert [x.first for x in open_hops(found(bands, [1, 1, 1], repeated), 1, 0.01)] == [1]
    strict = open_hops(found(bands, [1, 1, 1], repeated), 4, 0.001)
    assert [x.first for x in strict] == [2, 1, 4]


def test_what_is_no_saddle_or_no_band_does_not_come_back():
    bands = [band(0.3), band(0.4, converged=False), band(0.5)]
    assert [x.before for x in open_hops(found(bands, [2, 1, 1]), 4, 0.01)] == [0.5]


def test_a_hop_has_the_ends_of_its_band():
    hop = hop_of(band(0.3))
    assert hop.start.positions == [[0, 0, 0], [3, 3, 3]]
    assert hop.end.positions == [[2.8, 0, 0], [3, 3, 3]]
    assert (hop.ion, hop.distance, hop.start.charge) == (0, 2.8, -1)
    assert hop.path_class == "found, 1 ion: a"


def test_documents_from_before_have_nothing_repeated():
    old = found([band(0.3)], [1]).model_dump(exclude={"repeated", "n_lost"})
    again = FoundBands(**old)
    assert (again.repeated, again.n_lost) == ([], 0)
    assert [x.first for x in open_hops(again, 4, 0.01)] == [4]


@pytest.fixture
def profile() -> Profile:
    return Profile(
        name="Li3OCl", mobile_ion="Li", formal_charges={"Li": 1, "O": -2, "Cl": -1}, r_max=3.8,
        charge=-1, small_cell_reason="test",
    )  # fmt: skip


def test_repeated_bands_stand_beside_new_ones_with_both_barriers(committee, one_cell, profile):
    """The committee isn't trained: its barriers mean nothing, but each is of its own band."""
    ion = int(np.flatnonzero(one_cell.symbols == "Li")[2])
    images = np.repeat(one_cell.positions[None], 3, axis=0)
    images[:, ion, 0] += [0.0, 0.8, 1.6]
    before = band(0.3).model_copy(
        update={
            "symbols": list(one_cell.get_chemical_symbols()), "cell": one_cell.cell.array.tolist(),
            "images": images.tolist(), "ion": ion, "hop_distance": 1.6,
        }
    )  # fmt: skip
    plan = BandPlan(n_images=1, fmax=50.0, max_steps=2, end_fmax=50.0, refine=None)
    judge = CommitteeUncertainty(committee, np.flatnonzero(one_cell.symbols == "Li"), 2.0)
    again = open_hops(found([before], [1]), 4, 0.01)
    made = found_bands(
        [], committee, judge, plan, profile=profile, generation=5, model_hash="h", again=again
    )
    (one,) = made.repeated
    assert (one.index, one.first, one.before) == (0, 4, 0.3)
    assert one.now == pytest.approx(max(made.bands[0].energies) - made.bands[0].energies[0])
    assert one.change == pytest.approx(abs(one.now - 0.3))
    assert (made.n_events, made.n_lost, len(made.n_imaginary)) == (0, 0, 1)
    assert {frame.group for frame in made.frames} == {"found 4 again 5 no 0"}
    assert {frame.origin for frame in made.frames} == {Origin.SADDLE}


def test_a_hop_that_is_none_any_more_is_counted(committee, one_cell, profile):
    images = np.repeat(one_cell.positions[None], 3, axis=0)  # both ends in one minimum
    before = band(0.3).model_copy(
        update={
            "symbols": list(one_cell.get_chemical_symbols()), "cell": one_cell.cell.array.tolist(),
            "images": images.tolist(), "ion": int(np.flatnonzero(one_cell.symbols == "Li")[2]),
        }
    )  # fmt: skip
    plan = BandPlan(n_images=1, fmax=50.0, max_steps=2, end_fmax=50.0, refine=None)
    judge = CommitteeUncertainty(committee, np.flatnonzero(one_cell.symbols == "Li"), 2.0)
    again = open_hops(found([before], [1]), 4, 0.01)
    made = found_bands(
        [], committee, judge, plan, profile=profile, generation=5, model_hash="h", again=again
    )
    assert (made.repeated, made.n_lost, made.bands) == ([], 1, [])
