"""OUTCAR: where no vasprun.xml was kept. Positions have five decimals, forces six.

ASE's parts read cell, positions and forces; the rest has traps of its own:

- ``ML FREE ENERGIE`` ends the steps of VASP's machine-learned force field, which ASE takes
  for DFT;
- VASP 5 writes that EDIFF is reached when it gave up at NELM;
- ``in kB`` has the order xx, yy, zz, xy, yz, zx, and the sign of a pressure.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from ase.io.vasp_parsers import vasp_outcar_parsers as ase_outcar
from monty.io import zopen

from ionloop.errors import ImportLabelsError
from ionloop.reference.folders import read_text
from ionloop.reference.importers import outcar_settings
from ionloop.reference.importers.reading import Reading, Step
from ionloop.reference.importers.vasp import MACHINE_LEARNED
from ionloop.reference.importers.vasp_settings import potcar_element
from ionloop.units import KBAR_EV_PER_A3

#: The line that ends a step, but for its energies.
STEP_END = "FREE ENERGIE OF THE ION-ELECTRON SYSTEM"
#: How an electronic loop ends that converged, and in VASP 5 one that didn't.
SCF_END = "aborting loop because EDIFF is reached"
NO_POSITIONS = "step without positions and forces (NWRITE = 0)"
STARS = "step with numbers that didn't fit into their columns"


class _Parts(ase_outcar.OutcarChunkParser):
    """ASE's parser of a step, without what labels don't need and large files fail at."""

    def __init__(self, header: dict[str, Any]) -> None:
        parts = (ase_outcar.Cell(), ase_outcar.PositionsAndForces())
        super().__init__(parsers=parts, header=header)


def read_outcar(path: Path) -> Reading:
    """Read all finished ionic steps of an OUTCAR, gzipped or not.

    Raises
    ------
    ImportLabelsError
        If it can't be read, or has no finished step.
    """
    steps: list[Step] = []
    skipped: dict[str, int] = {}
    try:
        with zopen(path, mode="rt", encoding="utf-8", errors="replace") as stream:
            lines = [str(line) for line in ase_outcar.build_header(stream)]
            header = "".join(lines)
            symbols = _symbols(lines, header)
            parts = _Parts({"symbols": symbols, "natoms": len(symbols)})
            limit = outcar_settings.max_scf(header)
            for chunk in _chunks(chain(lines[-1:], stream)):  # its first SCF step ends the header
                step = _step(chunk, parts, symbols, limit)
                if isinstance(step, Step):
                    steps.append(step)
                else:
                    skipped[step] = skipped.get(step, 0) + 1
    except (ase_outcar.ParseError, OSError, EOFError, ValueError, LookupError) as error:
        msg = f"{path}: can't be read as an OUTCAR: {type(error).__name__}: {error}"
        raise ImportLabelsError(msg) from error
    if not steps:
        msg = f"{path}: expected finished ionic steps, got none"
        raise ImportLabelsError(msg + "".join(f"; {n} of: {what}" for what, n in skipped.items()))
    incar = read_text(path.parent / "INCAR")
    beside = outcar_settings.incar_text(incar) if incar else None
    settings, unknown, mesh = outcar_settings.from_outcar(header, beside)
    return Reading(
        path=path,
        engine=f"vasp {settings.get('version', 'of unknown version')}",
        settings=settings,
        steps=steps,
        charge=outcar_settings.charge(header, path),
        temperature=outcar_settings.temperature(header),
        mesh=mesh,
        unknown=unknown,
        skipped=skipped,
    )


def _symbols(lines: list[str], header: str) -> list[str]:
    """Return the atoms' symbols, of the POTCARs' titles and the numbers of each type."""
    found = ase_outcar.IonsPerSpecies()
    counts = next(
        found.parse(i, lines)["ion_types"]
        for i, _ in enumerate(lines)
        if found.has_property(i, lines)
    )
    titles = outcar_settings.potcar_titles(header)
    elements = [potcar_element(title) for title in titles]
    return [el for el, n in zip(elements, counts, strict=True) for _ in range(n)]


def _chunks(stream: Iterable[Any]) -> Iterator[list[str]]:
    """Cut an OUTCAR after the energies of each ionic step; a step that was cut off is dropped."""
    lines: list[str] = []
    left = 0
    for raw in stream:
        line = str(raw)
        lines.append(line)
        left = 5 if STEP_END in line else left - 1
        if left == 0:
            yield lines
            lines = []


def _step(chunk: list[str], parts: _Parts, symbols: list[str], limit: int | None) -> Step | str:
    """Make a step of the lines up to its energies, or say why it's none."""
    if any(f"ML {STEP_END}" in line for line in chunk[-6:]):
        return MACHINE_LEARNED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = parts.parse(chunk)
        energy = re.search(r"free  energy   TOTEN  =\s*(\S+)", "".join(chunk[-6:]))
        stress = _stress(chunk)
    except ValueError:
        return STARS
    if "positions" not in found or "cell" not in found:
        return NO_POSITIONS
    n_scf = sum("- Iteration" in line for line in chunk)
    within = limit is None or n_scf < limit
    return Step(
        symbols=list(symbols),
        positions=found["positions"],
        cell=found["cell"],
        energy=_number(energy[1]) if energy else None,
        forces=found["forces"],
        stress=stress,
        converged=within and any(SCF_END in line for line in chunk),
        n_scf=n_scf or None,
        magnetization=_magnetization(chunk),
    )


def _magnetization(chunk: list[str]) -> float | None:
    """Return the step's last magnetization, Bohr magnetons; None without spin polarization.

    Of non-collinear spins, whose line has three numbers, the size.
    """
    for line in reversed(chunk):
        if found := re.search(r"number of electron\s+\S+\s+magnetization((?:\s+\S+)*)", line):
            moment = [_number(word) for word in found[1].split()]
            return None if not moment else moment[0] if len(moment) == 1 else math.hypot(*moment)
    return None


def _number(text: str) -> float:
    """Return a number; stars are none."""
    return float("nan") if "*" in text else float(text)


def _stress(chunk: list[str]) -> np.ndarray | None:
    """Return the step's last stress, shape [3, 3], ASE's sign, eV/Å³; None if it has none."""
    line = next((line for line in reversed(chunk) if "  in kB " in line), None)
    if line is None:
        return None
    words = re.sub(r"(\d)-(\d)", r"\1 -\2", line).split()[2:8]
    xx, yy, zz, xy, yz, zx = (float(word) for word in words)
    return -KBAR_EV_PER_A3 * np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])
