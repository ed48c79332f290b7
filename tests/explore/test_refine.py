"""Saddles of a vacancy in copper by EMT, refined by the real Sella."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from ionloop.explore.modes import imaginary_modes
from ionloop.explore.refine import RefinePlan, missing, refine, saddle_frame, saddle_of
from ionloop.explore.saddles import BandPlan
from ionloop.explore.schema import ExploreSettings
from ionloop.frame import Frame, Origin
from ionloop.reference.neb import relax_band
from ionloop.reference.schema import Band
from ionloop.seed.schema import Hop


class Counted(EMT):
    """EMT that counts its evaluations."""

    n = 0

    def calculate(self, *args) -> None:
        Counted.n += 1
        super().calculate(*args)


@pytest.fixture(scope="module")
def hop() -> Hop:
    """An atom of copper moves into the vacancy beside it, 2.55 Å away."""
    crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    vacancy = crystal.positions[0].copy()
    del crystal[0]
    ion = int(np.linalg.norm(crystal.positions - vacancy, axis=1).argmin())
    after = crystal.copy()
    after.positions[ion] = vacancy
    start, end = (Frame.from_atoms(a, origin=Origin.NEB, group="g") for a in (crystal, after))
    distance = float(np.linalg.norm(crystal.positions[ion] - vacancy))
    return Hop(
        start=start, end=end, ion=ion, distance=distance, path_class="Cu", multiplicity=1
    )  # fmt: skip


def band_of(hop: Hop, **settings) -> Band:
    return relax_band(hop, lambda _: EMT(), engine="EMT", settings_hash="h", **settings)


@pytest.fixture(scope="module")
def loose(hop) -> Band:
    """No image of four lies at the saddle, which is halfway, and forces are far from zero."""
    return band_of(hop, n_images=4, fmax=0.05, max_steps=6)


def test_a_loose_band_gives_the_barrier_of_a_tight_one(hop, loose):
    tight = band_of(hop, n_images=7, fmax=0.01, max_steps=200)
    assert tight.converged
    assert not loose.converged
    assert abs(loose.barrier - tight.barrier) > 0.02
    Counted.n = 0
    saddle, atoms = refine(loose, Counted(), RefinePlan())
    assert saddle.rejected is None
    assert saddle.energy == pytest.approx(max(tight.energies), abs=1e-3)
    assert saddle.barrier == pytest.approx(saddle.energy - loose.energies[0], abs=1e-9)
    assert saddle.n_force_calls == Counted.n
    assert 0.05 < saddle.moved < 0.5
    # What the document says of the saddle can be computed again.
    atoms.calc = EMT()
    assert saddle.energy == pytest.approx(atoms.get_potential_energy())
    assert saddle.fmax == pytest.approx(np.linalg.norm(atoms.get_forces(), axis=1).max())
    assert saddle.fmax < 0.01
    assert (saddle.converged, saddle.n_imaginary) == (True, 1)
    assert imaginary_modes(atoms, EMT()) == 1
    assert imaginary_modes(saddle_of(loose), EMT()) >= 1
    assert saddle.method.startswith("sella 2")


def test_the_saddle_is_a_candidate_at_the_images_place(loose):
    saddle, atoms = refine(loose, EMT(), RefinePlan())
    frame = saddle_frame(loose, atoms, 3, "g")
    assert frame.frame_hash == saddle.frame_hash
    assert (frame.origin, frame.generation, frame.group) == (Origin.SADDLE, 3, "g")
    assert frame.hop.progress == loose.progress()[int(np.argmax(loose.energies))]
    assert (frame.hop.ion, frame.hop.path_class) == (loose.ion, "Cu")


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (RefinePlan(max_steps=1), "not converged to 0.01 eV/Å in 1 steps"),
        (RefinePlan(moved_max=0.01), "Å from the band's highest image: another saddle"),
        (RefinePlan(energy_max=0.001), "meV from the band's highest image: another saddle"),
    ],
)
def test_what_is_not_the_bands_saddle_is_rejected(loose, plan, reason):
    saddle, _ = refine(loose, EMT(), plan)
    assert reason in saddle.rejected
    assert saddle.n_imaginary is None
    assert saddle.n_force_calls > 0


def test_a_point_without_one_imaginary_mode_is_rejected(loose):
    """Around an atom that is far from the hop there is none."""
    away = saddle_of(loose).get_distances(loose.ion, range(31), mic=True)
    assert away.max() > 4.5
    saddle, _ = refine(loose, EMT(), RefinePlan(), ions=np.array([away.argmax()]))
    assert saddle.rejected == "0 imaginary modes, not one"


def test_a_band_that_only_climbs_has_no_saddle(loose):
    rising = loose.model_copy(update={"energies": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]})
    saddle, _ = refine(rising, EMT(), RefinePlan())
    assert "is an end" in saddle.rejected
    assert (saddle.n_force_calls, saddle.barrier) == (0, 0.5)


def test_forces_that_are_no_numbers_are_no_end_of_the_campaign(loose, caplog):
    class Broken(EMT):
        def calculate(self, *args) -> None:
            super().calculate(*args)
            self.results["forces"] = self.results["forces"] * np.nan

    with caplog.at_level(logging.WARNING):
        saddle, atoms = refine(loose, Broken(), RefinePlan())
    assert saddle.rejected
    assert saddle.energy == max(loose.energies)
    assert atoms.positions == pytest.approx(saddle_of(loose).positions)


def test_where_sella_is_missing_the_bands_say_so(monkeypatch, caplog):
    assert missing() is None
    assert BandPlan.of(ExploreSettings()).refine == RefinePlan()
    assert BandPlan.of(ExploreSettings(refine="none")) == BandPlan()
    monkeypatch.setattr(sys, "path", [])  # nothing is installed
    with caplog.at_level(logging.WARNING):
        plan = BandPlan.of(ExploreSettings())
    assert plan.refine is None
    assert "pip install 'ionloop[saddles]'" in plan.not_refined
    assert plan.not_refined in caplog.text
    assert BandPlan.of(ExploreSettings(refine="none")).not_refined is None
