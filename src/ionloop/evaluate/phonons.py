r"""Harmonic frequencies by finite displacements in a supercell, through phonopy.

Frequencies are taken at the q points that the supercell holds, where nothing is interpolated.
matcalc's own ``PhononCalc`` isn't used: it keeps the eigenvectors of a dense mesh, gigabytes for a
disordered cell, and interpolates.

In an ionic crystal the field of long longitudinal waves raises their frequency. It depends on the
direction in which the wave vector goes to 0, and no finite cell holds it: it is added there,

.. math:: D_{i\alpha,j\beta} \mathrel{+}= \frac{e^2}{\varepsilon_0 V \sqrt{m_i m_j}}
          \frac{(q Z_i)_\alpha (q Z_j)_\beta}{q\, \varepsilon_\infty\, q}

(Pick, Cohen and Martin, Phys. Rev. B 1, 910 (1970)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.calculators.calculator import Calculator
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.phonopy import get_phonopy_structure, get_pmg_structure

from ionloop.evaluate.born import Born
from ionloop.evaluate.scorecard_schema import Phonons, PolarModes

if TYPE_CHECKING:
    from phonopy import Phonopy

#: Bins of the histogram of frequencies.
N_BINS = 60


@dataclass(frozen=True)
class PhononSettings:
    """How phonons are computed.

    Parameters
    ----------
    displacement
        Of one atom at a time, Å.
    min_length
        The supercell's lattice vectors are this long or longer, Å.
    tolerance
        A frequency below minus this is imaginary, THz.
    """

    displacement: float = 0.01
    min_length: float = 10.0
    tolerance: float = 0.1


def phonons(
    structure: Structure,
    calculator: Calculator,
    settings: PhononSettings,
    born: Born | None = None,
) -> Phonons:
    """Compute the frequencies of a relaxed crystal.

    The force constants are made to obey translation and exchange of indices.

    Parameters
    ----------
    structure
        The relaxed cell.
    calculator
        Energies and forces.
    settings
        How.
    born
        Charges and dielectric tensor, atoms in the structure's order; None leaves the splitting
        of longitudinal and transverse modes out.
    """
    from phonopy import Phonopy
    from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

    repeats = np.ceil(settings.min_length / np.array(structure.lattice.abc)).astype(int)
    crystal = Phonopy(
        get_phonopy_structure(structure),
        supercell_matrix=np.diag(repeats),
        primitive_matrix="P",
    )
    crystal.generate_displacements(distance=settings.displacement)
    crystal.forces = [
        _forces(get_pmg_structure(cell), calculator)
        for cell in crystal.supercells_with_displacements
    ]
    crystal.produce_force_constants()
    crystal.symmetrize_force_constants()
    points = get_commensurate_points(np.diag(repeats))
    found = np.asarray(crystal.run_qpoints(points).frequencies, float)
    counts, edges = np.histogram(found, N_BINS)
    n_imaginary = int((found < -settings.tolerance).sum())
    return Phonons(
        supercell=repeats.tolist(),
        n_displacements=len(crystal.supercells_with_displacements),
        n_q=len(points),
        lowest=float(found.min()),
        highest=float(found.max()),
        n_modes=found.size,
        n_imaginary=n_imaginary,
        tolerance=settings.tolerance,
        meaning=meaning(n_imaginary),
        frequencies=edges.tolist(),
        counts=counts.tolist(),
        polar=None if born is None else _polar(crystal, born),
    )


def _polar(crystal: Phonopy, born: Born) -> PolarModes:
    """Split the modes at Γ, along each reciprocal axis; the crystal's own NAC is set."""
    from phonopy.physical_units import get_physical_units

    units = get_physical_units()
    without = crystal.run_qpoints([[0, 0, 0]]).frequencies[0].tolist()
    # Wang's way of going on from Γ, which isn't used, is the one that costs nothing.
    crystal.nac_params = {
        "born": born.charges,
        "dielectric": born.dielectric,
        "factor": units.Hartree * units.Bohr,
        "method": "wang",
    }
    a, b, c = (
        crystal.run_qpoints([[0, 0, 0]], nac_q_direction=axis).frequencies[0].tolist()
        for axis in np.eye(3)
    )
    return PolarModes(
        born_sha256=born.sha256,
        dielectric=born.dielectric.tolist(),
        highest_without_field=max(without),
        highest_with_field=(max(a), max(b), max(c)),
        without_field=without,
        with_field=[a, b, c],
    )


def meaning(n_imaginary: int) -> str:
    """Say what imaginary modes tell."""
    if not n_imaginary:
        return "no imaginary modes: a minimum, for waves that the supercell holds"
    return (
        "imaginary modes: this cell is no minimum of the model. In an ordered crystal the model or "
        "the phase is wrong; in a disordered one, whose ions stand on averaged or symmetric sites, "
        "it is expected, since the sites are saddles between local minima: take an ordered cell, "
        "relaxed without symmetry"
    )


def _forces(structure: Structure, calculator: Calculator) -> np.ndarray:
    """Return forces, shape [n, 3], eV/Å."""
    atoms = AseAtomsAdaptor.get_atoms(structure)
    atoms.calc = calculator
    return np.asarray(atoms.get_forces(), float)
