from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from ase.geometry import find_mic

from ionloop.explore.refine import RefinePlan
from ionloop.explore.saddles import BandPlan, barrier_spread, committee_bands, judged_images
from ionloop.explore.schema import BandSet, Saddle, barrier_of
from ionloop.explore.uncertainty import CommitteeUncertainty, fingerprint
from ionloop.frame import Frame, Origin
from ionloop.seed.schema import Hop
from ionloop.train.mace import committee_calculator, predict

PLAN = BandPlan(n_images=3, fmax=0.05, max_steps=4)


@pytest.fixture(scope="module")
def hop(one_cell) -> Hop:
    """The ion beside the vacancy goes into it."""
    cell = one_cell.copy()
    vacancy = np.array([0.0, 1.95, 1.95])
    ions = np.flatnonzero(cell.symbols == "Li")
    _, away = find_mic(cell.positions[ions] - vacancy, cell.cell, pbc=True)
    ion = int(ions[away.argmin()])
    end = cell.copy()
    end.positions[ion] = vacancy
    return Hop(
        start=Frame.from_atoms(cell, origin=Origin.NEB, group="a"),
        end=Frame.from_atoms(end, origin=Origin.NEB, group="b"),
        ion=ion,
        distance=float(away.min()),
        path_class="Li-Li 2.76 A #0",
        multiplicity=8,
    )


@pytest.fixture(scope="module")
def judge(committee, one_cell) -> CommitteeUncertainty:
    return CommitteeUncertainty(committee, np.flatnonzero(one_cell.symbols == "Li"), 2.0)


@pytest.fixture(scope="module")
def found(committee, judge, hop) -> BandSet:
    """What comes of a good hop after one whose ends are the same place."""
    collapsed = hop.model_copy(update={"end": hop.start, "path_class": "gone"})
    return bands([collapsed, hop], committee, judge)


def bands(hops, committee, judge) -> BandSet:
    return committee_bands(hops, committee, judge, PLAN, generation=3, model_hash="h")


def test_barrier_spread_is_the_deviation_of_the_members_barriers():
    energies = np.array([[0.0, 1.0, 5.0], [0.3, 1.5, 5.2], [0.1, 1.6, 5.1], [0.0, 1.0, 5.0]])
    # Barriers 0.3, 0.6 (at another image), 0.2.
    assert barrier_spread(energies) == pytest.approx(np.std([0.3, 0.6, 0.2], ddof=1))
    assert barrier_spread(energies[:, :1].repeat(2, axis=1)) == 0.0
    # A constant between members is no disagreement about the barrier.
    shifted = energies + np.array([0.0, 7.0, -3.0])
    assert barrier_spread(shifted) == pytest.approx(barrier_spread(energies))


def test_a_band_of_a_real_committee(committee, hop, found):
    (band,) = found.bands
    assert (found.generation, band.settings_hash) == (3, "h")
    assert len(band.images) == PLAN.n_images + 2
    energies, _ = predict(committee, list(band.to_atoms()))
    assert band.energies == pytest.approx(energies.mean(axis=1), abs=1e-6)
    assert found.barriers == {hop.path_class: band.barrier}
    expected = (energies.max(axis=0) - energies[0]).std(ddof=1)
    assert found.barrier_spread == pytest.approx({hop.path_class: expected}, rel=1e-6)
    assert expected > 1e-4
    # The hopping ion, and no other, goes from site to site.
    path = np.array(band.images)
    moved = np.linalg.norm(path[-1] - path[0], axis=1)
    assert moved.argmax() == hop.ion
    assert moved[hop.ion] > 2.0 > 2 * np.delete(moved, hop.ion).max()


def test_images_are_candidates_with_their_uncertainty(committee, judge, hop, found):
    (band,) = found.bands
    assert [f.hop.progress for f in found.frames] == pytest.approx(band.progress())
    assert found.frames[0].hop.progress == 0.0
    assert found.frames[-1].hop.progress == 1.0
    for frame, image in zip(found.frames, band.to_atoms(), strict=True):
        group = f"saddle {hop.path_class}"  # alike in every generation: one side of the split
        assert (frame.origin, frame.generation, frame.group) == (Origin.SADDLE, 3, group)
        assert (frame.hop.ion, frame.hop.event) == (hop.ion, group)
        assert frame.uncertainty == pytest.approx(judge(image))
        assert frame.descriptor == pytest.approx(fingerprint(committee, image, hop.ion))
    again = judged_images(band, 3, "g", judge)
    assert [f.frame_hash for f in again] == [f.frame_hash for f in found.frames]


def test_a_band_whose_ends_are_one_is_unphysical_and_the_others_go_on(
    committee, judge, hop, found, caplog
):
    assert found.n_unphysical == 1
    assert list(found.barriers) == list(found.barrier_spread) == [hop.path_class]
    collapsed = hop.model_copy(update={"end": hop.start, "path_class": "gone"})
    with caplog.at_level(logging.WARNING, "ionloop.explore.saddles"):
        nothing = bands([collapsed], committee, judge)
    assert "hop gone: expected relaxed ends about" in caplog.text
    assert (nothing.bands, nothing.frames, nothing.barriers) == ([], [], {})
    assert nothing.n_unphysical == 1


def test_members_that_are_one_have_no_spread(model_paths, judge, hop):
    one = committee_calculator([model_paths[1]] * 2, dtype="float64")
    assert bands([hop], one, judge).barrier_spread[hop.path_class] == 0.0


def test_a_saddle_that_is_none_leaves_the_band_as_it_is(committee, judge, hop, found, caplog):
    """The committee isn't trained: its surface is too flat for a saddle between these ends."""
    plan = replace(PLAN, refine=RefinePlan(), not_refined=None)
    with caplog.at_level(logging.WARNING, "ionloop.explore.saddles"):
        tried = committee_bands([hop], committee, judge, plan, generation=3, model_hash="h")
    (saddle,) = tried.saddles
    assert saddle.n_force_calls > 0
    assert saddle.rejected == "0 imaginary modes, not one"
    assert f"saddle of band {hop.path_class}: {saddle.rejected}" in caplog.text
    assert tried.barriers == found.barriers
    assert tried.barrier_spread == found.barrier_spread
    assert len(tried.frames) == len(found.frames)
    assert found.saddles == []


def test_a_saddle_that_counts_is_judged_and_gives_the_barrier(committee, judge, found):
    (band,) = found.bands
    atoms = band.to_atoms()[2]
    atoms.rattle(0.02, seed=1)
    frames = judged_images(band, 3, "g", judge, [atoms])
    assert len(frames) == len(band.images) + 1
    assert frames[-1].to_atoms().positions == pytest.approx(atoms.positions)
    assert frames[-1].uncertainty == pytest.approx(judge(atoms))
    assert frames[-1].descriptor == pytest.approx(fingerprint(committee, atoms, band.ion))
    counts = Saddle(
        path_class="a", method="sella", energy=1.0, barrier=0.3, rejected=None, frame_hash="f"
    )
    assert barrier_of(band, counts) == 0.3
    assert barrier_of(band, counts.model_copy(update={"rejected": "no"})) == band.barrier
    assert barrier_of(band, None) == band.barrier


def test_hops_with_one_start_relax_it_once(committee, judge, hop):
    """The second hop's band is the first one's, at the price of no end; a third's of one end."""
    twin = hop.model_copy(update={"path_class": "twin"})
    longer = hop.model_copy(update={"path_class": "longer", "end": shifted(hop)})
    one, two, three = bands([hop, twin, longer], committee, judge).bands
    assert two.n_force_calls < three.n_force_calls < one.n_force_calls
    assert two.images == one.images
    assert two.energies == one.energies
    assert three.images[0] == one.images[0]
    assert three.images[-1] != one.images[-1]


def shifted(hop: Hop) -> Frame:
    end = hop.end.to_atoms()
    end.rattle(0.02, seed=3)
    return Frame.from_atoms(end, origin=Origin.NEB, group="b")
