"""The text of an OUTCAR, part by part."""

from __future__ import annotations

import time

import numpy as np
from ase import Atoms

from ionloop.testing.vasp_std.faults import pause
from ionloop.testing.vasp_std.inputs import Inputs
from ionloop.testing.vasp_std.vasprun import KILOBAR

#: How an electronic loop ends.
REACHED = "because EDIFF is reached"
MISSED = "EDIFF was not reached (unconverged)"
STOPPED = "because hard stop was set"
#: What a VASP says that was built with the VTST tools.
VTST = " VTST: version 4.2, (03/10/23)\n"


def row(values: np.ndarray, form: str) -> str:
    """Write a row of numbers."""
    return " ".join(format(x, form) for x in values)


def header(inputs: Inputs, electrons: float, n_bands: int, version: str, built: str) -> str:
    """Write all that stands before the first step."""
    line = "-" * 104
    return (
        f" vasp.{version} (ionloop.testing.vasp_std: no VASP, made-up numbers)\n"
        f" running on    1 total cores\n{built}"
        f"   k-points           NKPTS = {1:6d}   k-points in BZ     NKDIM = {1:6d}"
        f"   number of bands    NBANDS= {n_bands:6d}\n"
        f"   total plane-waves  NPLWV =  10000\n   ISPIN  = {inputs.integer('ISPIN', 1):6d}\n"
        f"   IBRION = {inputs.ibrion:6d}\n   NELECT = {electrons:12.4f}\n"
        f"\n\n{line}\n\n\n k-point   1 :   0.0000 0.0000 0.0000  plane waves:    1000\n\n"
        f" maximum and minimum number of plane-waves per node :      1000     1000\n"
    )


def loop_end(mark: str, electrons: float, moment: float) -> str:
    """Write how the electronic loop ended, with electrons and magnetization (Bohr magnetons)."""
    return (
        f"------------------------ aborting loop {mark} -------------------------\n"
        f" number of electron {electrons:15.7f} magnetization {moment:15.7f}\n"
        f" E-fermi :   1.0000     XC(G=0):  -5.0000     alpha+bet : -4.0000\n"
    )


def step(
    atoms: Atoms, energy: float, forces: np.ndarray, stress: np.ndarray | None, loop: str
) -> str:
    """Write an ionic step.

    Parameters
    ----------
    atoms
        Where the atoms are.
    energy
        Free energy, eV.
    forces
        Forces, shape [n, 3], eV/Å.
    stress
        Stress, shape [3, 3], eV/Å³, ASE's sign; None if it isn't computed.
    loop
        What :func:`loop_end` says.
    """
    rows = "".join(
        f" {row(place, '12.5f')}   {row(force, '13.6f')}\n"
        for place, force in zip(atoms.get_positions(wrap=True), forces, strict=True)
    )
    in_kb = ""
    if stress is not None:
        order = ([0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0])  # XX YY ZZ XY YZ ZX
        in_kb = f"  in kB  {row(-KILOBAR * stress[order], '11.5f')}\n"
    line = " " + "-" * 83 + "\n"
    drift = "      0.000000" * 3
    return (
        f"{loop}{in_kb}"
        f" POSITION                                       TOTAL-FORCE (eV/Angst)\n"
        f"{line}{rows}{line}    total drift:                          {drift}\n"
        f"  free  energy   TOTEN  = {energy:18.8f} eV\n"
        f"  energy  without entropy= {energy:18.8f}  energy(sigma->0) = {energy:18.8f}\n"
        f"     LOOP+:  cpu time    0.1000: real time {max(pause(), 0.1):9.4f}\n"
    )


def end(elapsed: float) -> str:
    """Write the last lines."""
    return (
        " General timing and accounting informations for this job:\n"
        " ========================================================\n"
        f"                  Total CPU time used (sec): {time.process_time():12.3f}\n"
        f"                         Elapsed time (sec): {elapsed:12.3f}\n"
    )
