"""XDATCAR: structures, and energies where an OSZICAR of as many steps stands beside it.

It has no forces, so that the gate admits none of it: its frames are for a reference to label.
"""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import ase.io
from monty.io import zopen

from ionloop.errors import ImportLabelsError
from ionloop.reference.folders import read_text
from ionloop.reference.importers.reading import Reading, Step

#: What is wrong with every frame.
NO_FORCES = "XDATCAR holds no forces; give the run's vasprun.xml or OUTCAR"


def read_xdatcar(path: Path) -> Reading:
    """Read all frames of an XDATCAR, gzipped or not.

    Raises
    ------
    ImportLabelsError
        If it can't be read.
    """
    try:
        with zopen(path, mode="rt", encoding="utf-8") as stream:
            text = StringIO(str(stream.read()))
        structures = ase.io.read(text, index=":", format="vasp-xdatcar")
    except Exception as error:
        msg = f"{path}: can't be read as an XDATCAR: {type(error).__name__}: {error}"
        raise ImportLabelsError(msg) from error
    energies = free_energies(path.with_name(path.name.replace("XDATCAR", "OSZICAR")))
    known = energies if len(energies) == len(structures) else [None] * len(structures)
    steps = [
        Step(
            symbols=list(structure.get_chemical_symbols()),
            positions=structure.positions,
            cell=structure.cell.array,
            energy=energy,
            converged=False,
            failure=NO_FORCES,
        )
        for structure, energy in zip(structures, known, strict=True)
    ]
    return Reading(path, "vasp of unknown version", {}, steps)


def free_energies(path: Path) -> list[float]:
    """Return the free energy of every ionic step in an OSZICAR, eV; none without one."""
    text = read_text(path.with_name(path.name.removesuffix(".gz"))) or ""
    return [float(x) for x in re.findall(r"^\s+\d+ .*?F=\s*(\S+)", text, re.MULTILINE)]
