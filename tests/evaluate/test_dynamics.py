"""Molecular dynamics of any calculator: runs kept, radial distributions against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from ase.io.trajectory import Trajectory

from ionloop.errors import EvaluationError
from ionloop.evaluate.analysis import Source
from ionloop.evaluate.dynamics import DynamicsSettings, radial, repeats_for, run_dynamics
from ionloop.evaluate.models import resolve_model
from ionloop.profile import Profile

PROFILE = Profile(
    name="LiF",
    mobile_ion="Li",
    formal_charges={"Li": 1, "F": -1},
    transport_temperatures=[300, 400, 500],
)
SETTINGS = DynamicsSettings(picoseconds=0.2, store_every=5, min_height=5.0)
SOURCE = """
import numpy as np
from ase.calculators.calculator import Calculator

class Springs(Calculator):
    '''Each atom on its own spring: no hop ever.'''

    implemented_properties = ("energy", "forces")
    sites, stiffness = None, 5.0

    def calculate(self, atoms=None, properties=None, system_changes=None):
        if self.sites is None:
            self.sites = atoms.positions.copy()
        away = atoms.positions - self.sites
        energy = 0.5 * self.stiffness * (away**2).sum()
        self.results = {"energy": energy, "forces": -self.stiffness * away}

def springs():
    return Springs()

def broken():
    found = Springs()
    found.stiffness = np.nan
    return found
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    (tmp_path / "springs_potential.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: resolve_model([f"springs_potential:{name}"])


def test_cells_are_repeated_to_a_height():
    assert repeats_for(Atoms(cell=[4.0, 10.0, 11.0], pbc=True), 10.0) == (3, 1, 1)
    # A primitive fcc cell is a/sqrt(3) high.
    assert repeats_for(bulk("Cu", "fcc", a=3.6), 3.6) == (2, 2, 2)


def test_replicas_are_pooled_and_the_first_is_that_of_one_run(model, tmp_path):
    atoms = bulk("LiF", "rocksalt", a=4.03, cubic=True)
    two = replace(SETTINGS, replicas=2)
    run_dynamics(atoms, model("springs"), PROFILE, SETTINGS, tmp_path)
    before = {path.name for path in (tmp_path / "md").glob("*.traj")}
    found = run_dynamics(atoms, model("springs"), PROFILE, two, tmp_path)
    after = {path.name for path in (tmp_path / "md").glob("*.traj")}
    assert (len(before), len(after)) == (3, 6)
    assert before < after
    assert [p.n_runs for p in found.transport.transport.points] == [2, 2, 2]
    one, other = (read(tmp_path / "md" / name, -1).positions for name in sorted(after)[:2])
    assert np.abs(one - other).max() > 0.01
    with pytest.raises(EvaluationError, match="one replica or more, got 0"):
        replace(SETTINGS, replicas=0)


def test_caged_ions_have_a_bound_and_no_number(model, tmp_path):
    atoms = bulk("LiF", "rocksalt", a=4.03, cubic=True)
    found = run_dynamics(atoms, model("springs"), PROFILE, SETTINGS, tmp_path)
    assert (found.repeats, found.n_atoms) == ([2, 2, 2], 64)
    points = found.transport.transport.points
    assert [p.temperature for p in points] == [300, 400, 500]
    for point in points:
        assert point.d.value is None
        assert point.d.upper_bound > 0
        assert not point.d.admissible
    assert not found.transport.transport.activation_energy.admissible
    assert [x.pair for x in found.rdf] == [("Li", "F"), ("Li", "Li")]
    first = found.rdf[0]
    assert first.r[int(np.argmax(first.g))] == pytest.approx(4.03 / 2, abs=0.3)


def test_a_run_that_is_there_is_not_run_again(model, tmp_path):
    atoms = bulk("LiF", "rocksalt", a=4.03, cubic=True)
    one = run_dynamics(atoms, model("springs"), PROFILE, SETTINGS, tmp_path)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "md").iterdir()}
    assert sorted(path.suffix for path in files) == [".traj"] * 3
    again = run_dynamics(atoms, model("springs"), PROFILE, SETTINGS, tmp_path)
    assert again == one
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "md").iterdir()}
    other = replace(SETTINGS, random_seed=1)
    run_dynamics(atoms, model("springs"), PROFILE, other, tmp_path)
    assert len(list((tmp_path / "md").iterdir())) == 6


def test_a_run_that_blows_up_is_told(model, tmp_path):
    atoms = bulk("LiF", "rocksalt", a=4.03, cubic=True)
    with pytest.raises(EvaluationError, match="300 K blew up"):
        run_dynamics(atoms, model("broken"), PROFILE, SETTINGS, tmp_path)


def test_radial_distributions_of_a_gas_are_one_and_count_neighbours(tmp_path):
    rng, edge = np.random.default_rng(0), 12.0
    symbols = ["Li"] * 90 + ["F"] * 30
    with Trajectory(tmp_path / "gas.traj", "w") as out:
        for _ in range(40):
            out.write(Atoms(symbols, rng.uniform(0, edge, (120, 3)), cell=[edge] * 3, pbc=True))
    for found in radial(Source(tmp_path / "gas.traj", 300.0), "Li", 0.0):
        r, g = np.array(found.r), np.array(found.g)
        assert found.n_frames == 40
        assert g[r > 2].mean() == pytest.approx(1.0, abs=0.02)
    with Trajectory(tmp_path / "salt.traj", "w") as out:
        out.write(bulk("LiF", "rocksalt", a=4.0, cubic=True) * (3, 3, 3))
    (found, _) = radial(Source(tmp_path / "salt.traj", 300.0), "Li", 0.0)
    r, g = np.array(found.r), np.array(found.g)
    shell = 4 * np.pi * (r**2 + (r[1] - r[0]) ** 2 / 12) * (r[1] - r[0])
    neighbours = (g * shell)[r < 2.5].sum() * 4 / 4.0**3
    assert neighbours == pytest.approx(6, rel=1e-6)
