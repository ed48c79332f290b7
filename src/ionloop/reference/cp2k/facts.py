"""What CP2K's output says of a calculation: atoms, charge, spin, electronic steps, settings.

Pure functions on the output's text, at CP2K's usual print level (MEDIUM). What a lower
level hides is None or left out, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ionloop.frame import Frame
from ionloop.reference.importers.cp2k_input import LENGTHS
from ionloop.reference.importers.cp2k_output import scf_cycles
from ionloop.reference.importers.cp2k_settings import FUNCTIONALS

#: One row of the table of atoms: kind, element, coordinates, charge of the core.
ATOM = re.compile(
    r"^ +\d+ +(\d+) ([A-Z][a-z]?) +\d+((?: +-?\d+\.\d+){3}) +(\d+\.\d+)", re.MULTILINE
)
CELL_VECTOR = re.compile(r"^ CELL\| Vector [abc] \[angstrom\]:((?: +-?\d+\.\d+){3})", re.MULTILINE)
#: Positions in the output have six decimals, cells three, Å.
SAME_POSITION = 1e-5
SAME_CELL = 2e-3
#: The charge on the grids may miss the electrons' number by this, e.
SAME_CHARGE = 0.01
#: Settings by the line that states them, and their type.
STATED: dict[str, tuple[str, type]] = {
    "version": (r"version string: +CP2K version (\S+)", str),
    "multiplicity": (r"DFT\| Multiplicity +(\d+)", int),
    "cutoff": (r"QS\| Density cutoff \[a\.u\.\]: +(\S+)", float),
    "rel_cutoff": (r"QS\| Relative density cutoff \[a\.u\.\]: +(\S+)", float),
    "n_grids": (r"QS\| Number of grid levels: +(\d+)", int),
    "eps_default": (r"eps_rho_gspace: +(\S+)", float),
    "eps_scf": (r"^ +eps_scf: +(\S+)", float),
    "max_scf": (r"^ +max_scf: +(\d+)", int),
}


@dataclass(frozen=True)
class AtomTable:
    """The output's table of atoms; of several the last.

    Parameters
    ----------
    symbols
        Elements, one an atom.
    kinds
        Number of each atom's kind.
    positions
        Cartesian positions, shape [n, 3], Å.
    cores
        Charges of the cores, shape [n], e.
    """

    symbols: list[str]
    kinds: list[int]
    positions: np.ndarray
    cores: np.ndarray


def atom_table(output: str) -> AtomTable | None:
    """Read the table of atoms; None if there is none."""
    tables = list(re.finditer(r"ATOMIC COORDINATES IN (\w+)", output, re.IGNORECASE))
    if not tables or tables[-1][1].upper() not in LENGTHS:
        return None
    rows = ATOM.findall(output[tables[-1].end() :].split("\n\n\n", maxsplit=1)[0])
    if not rows:
        return None
    positions = np.array([row[2].split() for row in rows], float)
    return AtomTable(
        symbols=[row[1] for row in rows],
        kinds=[int(row[0]) for row in rows],
        positions=positions * LENGTHS[tables[-1][1].upper()],
        cores=np.array([row[3] for row in rows], float),
    )


def facts_of(output: str) -> dict[str, Any]:
    """Return the fields of ``SinglePoint`` that the output decides.

    Returns
    -------
    dict
        ``symbols``, ``charge``, ``magnetization``, ``n_scf``, ``scf_limit``; each None
        where the output doesn't say.
    """
    atoms = atom_table(output)
    # Of several cycles the longest: the limit is that of one.
    steps = [cycle.n_steps for cycle in scf_cycles(output)]
    limit = re.findall(r"^ +max_scf: +(\d+)", output, re.MULTILINE)
    return {
        "symbols": atoms.symbols if atoms else None,
        "charge": charge_of(output),
        "magnetization": magnetization_of(output),
        "n_scf": max((n for n in steps if n is not None), default=None),
        "scf_limit": int(limit[-1]) if limit else None,
    }


def electrons_of(output: str) -> list[int]:
    """Return the number of electrons, or of each spin's; empty if it isn't said."""
    found = re.findall(r"^ Number of electrons: +(\d+)", output, re.MULTILINE)
    return [int(n) for n in found[-(2 if is_spin_polarized(output) else 1) :]]


def charge_of(output: str) -> float | None:
    """Return the net charge of the cell, e: cores less electrons.

    Where the density on the grids integrates to something else, as with a cut-off that is
    far too low, it is the grids' charge, which the energy belongs to.
    """
    atoms, electrons = atom_table(output), electrons_of(output)
    if atoms is None or not electrons:
        return None
    counted = float(atoms.cores.sum()) - sum(electrons)
    grids = re.findall(r"Total charge density g-space grids: +(-?\d+\.\d+)", output)
    if grids and abs(float(grids[-1]) - counted) > SAME_CHARGE:
        return float(grids[-1])
    return round(counted, 6)


def is_spin_polarized(output: str) -> bool:
    """Say whether the orbitals of the two spins differ."""
    return bool(re.search(r"DFT\| Spin unrestricted", output))


def magnetization_of(output: str) -> float | None:
    """Return the difference of spin-up and spin-down electrons; None if they are paired.

    Mulliken's total where it is printed: smearing can change it from the start's.
    """
    if not is_spin_polarized(output):
        return None
    total = re.findall(r"^ # Total charge and spin((?: +-?\d+\.\d+){4})", output, re.MULTILINE)
    if total:
        return float(total[-1].split()[-1])
    electrons = electrons_of(output)
    return float(electrons[0] - electrons[1]) if len(electrons) == 2 else None


def geometry_failure(output: str, frame: Frame) -> str | None:
    """Say whether CP2K computed other atoms or another cell than asked.

    The table's order is that of the forces: atoms that were swapped are told here, other
    species by ``SinglePoint.symbols``.
    """
    cell = np.array(frame.cell)
    rows = re.findall(
        r"^ CELL\| Vector [abc] \[angstrom\]:((?: +-?\d+\.\d+){3})", output, re.MULTILINE
    )
    if rows and np.abs(np.array([r.split() for r in rows[:3]], float) - cell).max() > SAME_CELL:
        return "another cell than asked"
    atoms = atom_table(output)
    if atoms is None or atoms.symbols != frame.symbols:
        return None
    step = (atoms.positions - np.array(frame.positions)) @ np.linalg.inv(cell)
    step -= np.rint(step)
    moved = np.linalg.norm(step @ cell, axis=1)
    if moved.max(initial=0.0) > SAME_POSITION:
        worst = int(moved.argmax())
        return f"another geometry than asked: atom {worst} is {moved[worst]:.3g} Å off"
    return None


def stated_settings(output: str) -> dict[str, Any]:
    """Return the settings as CP2K says that it took them, by the names of ``Cp2kSettings``.

    Numbers have the few digits that CP2K prints. ``kinds`` holds names of basis set and
    potential by element.
    """
    if "QS| Method" not in output:  # it ended before, or prints next to nothing
        return {}
    found: dict[str, Any] = {
        "functional": _functional(output),
        "spin_polarized": is_spin_polarized(output),
        "smoothing": _smoothing(output),
        "k_mesh": _k_mesh(output),
        "kinds": _kinds(output),
    }
    for key, (pattern, kind) in STATED.items():
        if values := re.findall(pattern, output, re.MULTILINE):
            found[key] = kind(values[-1])
    for key in ("cutoff", "rel_cutoff"):
        if key in found:
            found[key] *= 2.0  # hartree to Ry
    if "max_scf" in found:
        found["smearing"] = _smearing(output)
    return found


def _functional(output: str) -> str:
    names = re.findall(r"^ FUNCTIONAL\| ([\w-]+):\s*$", output, re.MULTILINE)
    text = " ".join(re.findall(r"^ FUNCTIONAL\| (.*)$", output, re.MULTILINE))
    if names == ["PBE"]:
        kinds = {"PBEsol": "PBEsol", "revised PBE|revPBE": "revPBE"}
        return next((k for words, k in kinds.items() if re.search(words, text)), "PBE")
    name = "+".join(sorted(names)) or "none"
    return FUNCTIONALS.get(name, name)


def _smoothing(output: str) -> bool | str:
    words = [
        found[1] if (found := re.search(rf"DFT\| {what} +(\S+)", output)) else "?"
        for what in ("XC density smoothing", "XC derivatives")
    ]
    known = {"NONE PW": False, "NN10 SPLINE2_SMOOTH": True}
    return known.get(" ".join(words), " ".join(words))


def _k_mesh(output: str) -> list[int] | str | None:
    scheme = re.search(r"BRILLOUIN\| K-point scheme +(\S.*)", output)
    if scheme is None or scheme[1].strip() == "Gamma-point":
        return None
    grid = re.search(r"BRILLOUIN\| K-Point grid((?: +\d+){3})", output)
    if grid is None or scheme[1].strip() != "Monkhorst-Pack":
        return scheme[1].strip()
    return [int(n) for n in grid[1].split()]


def _smearing(output: str) -> dict[str, Any] | str | None:
    method = re.search(r"Smear method: +(\S+)", output)
    if method is None:
        return None
    temperature = re.search(r"Electronic temperature \[K\]: +(\S+)", output)
    added = re.search(r"added MOs +(\d+)", output)
    if method[1] != "FERMI_DIRAC" or temperature is None:
        return method[1]
    return {"temperature": float(temperature[1]), "added_mos": int(added[1]) if added else 0}


def _kinds(output: str) -> dict[str, list[str]]:
    """Return the names of basis set and potential by element."""
    atoms = atom_table(output)
    elements = dict(zip(atoms.kinds, atoms.symbols, strict=True)) if atoms else {}
    found: dict[str, list[str]] = {}
    for block in re.split(r"^ +(?=\d+\. Atomic kind: )", output, flags=re.MULTILINE)[1:]:
        number = int(block.split(".")[0])
        basis = re.search(r"Orbital Basis Set +(\S+)", block)
        potential = re.search(r"Potential information for +(\S+)", block)
        names = ["none" if name is None else name[1] for name in (basis, potential)]
        if number in elements:
            found.setdefault(elements[number], names)
    return dict(sorted(found.items()))
