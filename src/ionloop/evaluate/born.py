"""Born charges and the dielectric tensor, which a potential doesn't have, from a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from ionloop.errors import EvaluationError

#: Mean charge that may be left over, e an atom; it is taken off.
CHARGE_LEFT_MAX = 0.05
#: Relative asymmetry of a dielectric tensor.
ASYMMETRY_MAX = 0.05
#: Lines before the charges: the title and the dielectric tensor.
HEAD = 2


@dataclass(frozen=True)
class Born:
    """What makes the field of long waves in an ionic crystal.

    Parameters
    ----------
    charges
        Born charge tensors in the structure's order and frame, shape [n, 3, 3], e; their sum is 0.
    dielectric
        High-frequency dielectric tensor, shape [3, 3].
    sha256
        Hash of the file.
    """

    charges: np.ndarray
    dielectric: np.ndarray
    sha256: str


def read_born(path: Path, structure: Structure) -> Born:
    """Read a file in phonopy's BORN format, made for this very cell.

    After a title and the nine components of the dielectric tensor there is a line for each atom
    that no symmetry makes of another, as ``phonopy-vasp-born`` writes them, or for each atom.

    Parameters
    ----------
    path
        The file.
    structure
        The cell, its atoms in the file's order.

    Raises
    ------
    EvaluationError
        If phonopy is missing, or the file can't be read, has another number of atoms, a charge
        that doesn't vanish, or a dielectric tensor that isn't symmetric and 1 or more.
    """
    try:
        from phonopy.file_IO import parse_BORN_from_strings
    except ImportError as error:
        msg = f"expected phonopy for {path}, got {error}; pip install 'ionloop[evaluate]'"
        raise EvaluationError(msg) from error
    from pymatgen.io.phonopy import get_phonopy_structure

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"expected a BORN file at {path}, got {type(error).__name__}: {error}"
        raise EvaluationError(msg) from error
    bare = structure.copy()
    bare.remove_oxidation_states()
    n_lines = len([line for line in text.rstrip().splitlines()[HEAD:] if line.strip()])
    by_symmetry = n_lines != len(bare)
    try:
        found = parse_BORN_from_strings(
            text, get_phonopy_structure(bare), is_symmetry=by_symmetry
        )  # a RuntimeError for what it doesn't understand, a ValueError for what is no number
    except (RuntimeError, ValueError) as error:
        msg = (
            f"{path}: expected phonopy's BORN format for the {len(bare)} atoms of the structure: a "
            "title, nine components of the dielectric tensor, and nine of the charge of each "
            f"atom, or of each that symmetry tells apart; got {n_lines} lines of charges ({error})"
        )
        raise EvaluationError(msg) from error
    charges = np.asarray(found["born"], float)
    dielectric = np.asarray(found["dielectric"], float)
    _check(path, charges, dielectric)
    return Born(
        charges=charges - charges.mean(axis=0),
        dielectric=(dielectric + dielectric.T) / 2,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _check(path: Path, charges: np.ndarray, dielectric: np.ndarray) -> None:
    """Refuse what no insulator has.

    Raises
    ------
    EvaluationError
        If charges don't vanish together, or the dielectric tensor isn't one.
    """
    if not (np.isfinite(charges).all() and np.isfinite(dielectric).all()):
        msg = f"{path}: expected finite numbers, got nan or inf"
        raise EvaluationError(msg)
    left = float(np.abs(charges.mean(axis=0)).max())
    if left > CHARGE_LEFT_MAX:
        msg = (
            f"{path}: expected Born charges that vanish together, got {left:.3g} e an atom, "
            f"expected at most {CHARGE_LEFT_MAX:g}; is it made for this cell, atoms in its order?"
        )
        raise EvaluationError(msg)
    asymmetry = float(np.abs(dielectric - dielectric.T).max() / np.abs(dielectric).max())
    lowest = float(np.linalg.eigvalsh((dielectric + dielectric.T) / 2).min())
    if asymmetry > ASYMMETRY_MAX or lowest < 1 - ASYMMETRY_MAX:
        msg = (
            f"{path}: expected a symmetric dielectric tensor with eigenvalues of 1 or more, got "
            f"{lowest:.3g} as the lowest, asymmetric by {asymmetry:.2g}"
        )
        raise EvaluationError(msg)
