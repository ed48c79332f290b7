"""Bands of found hops on a committee that isn't trained; modes on a force field."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc100, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.optimize import BFGS

from ionloop.explore.events import Event
from ionloop.explore.found import found_bands
from ionloop.explore.modes import around, imaginary_modes
from ionloop.explore.refine import saddle_of
from ionloop.explore.saddles import BandPlan
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.frame import Origin
from ionloop.profile import Profile
from ionloop.reference.schema import Band

PLAN = BandPlan(n_images=1, fmax=5.0, max_steps=2, end_fmax=0.05)


def test_modes_are_counted_at_a_minimum_and_at_a_saddle():
    """Gold on aluminium: hollow site stable, bridge site a saddle (ASE's NEB tutorial)."""
    slab = fcc100("Al", size=(2, 2, 2), vacuum=6.0)
    up = np.array([0, 0, 1.9])
    hollow = slab + Atoms("Au", [slab.positions[-4:].mean(axis=0) + up])
    bridge = slab + Atoms("Au", [slab.positions[[-4, -3]].mean(axis=0) + up])
    found = []
    for atoms in (hollow, bridge):
        atoms.pbc = True
        atoms.calc = EMT()
        atoms.set_constraint(FixAtoms(range(4)))
        BFGS(atoms, logfile=None).run(fmax=1e-3, steps=300)  # symmetry keeps it on the bridge
        found.append(imaginary_modes(atoms, EMT()))
    assert found == [0, 1]
    near = around(bridge, np.array([8]), 3.5)
    assert 8 in near
    assert 2 < len(near) < 9
    assert imaginary_modes(bridge, EMT(), near) == 1
    assert imaginary_modes(hollow, EMT(), np.array([8])) == 0
    assert imaginary_modes(molecule("N2", calculator=EMT()), EMT()) == 0


@pytest.fixture(scope="module")
def profile() -> Profile:
    return Profile(
        name="Li3OCl", mobile_ion="Li", formal_charges={"Li": 1, "O": -2, "Cl": -1}, r_max=3.8,
        charge=-1, small_cell_reason="test",
    )  # fmt: skip


def test_events_become_bands_or_are_counted(committee, one_cell, profile, monkeypatch):
    """The committee isn't trained, so its minima mean nothing: quenches are left out here."""
    monkeypatch.setattr("ionloop.explore.found.QUENCH_STEPS", 0)
    moved = one_cell.copy()
    ion = int(np.flatnonzero(moved.symbols == "Li")[2])
    moved.positions[ion] += [1.2, 0.4, 0.0]
    events = [
        Event("run", 0, "a", one_cell, moved),
        Event("run", 1, "a", one_cell, one_cell.copy()),
    ]
    judge = CommitteeUncertainty(committee, np.flatnonzero(one_cell.symbols == "Li"), 2.0)
    found = found_bands(
        events, committee, judge, PLAN, profile=profile, generation=3, model_hash="h"
    )
    assert (found.n_events, found.n_returned) == (2, 1)
    (band,), (order,) = found.bands, found.n_imaginary
    assert found.n_broken == 0
    assert order >= 0
    assert band.ion == ion
    assert band.charge == -1
    assert saddle_of(band).positions == pytest.approx(
        np.array(band.images[int(np.argmax(band.energies))])
    )
    assert len(found.frames) == len(band.images)
    for frame in found.frames:
        assert frame.origin is Origin.SADDLE
        assert frame.group == "found 3 run event 0"
        assert frame.uncertainty > 0
        assert frame.descriptor


def test_sides_that_come_near_on_the_mean_are_no_hop(committee, one_cell, profile, monkeypatch):
    """What the first model keeps apart the mean may bring together, short of a collapse."""
    monkeypatch.setattr("ionloop.explore.found.QUENCH_STEPS", 0)
    moved = one_cell.copy()
    moved.positions[int(np.flatnonzero(moved.symbols == "Li")[2])] += [1.2, 0.4, 0.0]

    def nearer(hop, *_):
        ends = [hop.start.positions, (0.6 * np.array(hop.start.positions)
                + 0.4 * np.array(hop.end.positions)).tolist()]  # fmt: skip
        return Band(
            symbols=hop.start.symbols, cell=hop.start.cell, images=[ends[0], *ends],
            energies=[0.0, 0.1, 0.0], ion=hop.ion, path_class=hop.path_class,
            hop_distance=hop.distance, converged=True, fmax=0.05, n_force_calls=1,
            engine="mace committee", settings_hash="h", wall_s=0.0,
        )  # fmt: skip

    monkeypatch.setattr("ionloop.explore.found.committee_band", nearer)
    judge = CommitteeUncertainty(committee, np.flatnonzero(one_cell.symbols == "Li"), 2.0)
    found = found_bands(
        [Event("run", 0, "a", one_cell, moved)], committee, judge, PLAN, profile=profile,
        generation=0, model_hash="h",
    )  # fmt: skip
    assert (found.bands, found.n_returned, found.frames) == ([], 1, [])


def test_nothing_found_is_nothing_done(committee, one_cell, profile):
    judge = CommitteeUncertainty(committee, np.flatnonzero(one_cell.symbols == "Li"), 2.0)
    found = found_bands([], committee, judge, PLAN, profile=profile, generation=0, model_hash="h")
    assert (found.bands, found.frames, found.n_events) == ([], [], 0)
