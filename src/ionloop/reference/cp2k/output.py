"""What CP2K leaves behind: finished or not, why it failed, times and trajectories."""

from __future__ import annotations

import re

import numpy as np

from ionloop.errors import ImportLabelsError
from ionloop.reference.importers.cp2k_output import Evaluation, evaluations

END_MARK = "PROGRAM ENDED AT"
UNCONVERGED = "SCF run NOT converged"
#: How the reason of an SCF that didn't converge begins.
TOO_FEW_STEPS = "SCF not converged"


def failure_reason(output: str, version: str) -> str | None:
    """Say why an output holds no label, or None if it does.

    Parameters
    ----------
    output
        Text that CP2K wrote.
    version
        CP2K version that the settings name.
    """
    if (found := re.search(r"CP2K version (\S+)", output)) and found[1] != version:
        return (
            f"expected CP2K {version}, got {found[1]}; set Cp2kSettings.version or IONLOOP_CP2K_CMD"
        )
    if "[ABORT]" in output:
        lines = re.findall(r"^ \*\s+(?:\\___/)?\s*(.*?)\s*\*$", output, flags=re.MULTILINE)
        words = " ".join(w for w in lines if re.search("[A-Za-z]", w))
        return f"CP2K aborted: {words[:300]}"
    if END_MARK not in output:
        return f"output ends without {END_MARK!r} after {len(output)} characters"
    if unconverged := output.count(UNCONVERGED):
        return f"{TOO_FEW_STEPS} {unconverged} times within the steps allowed"
    return None


def last_evaluation(output: str) -> Evaluation | str:
    """Return the last energy with its forces and stress, or say why there is none.

    Not atomate2's document: it leaves forces in hartree/bohr, beside an energy in eV.
    """
    try:
        found = evaluations(output)
    except (ValueError, ImportLabelsError) as error:  # **** stands for a number too long
        return f"the output's numbers can't be read: {error}"
    if not found or found[-1].forces is None:
        return "the output holds no forces"
    return found[-1]


def total_time(output: str) -> float:
    """Return the wall time of an output's timing table, s; 0 if it has none."""
    found = re.findall(
        r"^ CP2K\s+\d+\s+[\d.]+(?:\s+[\d.]+){3}\s+([\d.]+)\s*$", output, flags=re.MULTILINE
    )
    return float(found[-1]) if found else 0.0


def total_cores(output: str) -> int | None:
    """Return processes times threads of a run; None if the output doesn't say."""
    found = [
        re.findall(rf"^ GLOBAL\| {what}\s+(\d+)\s*$", output, flags=re.MULTILINE)
        for what in (
            "Total number of message passing processes",
            "Number of threads for this process",
        )
    ]
    return int(found[0][-1]) * int(found[1][-1]) if all(found) else None


def read_xyz(text: str, n_atoms: int) -> tuple[np.ndarray, list[int]]:
    """Read CP2K's trajectory; its positions are never wrapped into the cell.

    Parameters
    ----------
    text
        Content of ``*-pos-1.xyz``; a last frame that was cut off is dropped.
    n_atoms
        Atoms a frame.

    Returns
    -------
    tuple[numpy.ndarray, list[int]]
        Positions, shape [n_frames, n_atoms, 3], Å, and the step of each; the first is 0.
    """
    lines = text.splitlines()
    size = n_atoms + 2
    n_frames = len(lines) // size
    frames, steps = [], []
    for block in (lines[i * size : (i + 1) * size] for i in range(n_frames)):
        found = re.search(r"i\s*=\s*(\d+)", block[1])
        rows = [line.split()[1:4] for line in block[2:]]
        if found is None or any(len(row) != 3 for row in rows):
            break
        frames.append(rows)
        steps.append(int(found[1]))
    return np.array(frames, float).reshape(len(frames), n_atoms, 3), steps
