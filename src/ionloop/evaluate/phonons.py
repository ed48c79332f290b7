r"""Harmonic frequencies by finite displacements in a supercell, through phonopy.

Frequencies are taken at the q points that the supercell holds, where nothing is interpolated.
matcalc's own ``PhononCalc`` isn't used: it keeps the eigenvectors of a dense mesh, gigabytes for a
disordered cell, and interpolates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.calculators.calculator import Calculator
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.phonopy import get_phonopy_structure, get_pmg_structure

from ionloop.evaluate.scorecard_schema import Phonons

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


def phonons(structure: Structure, calculator: Calculator, settings: PhononSettings) -> Phonons:
    """Compute the frequencies of a relaxed crystal.

    The force constants are made to obey translation and exchange of indices. Splitting of
    longitudinal and transverse optical modes isn't added.
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
