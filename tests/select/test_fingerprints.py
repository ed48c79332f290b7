"""Labelled frames are described in the very way that candidates are."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from ionloop.explore.uncertainty import fingerprint
from ionloop.frame import Frame
from ionloop.select.distances import distances_to
from ionloop.select.fingerprints import labelled_fingerprints
from ionloop.train.mace import committee_calculator


@pytest.fixture(scope="module")
def calculator(model_path):
    return committee_calculator([model_path], dtype="float64")


def licl(seed: int) -> Frame:
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.15, seed=seed)
    return Frame.from_atoms(atoms, origin="rattle", group=f"g{seed}")


def test_each_mobile_ion_has_the_fingerprint_of_a_candidate(calculator):
    frames = [licl(1), licl(2)]
    found = labelled_fingerprints([frame.to_atoms() for frame in frames], calculator, "Li")
    expected = [
        fingerprint(calculator, frame.to_atoms(), ion)
        for frame in frames
        for ion in np.flatnonzero(np.array(frame.symbols) == "Li")
    ]
    assert found.shape == (8, 3 * 8)
    assert found == pytest.approx(np.array(expected), abs=1e-10)
    assert np.std(found, axis=0).min() > 1e-6


def test_a_committee_s_fingerprint_is_its_first_member_s(calculator, model_path, tmp_path):
    """So that one model is enough to describe what is labelled."""
    other = tmp_path / "other.model"
    other.write_bytes(model_path.read_bytes())
    two = committee_calculator([model_path, other], dtype="float64")
    frame = licl(3)
    (row, *_) = labelled_fingerprints([frame.to_atoms()], calculator, "Li")
    assert fingerprint(two, frame.to_atoms(), 0) == pytest.approx(row, abs=1e-10)


def test_the_frame_itself_is_nearest(calculator):
    known = labelled_fingerprints([licl(1).to_atoms()], calculator, "Li")
    same, other = (np.array([fingerprint(calculator, licl(n).to_atoms(), 2)]) for n in (1, 2))
    assert distances_to(same, known)[0] < 1e-9
    assert distances_to(other, known)[0] > 1e-4
