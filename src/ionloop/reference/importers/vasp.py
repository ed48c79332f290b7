"""vasprun.xml: all that a label needs, with eight decimals and more.

Energies are free energies (``e_fr_energy``), whose derivatives the forces and
the stress are. The energy extrapolated to zero smearing isn't: and the one that VASP 5.4
writes into vasprun.xml under that name is the entropy term.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from monty.io import zopen
from pymatgen.io.vasp.outputs import Vasprun

from ionloop.errors import ImportLabelsError
from ionloop.reference.importers.reading import Reading, Step
from ionloop.reference.importers.vasp_settings import (
    from_vasprun,
    mesh_settings,
    set_temperature,
    spacing_mesh,
    whole_charge,
)
from ionloop.units import KBAR_EV_PER_A3

#: kB in eV/Å³ with VASP's own electron volt, with which it adds an external pressure's term.
VASP_KBAR_EV_PER_A3 = 1e-22 / 1.60217733e-19
#: Answers of VASP's own force field between DFT steps.
MACHINE_LEARNED = "step of VASP's machine-learned force field"


def read_vasprun(path: Path) -> Reading:
    """Read all finished ionic steps of a vasprun.xml, gzipped or not.

    A run that was cut off keeps the steps before the cut.

    Raises
    ------
    ImportLabelsError
        If it can't be read, or has no finished step.
    """
    run = _open_vasprun(path)
    if not run.ionic_steps:
        ml = " but those of VASP's machine-learned force field" if run.md_data else ""
        msg = f"{path}: expected finished ionic steps, got none{ml}"
        raise ImportLabelsError(msg)
    divisions = _mesh(run)
    spacing = run.incar.get("KSPACING")
    first = np.array(run.initial_structure.lattice.matrix)
    if spacing is not None and divisions != spacing_mesh(first, float(spacing)):
        spacing = None  # a KPOINTS file overrides it
    settings = from_vasprun(run.incar, run.parameters, run.potcar_symbols, run.vasp_version)
    settings["k_points"], mesh = mesh_settings(
        divisions,
        np.array(run.actual_kpoints, float).reshape(-1, 3),
        None if spacing is None else float(spacing),
        gamma=bool(run.parameters.get("KGAMMA", True)),
    )
    pressure = float(run.parameters.get("PSTRESS", 0.0))
    dft = [s for s in run.ionic_steps if s["electronic_steps"] or "e_fr_energy" not in s]
    skipped = len(run.ionic_steps) - len(dft)
    return Reading(
        path=path,
        engine=f"vasp {run.vasp_version.strip()}",
        settings=settings,
        steps=[_vasprun_step(s, run, pressure) for s in dft if s.get("structure") is not None],
        charge=_charge(run, path),
        temperature=_temperature(run.parameters),
        mesh=mesh,
        skipped={MACHINE_LEARNED: skipped} if skipped else {},
    )


def _open_vasprun(path: Path) -> Vasprun:
    """Parse a vasprun.xml; the gate judges convergence, not pymatgen's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run = Vasprun(
                path,
                parse_dos=False,
                parse_eigen=False,
                parse_potcar_file=False,
                exception_on_bad_xml=False,
            )
            needed = (run.parameters, run.potcar_symbols, run.initial_structure, run.kpoints)
        except Exception as error:
            msg = (
                f"{path}: can't be read as a vasprun.xml: {type(error).__name__}: {error}; if the "
                "run was cut off in its header there is nothing in it"
            )
            raise ImportLabelsError(msg) from error
    del needed
    return run


def _vasprun_step(step: dict[str, Any], run: Vasprun, pressure: float) -> Step:
    """Make a step of pymatgen's; with PSTRESS its energy is an enthalpy."""
    structure = step["structure"]
    energy = step.get("e_fr_energy")
    if energy is not None:
        energy = float(energy) - pressure * VASP_KBAR_EV_PER_A3 * structure.volume
    n_scf = len(step["electronic_steps"])
    forces, stress = step.get("forces"), step.get("stress")
    return Step(
        symbols=list(run.atomic_symbols),
        positions=np.array(structure.cart_coords),
        cell=np.array(structure.lattice.matrix),
        energy=energy,
        forces=None if forces is None else np.array(forces, float),
        stress=None if stress is None else -KBAR_EV_PER_A3 * np.array(stress, float),
        converged=0 < n_scf < int(run.parameters["NELM"]),
        n_scf=n_scf,
    )


def _mesh(run: Vasprun) -> list[int] | None:
    found = run.kpoints.kpts
    automatic = len(found) == 1 and run.kpoints.num_kpts == 0
    return [int(n) for n in found[0]] if automatic else None


def _charge(run: Vasprun, path: Path) -> int:
    """Return the cell's charge: valence electrons of the atoms less NELECT."""
    table = _atom_types(path)
    valence = sum(n * zval for n, zval in table)
    return whole_charge(valence - float(run.parameters["NELECT"]), path)


def _atom_types(path: Path) -> list[tuple[int, float]]:
    """Return the number of atoms and the valence of each type, which pymatgen drops."""
    head = []
    with zopen(path, mode="rt", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            head.append(str(line))
            if "</atominfo>" in line:
                break
    block = "".join(head).split('<array name="atomtypes" >')[-1]
    rows = re.findall(r"<rc><c>\s*(\d+)</c><c>.*?</c><c>.*?</c><c>\s*(\S+?)</c>", block)
    return [(int(n), float(zval)) for n, zval in rows]


def _temperature(parameters: dict[str, Any]) -> float | None:
    if parameters.get("IBRION") != 0:
        return None
    return set_temperature(parameters.get("TEBEG"), parameters.get("TEEND"))
