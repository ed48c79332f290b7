"""CP2K's main output: energies, forces, stress and convergence of every evaluation."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ionloop.errors import ImportLabelsError
from ionloop.units import GPA_EV_PER_A3, HARTREE_PER_BOHR_EV_PER_ANGSTROM, KBAR_EV_PER_A3

#: Units that CP2K prints stress in, as eV/Å³.
STRESS_UNITS = {"gpa": GPA_EV_PER_A3, "kbar": KBAR_EV_PER_A3, "bar": 1e-3 * KBAR_EV_PER_A3}
ENERGY = re.compile(
    r"^ ?ENERGY\| Total FORCE_EVAL .*?energy [\[(][\w.]+[\])]:?\s+(\S+)", re.MULTILINE
)
STRESS = re.compile(
    r"(?:Analytical|Numerical|STRESS)\s+(?:stress )?tensor \[(\w+)\]", re.IGNORECASE
)
#: End of an SCF cycle, and a line of its table: step, how it was made, ..., change.
CYCLE_END = re.compile(r"SCF run (?:converged in\s+(\d+) steps|NOT converged)")
SCF_STEP = re.compile(r"^ +(\d+) +[A-Za-z_]+[/.\w]* .*[-+]?\d\.\d+E[-+]\d+ *$", re.MULTILINE)
ROW = re.compile(r"^ ?(?:STRESS\|)?\s+([xyz])((?:\s+[-+\d.Ee]+){3})\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Cycle:
    """One self-consistent solution of the electrons, or the attempt.

    Parameters
    ----------
    n_steps
        Electronic steps; None if the output shows none.
    converged
        Whether it converged.
    """

    n_steps: int | None
    converged: bool


def scf_cycles(output: str) -> list[Cycle]:
    """List the SCF cycles that came to an end, in order."""
    found, start = [], 0
    for end in CYCLE_END.finditer(output):
        rows = SCF_STEP.findall(output, start, end.start())
        steps = end[1] or (rows[-1] if rows else None)
        found.append(Cycle(int(steps) if steps else None, converged=end[1] is not None))
        start = end.end()
    return found


@dataclass(frozen=True)
class Evaluation:
    """One calculation of energy, and what was printed with it.

    Parameters
    ----------
    energy
        Energy, hartree.
    converged
        Whether the electronic problem converged.
    n_scf
        Electronic steps.
    forces
        Forces, shape [n, 3], eV/Å.
    stress
        Stress, shape [3, 3], ASE's sign, eV/Å³.
    """

    energy: float
    converged: bool
    n_scf: int | None
    forces: np.ndarray | None
    stress: np.ndarray | None


def evaluations(output: str) -> list[Evaluation]:
    """Cut an output into its evaluations: SCF cycle, energy, then forces and stress."""
    marks = list(ENERGY.finditer(output))
    found = []
    for i, mark in enumerate(marks):
        before = output[marks[i - 1].end() if i else 0 : mark.start()]
        after = output[mark.end() : marks[i + 1].start() if i + 1 < len(marks) else len(output)]
        cycles = scf_cycles(before)
        found.append(
            Evaluation(
                energy=float(mark[1]),
                converged=bool(cycles) and all(cycle.converged for cycle in cycles),
                n_scf=sum(cycle.n_steps or 0 for cycle in cycles) or None,
                forces=_forces(after),
                stress=_stress(after),
            )
        )
    return found


def _forces(text: str) -> np.ndarray | None:
    """Return printed forces, eV/Å; None if there are none."""
    found = re.search(r"(?:ATOMIC FORCES in \[a\.u\.\]|Atomic forces \[hartree/bohr\])", text)
    if found is None:
        return None
    rows = []
    for line in text[found.end() :].splitlines():
        words = line.replace("FORCES|", " ").split()
        if words and words[0].isdigit():
            rows.append(words[3:6] if words[2].isalpha() else words[1:4])
        elif rows:
            break
    return np.array(rows, float) * HARTREE_PER_BOHR_EV_PER_ANGSTROM if rows else None


def _stress(text: str) -> np.ndarray | None:
    """Return the printed stress; CP2K's sign is that of a pressure.

    Raises
    ------
    ImportLabelsError
        If it's in units that aren't known.
    """
    found = STRESS.search(text)
    if found is None:
        return None
    if found[1].lower() not in STRESS_UNITS:
        msg = f"expected stress in {', '.join(STRESS_UNITS)}, got {found[1]}"
        raise ImportLabelsError(msg)
    rows = [match[2].split() for line in text[found.end() :].splitlines()[:8]
            if (match := ROW.match(line))]  # fmt: skip
    if len(rows) < 3:
        return None
    return -STRESS_UNITS[found[1].lower()] * np.array(rows[:3], float)
