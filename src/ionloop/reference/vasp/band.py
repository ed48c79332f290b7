"""A ``Band`` of what VASP leaves, each image checked as a label is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from atomate2.utils.path import strip_hostname
from jobflow import job

from ionloop.document import DATA_FIELDS
from ionloop.errors import ExplorationError
from ionloop.reference.base import differing_settings, hash_settings
from ionloop.reference.folders import first_folder
from ionloop.reference.neb import COLLAPSE_FRACTION
from ionloop.reference.schema import Band
from ionloop.reference.vasp.facts import found_settings
from ionloop.reference.vasp.inputs import handedness, in_frame_order
from ionloop.reference.vasp.makers import engine_of
from ionloop.reference.vasp.output import VaspRun, electronic_failure
from ionloop.reference.vasp.settings import VaspSettings, describe
from ionloop.seed.schema import Hop

ACCURATE = "reached required accuracy"


@job(data=DATA_FIELDS)
def vasp_band(
    document: Any,  # noqa: ANN401
    hop: Hop,
    dft: VaspSettings,
    *,
    fmax: float,
    climb: bool,
) -> Band:
    """Read a band from the folders that atomate2's ``NebTaskDoc`` names.

    Raises
    ------
    ExplorationError
        If a part of it failed, has other settings, doesn't climb, or its ends fell into
        one minimum.
    """
    if document is None or document.directories is None:
        msg = f"hop {hop.path_class}: expected VASP's band, got none; see the failed jobs before it"
        raise ExplorationError(msg)
    runs = [VaspRun(first_folder(strip_hostname(d))) for d in document.directories]
    head = first_folder(strip_hostname(document.dir_name))
    for run in runs:
        refuse_bad_image(run, head, hop, dft, climb=climb)
    images = [follow(run, hop) for run in runs]
    shift = images[-1][hop.ion] - images[0][hop.ion]
    if (distance := float(np.linalg.norm(shift))) < COLLAPSE_FRACTION * hop.distance:
        msg = (
            f"hop {hop.path_class}: expected relaxed ends about {hop.distance:.2f} Å apart, got "
            f"{distance:.2f} Å: one of them is no minimum; drop this hop"
        )
        raise ExplorationError(msg)
    steps = [run.vasprun.ionic_steps for run in runs if run.vasprun]
    return Band(
        symbols=hop.start.symbols,
        cell=hop.start.cell,
        charge=hop.start.charge,
        images=[image.tolist() for image in images],
        energies=[float(ionic[-1]["e_fr_energy"]) for ionic in steps],
        ion=hop.ion,
        path_class=hop.path_class,
        hop_distance=hop.distance,
        converged=all(ACCURATE in run.outcar for run in runs),
        fmax=fmax,
        n_force_calls=sum(len(ionic) for ionic in steps),
        engine=engine_of(runs[1], dft),
        settings_hash=hash_settings(describe(dft)),
        # Images run side by side, the ends before them.
        wall_s=runs[0].wall_s + runs[-1].wall_s + max(run.wall_s for run in runs[1:-1]),
    )


def refuse_bad_image(run: VaspRun, head: Path, hop: Hop, dft: VaspSettings, *, climb: bool) -> None:
    """Check an image as a label is checked, so that no barrier rests on a bad energy.

    Raises
    ------
    ExplorationError
        If it failed, has other settings, or VASP lacks the VTST tools that climb.
    """
    moving = run.folder.parent == head
    failure = electronic_failure(run)
    if failure is None and moving and climb and not re.search(r"VTST: version", run.outcar):
        failure = (
            "this VASP was built without the VTST tools, its band doesn't climb or even move; "
            "use one with them, or VaspReference(climb=False)"
        )
    if failure is None:
        # INCAR, KPOINTS and POTCAR of a band's images stand in the folder above.
        expected = describe(dft)
        got = found_settings(run, dft, inputs=head if moving else run.folder)
        keys = [
            line
            for line in differing_settings(expected, got)
            if line.split(":")[0] not in RELAXATION_TAGS
        ]
        failure = f"other settings: {'; '.join(keys[:5])}" if keys else None
    if failure:
        msg = f"hop {hop.path_class}: {failure}; see {run.folder}"
        raise ExplorationError(msg)


#: Tags that a relaxation or a band sets and a label doesn't.
RELAXATION_TAGS = {
    f"incar.{tag}"
    for tag in ("EDIFFG", "IBRION", "NSW", "IMAGES", "SPRING", "LCLIMB", "IOPT", "POTIM", "SMASS")
}


def follow(run: VaspRun, hop: Hop) -> np.ndarray:
    """Return an image's positions in the frame's order, shape [n, 3], Å, next to the start's."""
    if run.vasprun is None:  # refused before
        return np.array(hop.start.positions)
    fractional = in_frame_order(run.vasprun.ionic_steps[-1]["structure"].frac_coords,
                                hop.start.symbols)  # fmt: skip
    cell = handedness(hop.start.cell) * np.array(hop.start.cell)  # VASP's own
    start = np.array(hop.start.positions) @ np.linalg.inv(cell)
    step = fractional - start
    return (start + step - np.rint(step)) @ cell
