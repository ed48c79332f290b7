from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from committee_fixtures import cell, committee, model_paths, one_cell

from ionloop.explore.driver import CommitteeDriver
from ionloop.train.schema import Hyperparameters

__all__ = ["cell", "committee", "model_paths", "one_cell"]
BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
HYPER = Hyperparameters()


@pytest.fixture
def trunk(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.delitem(sys.modules, "shared_trunk", raising=False)
    import shared_trunk

    return shared_trunk


@pytest.fixture
def labelled(cell, committee):
    """Frames and answers that the first model nearly gives itself."""
    rng, frames = np.random.default_rng(0), []
    driver = CommitteeDriver(committee, members=[0])
    for _ in range(10):
        atoms = cell.copy()
        atoms.positions += rng.normal(scale=0.05, size=cell.positions.shape)
        atoms.calc = driver
        noise = rng.normal(scale=0.05, size=cell.positions.shape)
        atoms.arrays["REF_forces"] = atoms.get_forces() + noise
        atoms.info["REF_energy"] = atoms.get_potential_energy()
        atoms.calc = None
        frames.append(atoms)
    return frames


def evaluated(driver, atoms):
    copy = atoms.copy()
    copy.calc = driver
    copy.get_forces()
    return driver.results


def test_own_readouts_give_the_model(trunk, committee, labelled):
    model = evaluated(CommitteeDriver(committee, members=[0]), labelled[0])
    heads = evaluated(trunk.HeadsDriver(committee), labelled[0])
    assert heads["forces_comm"][0] == pytest.approx(model["forces"], abs=1e-5)
    assert heads["energy"] == pytest.approx(model["energy"], abs=1e-4)


def test_slopes_of_features_give_the_forces_of_every_head(trunk, committee, labelled):
    frozen = trunk.freeze(committee, labelled)
    for head in trunk.draw_heads(committee, frozen, 3, HYPER, 0):
        _, by_slopes = frozen.answer(head)
        for k in (0, 9):  # of two chunks
            wrong = (by_slopes[k] - frozen.forces[k]).detach().numpy().reshape(-1, 3)
            forces = evaluated(trunk.HeadsDriver(committee, [head]), labelled[k])["forces"]
            assert wrong == pytest.approx(forces - labelled[k].arrays["REF_forces"], abs=1e-4)


def test_drawn_heads_differ_around_the_model(trunk, committee, labelled):
    frozen = trunk.freeze(committee, labelled)
    heads = trunk.draw_heads(committee, frozen, 4, HYPER, 0)
    forces = evaluated(trunk.HeadsDriver(committee, heads), labelled[0])["forces_comm"]
    model = evaluated(CommitteeDriver(committee, members=[0]), labelled[0])["forces"]
    assert forces.mean(axis=0) == pytest.approx(model, abs=1e-4)
    assert forces.std(axis=0).max() > 1e-3


def test_forces_of_trained_heads_are_slopes_of_their_energies(
    trunk, committee, labelled, model_paths, monkeypatch
):
    monkeypatch.setattr(trunk, "STEPS", 3)
    frozen = trunk.freeze(committee, labelled)
    heads = trunk.train_heads(committee, frozen, 2, HYPER, 0)
    assert trunk.check_forces(model_paths, heads, labelled[0]) < 1e-3


def test_wrong_forces_are_refused(trunk, committee, labelled, model_paths, monkeypatch):
    right = trunk.HeadsDriver.calculate

    def wrong(self, *args, **kwargs):
        right(self, *args, **kwargs)
        self.results["forces_comm"] = self.results["forces_comm"] * 1.01

    monkeypatch.setattr(trunk.HeadsDriver, "calculate", wrong)
    with pytest.raises(ArithmeticError, match="slopes of energies"):
        trunk.check_forces(model_paths, [trunk.copied(committee)], labelled[0])
