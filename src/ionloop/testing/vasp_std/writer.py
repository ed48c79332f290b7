"""The files of one folder, grown step by step."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from ase import Atoms, units

from ionloop.testing.vasp_std import outcar, vasprun
from ionloop.testing.vasp_std.faults import Fault, pause
from ionloop.testing.vasp_std.inputs import Inputs, kinds_of
from ionloop.testing.vasp_std.outcar import row
from ionloop.testing.vasp_std.potential import total_energy

#: Electronic steps to convergence.
SCF_STEPS = 7


def stop_word(*folders: Path) -> str:
    """Read and remove the STOPCARs of these folders: soft, hard or nothing."""
    word = ""
    for path in (folder / "STOPCAR" for folder in folders):
        if path.exists():
            word = "hard" if "LABORT" in path.read_text().upper() else "soft"
            path.unlink()
    return word


@dataclass
class Writer:
    """Writes what one run, or one image of a band, computes.

    Parameters
    ----------
    folder
        Where.
    inputs
        What was asked.
    atoms
        Where it begins, with its calculator.
    fault
        What goes wrong.
    """

    folder: Path
    inputs: Inputs
    atoms: Atoms
    fault: Fault
    files: dict[str, TextIO] = field(init=False)
    n_steps: int = 0
    stopped: str = ""

    def __post_init__(self) -> None:
        """Write the headers."""
        self.begin = time.time()
        neutral, self.electrons = self.inputs.electrons(self.atoms)
        self.charge = neutral - self.electrons
        self.n_bands = int(self.electrons / 2) + 8
        names = ("vasprun.xml", "OUTCAR", "OSZICAR", "XDATCAR")
        self.files = {name: (self.folder / name).open("w") for name in names}
        self.last = self.atoms.copy()
        version = "6.3.0" if self.fault.has("version") else vasprun.VERSION
        head = vasprun.header(
            self.inputs,
            self.atoms,
            self.electrons + self.fault.has("charge"),
            self.n_bands,
            version=version,
            reverse=self.fault.has("order"),
        )
        self.put("vasprun.xml", head)
        built = "" if self.fault.has("no_vtst") else outcar.VTST
        self.put("OUTCAR", outcar.header(self.inputs, self.electrons, self.n_bands, version, built))
        self.put("XDATCAR", self._cell_lines(self.atoms))

    def put(self, name: str, text: str) -> None:
        """Write, and let the kernel have it: a kill loses nothing that was written."""
        self.files[name].write(text)
        self.files[name].flush()

    def _cell_lines(self, atoms: Atoms) -> str:
        cell = "".join(f"  {row(vector, '12.6f')}\n" for vector in atoms.cell.array)
        return f"stand-in\n           1\n{cell}{self._kinds('')}"

    def _kinds(self, indent: str) -> str:
        kinds, counts = kinds_of(self.atoms.get_chemical_symbols())
        numbers = "   ".join(str(n) for n in counts)
        return f"{indent} {'   '.join(kinds)}\n{indent} {numbers}\n"

    # --- one step ---

    def step(self, atoms: Atoms, *, kinetic: float | None = None) -> None:
        """Compute and write one ionic step.

        Parameters
        ----------
        atoms
            With their calculator.
        kinetic
            Kinetic energy, eV, in molecular dynamics.
        """
        energy = total_energy(atoms, self.inputs.encut, self.charge)
        forces = atoms.get_forces()
        if self.fault.has("nan"):
            energy, forces = np.nan, np.full_like(forces, np.nan)
        mark = self._electronic_loop(energy)
        self._die()
        self.n_steps += 1
        wanted = self.inputs.isif and not self.fault.has("nostress")
        stress = atoms.get_stress(voigt=False) if wanted else None
        self.put("vasprun.xml", self._ionic(atoms, energy, forces, stress, kinetic))
        moment = 3.0 * self.fault.has("moment")
        loop = outcar.loop_end(mark, self.electrons, moment)
        self.put("OUTCAR", outcar.step(atoms, energy, forces, stress, loop))
        hot = kinetic is not None
        temperature = f"T= {(kinetic or 0.0) / (1.5 * units.kB * len(atoms)):6.0f}. " if hot else ""
        spin = f" mag= {moment:9.4f}" if self.inputs.integer("ISPIN", 1) == 2 else ""
        self.put(
            "OSZICAR",
            f"{self.n_steps:4d} {temperature}F= {energy:.8E} E0= {energy:.8E}  d E ={0.0:.6E}"
            f"{spin}\n",
        )
        scaled = atoms.get_scaled_positions(wrap=True)
        rows = "".join(f"  {row(r, '11.8f')}\n" for r in scaled)
        if self.inputs.isif == 3 and self.n_steps > 1:  # the cell moves: each step has its own
            self.put("XDATCAR", self._cell_lines(atoms))
        self.put("XDATCAR", f"Direct configuration={self.n_steps:6d}\n{rows}")
        self.contcar(atoms)
        self.last = atoms.copy()

    def _electronic_loop(self, energy: float) -> str:
        """Write the electronic steps; return how the loop ended."""
        limit = self.inputs.integer("NELM", 60)
        failing = self.fault.has("unconverged")
        n_steps = limit if failing else min(SCF_STEPS, limit)
        self.put("vasprun.xml", " <calculation>\n")
        self.put("OSZICAR", f"       N{'E':>8s}{'dE':>24s}{'d eps':>18s}{'ncg':>10s}{'rms':>8s}\n")
        for k in range(1, n_steps + 1):
            change = 10.0 ** (1 - k)
            now = energy + (0.0 if k == n_steps else change)
            numbers = f"{now:18.12E}   {-change:12.5E}  {-change:12.5E}"
            self.put("OSZICAR", f"DAV: {k:3d}   {numbers}  1000   0.100E-02\n")
            block = vasprun.energies(now, "   ")
            self.put("vasprun.xml", f"  <scstep>\n{block}  </scstep>\n")
            self.put("OUTCAR", f"      LOOP:  cpu time    0.0100: real time {pause():9.4f}\n")
            time.sleep(pause() / n_steps)
            if self.inputs.nsw == 0 and stop_word(self.folder) == "hard":
                self.stopped = "hard"
                return outcar.STOPPED
        if self.fault.has("walltime") and self.inputs.nsw == 0:
            self.stopped = "hard"
            return outcar.STOPPED
        return outcar.MISSED if failing or n_steps < SCF_STEPS else outcar.REACHED

    def _die(self) -> None:
        if self.fault.has("oom"):
            sys.stderr.write("slurmstepd: error: Detected 1 oom_kill event\n")
            sys.stderr.flush()
        if self.fault.has("killed", "oom"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault.has("hang"):
            time.sleep(600)

    def _ionic(
        self,
        atoms: Atoms,
        energy: float,
        forces: np.ndarray,
        stress: np.ndarray | None,
        kinetic: float | None,
    ) -> str:
        text = vasprun.structure(atoms)
        if not self.fault.has("noforces"):
            text += vasprun.vectors(forces, "forces", "  ")
        if stress is not None:
            text += vasprun.vectors(-stress * vasprun.KILOBAR, "stress", "  ")
        text += vasprun.energies(energy, "  ", kinetic)
        if self.inputs.ibrion != 0 or self.n_steps == 1:
            text += vasprun.bands(self.electrons, self.n_bands, self.inputs.integer("ISPIN", 1))
        return f"{text} </calculation>\n"

    def contcar(self, atoms: Atoms) -> None:
        """Write where the atoms are, and in dynamics their velocities (Å/fs)."""
        lines = ["stand-in", "   1.00000000000000"]
        lines += [f"  {row(vector, '21.16f')}" for vector in atoms.cell.array]
        lines += [self._kinds("  ").rstrip("\n"), "Direct"]
        lines += [f"  {row(place, '19.16f')}" for place in atoms.get_scaled_positions()]
        if self.inputs.ibrion == 0:
            lines += ["", *(f"  {row(v, '15.8E')}" for v in atoms.get_velocities() * units.fs)]
        (self.folder / "CONTCAR").write_text("\n".join(lines) + "\n")

    def close(self, *, accurate: bool = False, stop: str = "") -> None:
        """Write the ends.

        Parameters
        ----------
        accurate
            Whether a relaxation reached its forces.
        stop
            Which STOPCAR ended it, if one did.
        """
        if stop := stop or self.stopped:
            self.put("OUTCAR", f" {stop} stop encountered!  aborting job ...\n")
        if accurate:
            end = "stopping structural energy minimisation"
            self.put("OUTCAR", f" reached required accuracy - {end}\n")
        self.put("vasprun.xml", vasprun.structure(self.last, "finalpos") + "</modeling>\n")
        self.put("OUTCAR", outcar.end(time.time() - self.begin))
        for file in self.files.values():
            file.close()
        if self.fault.has("truncated"):
            path = self.folder / "vasprun.xml"
            path.write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])
