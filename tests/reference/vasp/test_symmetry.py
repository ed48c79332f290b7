"""A label doesn't depend on how its frame is written: order, orientation, axes, cell images.

The input set, the stand-in and our reading of its files are the real ones; custodian is left
out, for the number of examples.

Tolerances: a POSCAR holds positions with 16 digits, vasprun.xml energies, forces and stress
(kB) with 8 decimals. A sum of some hundred pair terms in another order differs by some 1e-13.
What is left is half a digit of the printed numbers, and the rotation of forces printed so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ionloop.frame import Frame
from ionloop.reference.schema import SinglePoint
from ionloop.reference.vasp import VaspReference
from ionloop.reference.vasp.inputs import IonicVaspSet, vasp_structure
from ionloop.reference.vasp.makers import single_point
from ionloop.reference.vasp.output import VaspRun
from ionloop.testing.vasp_std.runs import main

pytestmark = pytest.mark.filterwarnings("ignore:POTCAR data with symbol")

#: eV, eV/Å, eV/Å³: see above; 1e-8 kB is 6e-12 eV/Å³.
ENERGY, FORCE, STRESS = 1e-6, 1e-6, 1e-9


def anion_rich() -> Frame:
    """A triclinic cell of three elements, mixed in order."""
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.symbols[3] = "O"
    atoms.set_cell(atoms.cell.array + np.array([[0, 0.3, 0], [0, 0, 0.2], [0.4, 0, 0]]),
                   scale_atoms=True)  # fmt: skip
    atoms.rattle(0.08, seed=3)
    return Frame.from_atoms(atoms, origin="rattle", group="test")


def computed(frame: Frame, dft: object, folder: Path) -> SinglePoint:
    """Write the input, run the stand-in in this process, read the label."""
    structure = vasp_structure(frame)
    IonicVaspSet(dft=dft).get_input_set(structure).write_input(folder)
    main()
    return single_point(VaspRun(folder), frame, structure, dft)


@st.composite
def writings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Another order of atoms, rotation, order of cell vectors, and cell images of the atoms."""
    order = np.array(draw(st.permutations(range(8))))
    quaternion = draw(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
    axes = np.array(draw(st.permutations(range(3))))
    images = np.array(draw(st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=8, max_size=8)))
    return order, Rotation.from_quat(quaternion).as_matrix(), axes, images


def rewritten(frame: Frame, how: tuple[np.ndarray, ...]) -> Frame:
    """The same crystal in other words."""
    order, turn, axes, images = how
    cell = np.array(frame.cell)
    positions = (np.array(frame.positions) + images @ cell)[order] @ turn.T
    return frame.model_copy(
        update={
            "symbols": [frame.symbols[i] for i in order],
            "positions": positions.tolist(),
            "cell": (cell[axes] @ turn.T).tolist(),
        }
    )


def check_same(first: SinglePoint, other: SinglePoint, how: tuple[np.ndarray, ...]) -> None:
    order, turn, *_ = how
    assert other.failure is None
    assert other.energy == pytest.approx(first.energy, rel=0, abs=ENERGY)
    forces = np.array(first.forces)[order] @ turn.T
    np.testing.assert_allclose(other.forces, forces, rtol=0, atol=FORCE)
    stress = turn @ np.array(first.stress) @ turn.T
    np.testing.assert_allclose(other.stress, stress, rtol=0, atol=STRESS)
    assert other.symbols == [first.symbols[i] for i in order]
    assert (other.charge, other.settings_hash) == (first.charge, first.settings_hash)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(how=writings())
def test_a_label_is_of_the_crystal_not_of_its_writing(vasp, tmp_path: Path, how) -> None:
    frame = anion_rich()
    # One mesh a direction, whatever the order of the cell's vectors.
    dft = VaspReference().bind(frame.to_structure()).dft.model_copy(update={"k_mesh": (2, 2, 2)})
    vasp.patch.chdir(tmp_path)
    first = computed(frame, dft, tmp_path)
    assert first.settings_hash == VaspReference(dft=dft).settings_hash
    check_same(first, computed(rewritten(frame, how), dft, tmp_path), how)


def test_the_check_fails_for_another_crystal(vasp, tmp_path: Path) -> None:
    frame = anion_rich()
    dft = VaspReference().bind(frame.to_structure()).dft.model_copy(update={"k_mesh": (2, 2, 2)})
    vasp.patch.chdir(tmp_path)
    first = computed(frame, dft, tmp_path)
    same = np.arange(8), np.eye(3), np.arange(3), np.zeros((8, 3))
    check_same(first, computed(rewritten(frame, same), dft, tmp_path), same)
    swapped = frame.model_copy(update={"symbols": [frame.symbols[i] for i in [1, 0, *range(2, 8)]]})
    with pytest.raises(AssertionError):
        check_same(first, computed(swapped, dft, tmp_path), same)
    mirror = np.arange(8), np.diag([1.0, 1.0, -1.0]), np.arange(3), np.zeros((8, 3))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_same(first, computed(frame, dft, tmp_path), mirror)
