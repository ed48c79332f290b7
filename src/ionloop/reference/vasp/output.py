"""What VASP leaves behind: whether it is a label, why not, and with which settings."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from monty.os.path import zpath
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Incar, Potcar, UnknownPotcarWarning
from pymatgen.io.vasp.outputs import UnconvergedVASPWarning, Vasprun

from ionloop.reference.folders import read_text
from ionloop.reference.vasp.potcars import potcar_digest
from ionloop.reference.vasp.settings import VaspSettings, describe, plain_value
from ionloop.units import GPA_EV_PER_A3

END_MARK = "General timing and accounting informations"
#: Words of VASP's own when it gives up: running the same input again is of no use.
REFUSALS = re.compile(
    r"(I REFUSE TO CONTINUE|VERY BAD NEWS|(?:^|\W)ERROR\W|Error reading item|ZBRENT: fatal|"
    r"EDWAV: internal error|Sub-Space-Matrix is not hermitian in DAV)",
    re.MULTILINE,
)
#: Parameters that VASP prints as it took them, against the INCAR that it was given.
CHECKED = {"ENCUT": "ENMAX", "EDIFF": "EDIFF", "ISMEAR": "ISMEAR", "SIGMA": "SIGMA",
           "ISPIN": "ISPIN", "LASPH": "LASPH", "NELM": "NELM", "ISYM": "ISYM"}  # fmt: skip
#: INCAR tags of one cell, not of the campaign.
CELL_TAGS = frozenset({"NELECT", "MAGMOM"})
#: Positions in vasprun.xml and POSCAR agree to this, Å.
SAME_POSITION = 1e-4
#: A magnetization that jumped is off by one electron's spin at least, Bohr magnetons.
SAME_MOMENT = 0.5


@dataclass(frozen=True)
class VaspRun:
    """A folder that VASP ran in; files are read when asked for, gzipped or not.

    Parameters
    ----------
    folder
        The folder.
    """

    folder: Path

    @cached_property
    def outcar(self) -> str:
        """Text of the OUTCAR; empty if there is none."""
        return read_text(self.folder / "OUTCAR") or ""

    @cached_property
    def messages(self) -> str:
        """What VASP and its launcher said on the way."""
        return "\n".join(
            read_text(self.folder / name) or "" for name in ("vasp.out", "std_err.txt")
        )

    @cached_property
    def vasprun(self) -> Vasprun | None:
        """The parsed vasprun.xml; None if it is missing, cut off or without a result."""
        path = Path(zpath(str(self.folder / "vasprun.xml")))
        if not path.exists():
            return None
        options = ("parse_dos", "parse_eigen", "parse_potcar_file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnconvergedVASPWarning)
            try:
                found = Vasprun(str(path), **dict.fromkeys(options, False))
            except (SyntaxError, AttributeError, IndexError, EOFError):
                return None  # cut off: bad XML, before its first step, or in the gzip
        return found if found.ionic_steps else None

    @property
    def ended(self) -> bool:
        """Whether VASP came to its own end."""
        return END_MARK in self.outcar

    @property
    def stopped(self) -> bool:
        """Whether a STOPCAR ended it, as custodian writes near the wall time."""
        return bool(re.search(r"(soft|hard) stop encountered!", self.outcar))

    @property
    def refused(self) -> bool:
        """Whether VASP gave up with words of its own."""
        return bool(REFUSALS.search(self.messages))

    @property
    def wall_s(self) -> float:
        """Wall time by the OUTCAR, s; 0 if it has none."""
        found = re.findall(r"Elapsed time \(sec\):\s+([\d.]+)", self.outcar)
        return float(found[-1]) if found else 0.0

    @property
    def n_scf(self) -> int:
        """Electronic steps of all ionic steps."""
        steps = self.vasprun.ionic_steps if self.vasprun else []
        return sum(len(step["electronic_steps"]) for step in steps)

    def last_words(self) -> str:
        """Return the line in which VASP gave up, or the last that it or its launcher said."""
        lines = [line.strip(" |*-") for line in self.messages.splitlines()]
        lines = [line for line in lines if line] or ["no word"]
        return next((line for line in lines if REFUSALS.search(line)), lines[-1])


def electronic_failure(run: VaspRun) -> str | None:
    """Say why a calculation has no result to rely on, or None if it has.

    Of a relaxation or band the last step counts.
    """
    if run.vasprun is None:
        size = Path(zpath(str(run.folder / "vasprun.xml")))
        found = f"{size.stat().st_size} bytes of it" if size.exists() else "no vasprun.xml"
        return f"expected a whole vasprun.xml, got {found}; VASP's last words: {run.last_words()}"
    if run.stopped:
        return "stopped by a STOPCAR: out of wall time"
    if not run.ended:
        return f"VASP was killed or died; its last words: {run.last_words()}"
    steps = len(run.vasprun.ionic_steps[-1]["electronic_steps"])
    if steps >= run.vasprun.parameters["NELM"]:
        return f"SCF not converged within {steps} steps"
    marks = re.findall(r"aborting loop (EDIFF was not reached|because EDIFF)", run.outcar)
    if not marks or marks[-1] != "because EDIFF":
        return f"SCF not converged: VASP left the loop after {steps} steps"
    return None


def label_failure(run: VaspRun, asked: Structure, dft: VaspSettings, charge: int = 0) -> str | None:
    """Say why a static calculation holds no label, or None if it does.

    Parameters
    ----------
    run
        Where VASP ran.
    asked
        What was written as POSCAR.
    dft
        The settings.
    charge
        Net charge of the cell, e.
    """
    return (
        electronic_failure(run)
        or atoms_failure(run, asked, dft)
        or electrons_failure(run, asked, dft, charge)
        or result_failure(run, len(asked), stress=dft.stress)
    )


def atoms_failure(run: VaspRun, asked: Structure, dft: VaspSettings) -> str | None:
    """Say whether VASP computed other atoms than asked: species, POTCARs, places."""
    if run.vasprun is None:
        return "no vasprun.xml"
    symbols = [site.specie.symbol for site in asked]
    if list(run.vasprun.atomic_symbols) != symbols:
        return "species in another order than asked"
    titles = zip(dict.fromkeys(symbols), run.vasprun.potcar_symbols, strict=False)
    for element, title in titles:
        if title.split()[1:2] != [dft.potcars.get(element)]:
            return f"expected the POTCAR {dft.potcars.get(element)} for {element}, got {title}"
    same = same_geometry(run.vasprun.initial_structure, asked)
    return None if same else "another geometry than asked"


def result_failure(run: VaspRun, n_atoms: int, *, stress: bool) -> str | None:
    """Say whether forces or stress are missing."""
    last = run.vasprun.ionic_steps[-1] if run.vasprun else {}
    if np.shape(last.get("forces", ())) != (n_atoms, 3):
        return "no forces"
    return "no stress" if stress and np.shape(last.get("stress", ())) != (3, 3) else None


def same_geometry(found: Structure, asked: Structure) -> bool:
    """Say whether two structures have the same cell, and atoms at the same places."""
    if not np.allclose(found.lattice.matrix, asked.lattice.matrix, atol=SAME_POSITION, rtol=0):
        return False
    step = found.frac_coords - asked.frac_coords
    step -= np.rint(step)
    return bool(np.abs(step @ asked.lattice.matrix).max() < SAME_POSITION)


def electrons_failure(run: VaspRun, asked: Structure, dft: VaspSettings, charge: int) -> str | None:
    """Say whether charge or magnetization aren't the asked ones."""
    valence = {single.element: single.zval for single in potcars_in(run.folder)}
    if not valence or run.vasprun is None:
        return "no POTCAR in the folder"
    expected = sum(valence[site.specie.symbol] for site in asked) - charge
    got = run.vasprun.parameters.get("NELECT")
    if got is None or abs(got - expected) > 1e-3:
        return f"expected {expected:g} electrons, got {got}: another charge than asked"
    if dft.magnetization is not None:
        moment = total_moment(run)
        if moment is None or abs(moment - dft.magnetization) > SAME_MOMENT:
            return f"expected a magnetization of {dft.magnetization:g}, got {moment}"
    return None


def potcars_in(folder: Path) -> Potcar:
    """Read the POTCAR of a run; what pymatgen doesn't know was told at launch."""
    text = read_text(folder / "POTCAR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPotcarWarning)
        return Potcar.from_str(text) if text else Potcar([])


def total_moment(run: VaspRun) -> float | None:
    """Return the last magnetization in the OSZICAR, Bohr magnetons; None if it has none."""
    text = read_text(run.folder / "OSZICAR") or ""
    found = re.findall(r"mag=\s*([-+.\dEe]+)", text)
    return float(found[-1]) if found else None


def found_settings(run: VaspRun, dft: VaspSettings, inputs: Path | None = None) -> dict[str, Any]:
    """Return the settings that a calculation ran with, as :func:`describe` writes them.

    Taken from INCAR, POTCAR and KPOINTS as they are after the run, and from what VASP
    says in vasprun.xml that it took; so that an edit by custodian, by a user's
    configuration, or by VASP itself changes the hash.

    Parameters
    ----------
    run
        Where VASP wrote its results.
    dft
        What was asked.
    inputs
        Where INCAR and POTCAR stand, if not in the run's folder.
    """
    inputs = inputs or run.folder
    settings = describe(dft)
    given = Incar.from_str(read_text(inputs / "INCAR") or "")
    incar = {key: plain_value(v) for key, v in sorted(given.items()) if key not in CELL_TAGS}
    if run.vasprun is not None:
        taken = run.vasprun.parameters
        for tag, name in CHECKED.items():
            value = plain_value(taken.get(name))
            if tag in incar and value is not None and not _same(value, incar[tag]):
                incar[tag] = value
        version = str(run.vasprun.vasp_version).strip()
        if version != dft.version and not version.startswith(f"{dft.version}."):
            settings["version"] = version
        mesh = run.vasprun.kpoints.kpts[0] if run.vasprun.kpoints.kpts else ()
        if dft.k_mesh and tuple(mesh) != tuple(dft.k_mesh):
            settings["k_points"] = {**settings["k_points"], "mesh": [int(n) for n in mesh]}
    settings["incar"] = incar
    for single in potcars_in(inputs):
        settings["potcars"][single.element] = {
            "symbol": dft.potcars.get(single.element),
            "sha256": potcar_digest(single),
        }
    return settings


def _same(a: Any, b: Any) -> bool:  # noqa: ANN401
    """Compare numbers as VASP prints them, with eight decimals."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-8 + 1e-6 * abs(b)
    return bool(a == b)


def stress_of(kilobar: Any) -> list[list[float]]:  # noqa: ANN401
    """Convert VASP's stress, kB and positive in compression, to ASE's sign in eV/Å³."""
    return (-0.1 * GPA_EV_PER_A3 * np.array(kilobar, float)).tolist()


def read_xdatcar(text: str, n_atoms: int) -> np.ndarray:
    """Read fractional positions of a run at constant volume.

    Parameters
    ----------
    text
        An XDATCAR; a last frame that was cut off is dropped.
    n_atoms
        Atoms a frame.

    Returns
    -------
    numpy.ndarray
        Fractional positions as VASP wraps them, shape [n_frames, n_atoms, 3].
    """
    blocks = re.split(r"^Direct configuration=.*\n", text, flags=re.MULTILINE)[1:]
    frames = []
    for block in blocks:
        rows = [line.split() for line in block.splitlines()[:n_atoms]]
        # A whole line ends with a line break, and each number has its decimals.
        if len(rows) < n_atoms or not block.endswith("\n") or any(len(r) != 3 for r in rows):
            break
        frames.append(rows)
    return np.array(frames, float).reshape(len(frames), n_atoms, 3)
