"""The stand-in's reading of POSCAR, KPOINTS and POTCAR, and all that one run was asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from ase import Atoms

from ionloop.testing.potcars import MARK
from ionloop.testing.vasp_std.incar import expand, read_incar, real
from ionloop.testing.vasp_std.refusals import refuse, refuse_tag


def read_poscar(path: Path) -> tuple[Atoms, np.ndarray | None]:
    """Read atoms, and velocities (Å/fs) if there are any."""
    if not path.exists():
        refuse(f"ERROR: could not open {path}")
    lines = path.read_text().splitlines()
    cell = float(lines[1].split()[0]) * np.array([line.split()[:3] for line in lines[2:5]], float)
    if np.linalg.det(cell) < 0:
        refuse(
            "ERROR: the triple product of the basis vectors is negative",
            "exchange two basis vectors",
        )
    counts = [int(n) for n in lines[6].split()]
    symbols = [s for s, n in zip(lines[5].split(), counts, strict=True) for _ in range(n)]
    n = len(symbols)
    begin = 9 if lines[7].strip()[:1].upper() == "S" else 8  # selective dynamics
    rows = np.array([line.split()[:3] for line in lines[begin : begin + n]], float)
    direct = lines[begin - 1].strip().upper().startswith("D")
    atoms = Atoms(symbols, cell=cell, pbc=True, positions=rows @ cell if direct else rows)
    rest = [line.split() for line in lines[begin + n :] if line.strip()]
    if rest and real(rest[0][0]) is None:  # the line that says of which kind they are
        rest = rest[1:]
    has = len(rest) >= n and all(len(row) == 3 for row in rest[:n])
    return atoms, np.array(rest[:n], float) if has else None


def kinds_of(symbols: list[str]) -> tuple[list[str], list[int]]:
    """Return runs of equal species and their lengths: VASP's types."""
    kinds: list[str] = []
    counts: list[int] = []
    for symbol in symbols:
        if not kinds or kinds[-1] != symbol:
            kinds.append(symbol)
            counts.append(0)
        counts[-1] += 1
    return kinds, counts


def read_potcars(path: Path) -> list[dict[str, str]]:
    """Read the header fields of each POTCAR; refuse one that wasn't made up."""
    if not path.exists():
        refuse("ERROR: could not open POTCAR")
    found = []
    for part in path.read_text().split("End of Dataset"):
        if not part.strip():
            continue
        if MARK not in part:
            refuse(
                "ERROR: the stand-in for VASP takes made-up POTCARs alone, so that its",
                "numbers can't be mistaken for VASP's; see python -m ionloop.testing.potcars",
            )
        fields: dict[str, str] = {}
        for item in re.split(r"[;\n]", part):
            if "=" in item:
                key, value = item.split("=", 1)
                fields.setdefault(key.strip(), value.split("mass")[0].strip())
        found.append(fields)
    return found


@dataclass(frozen=True)
class Inputs:
    """What one run was asked.

    Parameters
    ----------
    tags
        The INCAR.
    potcars
        Header fields of the POTCARs.
    mesh
        k-points of the KPOINTS; None if there is no such file.
    """

    tags: dict[str, str]
    potcars: list[dict[str, str]]
    mesh: list[int] | None = field(default=None)

    @classmethod
    def read(cls, folder: Path) -> Inputs:
        """Read a folder's files."""
        tags, potcars = read_incar(folder / "INCAR"), read_potcars(folder / "POTCAR")
        path, mesh = folder / "KPOINTS", None
        if path.exists():
            lines = path.read_text().splitlines()
            if lines[1].split()[:1] != ["0"]:
                refuse("ERROR: the stand-in for VASP takes automatic meshes alone in KPOINTS")
            mesh = [int(n) for n in lines[3].split()[:3]]
        return cls(tags, potcars, mesh)

    def number(self, key: str, default: float) -> float:
        """Return a tag's number."""
        return float(real(self.tags[key].split()[0]) or 0.0) if key in self.tags else default

    def integer(self, key: str, default: int) -> int:
        """Return a tag's whole number."""
        return int(self.number(key, default))

    def flag(self, key: str) -> bool:
        """Return a tag's truth; F by default."""
        return self.tags.get(key, "F").strip(".").upper().startswith("T")

    @cached_property
    def encut(self) -> float:
        """Cut-off, eV; the POTCARs' highest ENMAX by default."""
        return self.number("ENCUT", max(float(p["ENMAX"]) for p in self.potcars))

    @cached_property
    def nsw(self) -> int:
        """Ionic steps."""
        return self.integer("NSW", 0)

    @cached_property
    def ibrion(self) -> int:
        """How ions move: -1 not at all, 0 dynamics, others relax."""
        return self.integer("IBRION", -1 if self.nsw < 2 else 0)

    @cached_property
    def isif(self) -> int:
        """Whether stress is computed (> 0)."""
        return self.integer("ISIF", 0 if self.ibrion == 0 else 2)

    def mesh_of(self, cell: np.ndarray) -> list[int]:
        """Return KPOINTS' mesh, or VASP's own by KSPACING (0.5 by default)."""
        if self.mesh is not None:
            return self.mesh
        lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
        spacing = self.number("KSPACING", 0.5)
        return [int(n) for n in np.maximum(np.ceil(lengths / spacing - 1e-6), 1)]

    def check_species(self, atoms: Atoms) -> Atoms:
        """Refuse another number of types than POTCARs; the POTCARs say which they are."""
        kinds, counts = kinds_of(atoms.get_chemical_symbols())
        elements = [p["VRHFIN"].split(":")[0].strip() for p in self.potcars]
        if len(kinds) != len(elements):
            refuse(
                "ERROR: number of potentials on File POTCAR incompatible with number of species",
                f"INCAR : {len(kinds):11d} POTCAR: {len(elements):12d}",
            )
        if kinds != elements:
            print(" WARNING: type information on POSCAR and POTCAR are incompatible")  # noqa: T201
            print(" POTCAR overwrites the type information in POSCAR", flush=True)  # noqa: T201
        atoms.symbols = [e for e, n in zip(elements, counts, strict=True) for _ in range(n)]
        moments = expand(self.tags.get("MAGMOM", ""))
        if self.integer("ISPIN", 1) == 2 and moments and len(moments) < len(atoms):
            refuse_tag("MAGMOM", 0, len(moments))
        if self.ibrion == 0 and "POTIM" not in self.tags:
            refuse(
                "Fatal error! IBRION=0, but no entry for POTIM on file INCAR. MUST be specified!"
            )
        return atoms

    def electrons(self, atoms: Atoms) -> tuple[float, float]:
        """Return valence electrons of the neutral atoms, and those of this run (NELECT)."""
        _, counts = kinds_of(atoms.get_chemical_symbols())
        neutral = sum(n * float(p["ZVAL"]) for n, p in zip(counts, self.potcars, strict=True))
        return neutral, self.number("NELECT", neutral)
