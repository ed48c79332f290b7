"""Bands with VASP: atomate2's ``NebFromEndpointsMaker``, and our ``Band`` of what it leaves.

Its jobs can be killed and run again in their old folder, which atomate2's own can't; and
each runs when an earlier one failed, so that it fails too instead of waiting for ever.
"""

from __future__ import annotations

import re
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from atomate2.utils.path import strip_hostname
from atomate2.vasp.jobs.base import get_vasp_task_document, vasp_job
from atomate2.vasp.jobs.core import RelaxMaker
from atomate2.vasp.jobs.neb import NebFromEndpointsMaker, NebFromImagesMaker, vasp_neb_job
from jobflow import Flow, Job, JobConfig, OnMissing, job
from pymatgen.core import Structure

from ionloop.document import DATA_FIELDS
from ionloop.errors import ExplorationError
from ionloop.reference.base import differing_settings, hash_settings
from ionloop.reference.folders import drop_half_zipped, fresh_folder, same_request
from ionloop.reference.neb import COLLAPSE_FRACTION, BandSettings
from ionloop.reference.schema import Band
from ionloop.reference.vasp.inputs import (
    IonicVaspNebSet,
    IonicVaspRelaxSet,
    in_frame_order,
    known_warnings,
    vasp_structure,
)
from ionloop.reference.vasp.makers import (
    finished,
    locked_kwargs,
    plain_document,
    run_here,
)
from ionloop.reference.vasp.output import VaspRun, electronic_failure, found_settings
from ionloop.reference.vasp.runs import Kind, read_contcar
from ionloop.reference.vasp.settings import VaspSettings, describe
from ionloop.seed.schema import Hop

ACCURATE = "reached required accuracy"


def request_of(dft: VaspSettings, structures: list[Structure]) -> dict[str, Any]:
    """Return what a folder is for, as JSON."""
    where = [[s.lattice.matrix.tolist(), s.frac_coords.tolist()] for s in structures]
    return {"settings": hash_settings(describe(dft)), "structures": where}


def run_in(folder: Path, maker: Any, kind: Kind, what: Any, request: dict[str, Any]) -> Any:  # noqa: ANN401
    """Run a Maker in a folder of its own, and return atomate2's document.

    Raises
    ------
    ExplorationError
        If VASP failed; the message says why, as its own files tell.
    """
    fresh_folder(folder, request)
    with chdir(folder):
        document = run_here(maker, kind, what)
    refuse_failed(folder)
    if document is None:
        msg = f"custodian gave up in {folder}: {VaspRun(folder).last_words()}; see vasp.out there"
        raise ExplorationError(msg)
    return document


def refuse_failed(folder: Path) -> None:
    """Check the last step of a relaxation, or of each image of a band.

    Raises
    ------
    ExplorationError
        If one of them has no result to rely on.
    """
    for place in image_folders(folder) or [folder]:
        if failure := electronic_failure(VaspRun(place)):
            msg = f"VASP failed in {place}: {failure}; see {folder / 'vasp.out'}"
            raise ExplorationError(msg)


def image_folders(folder: Path) -> list[Path]:
    """List the folders of a band's moving images."""
    return sorted(folder.glob("[0-9][0-9]"))[1:-1]


@dataclass
class VaspRelaxMaker(RelaxMaker):
    """atomate2's Maker of relaxations, for the ends of a band.

    The fields are those of :class:`~ionloop.reference.vasp.makers.VaspStaticMaker`.
    """

    name: str = "vasp relax"
    input_set_generator: IonicVaspRelaxSet = field(default_factory=IonicVaspRelaxSet)
    write_input_set_kwargs: dict = field(default_factory=locked_kwargs)
    stop_children_kwargs: dict = field(default_factory=lambda: {"handle_unsuccessful": False})
    task_document_kwargs: dict = field(default_factory=plain_document)

    @vasp_job
    def make(self, structure: Structure, prev_dir: str | None = None) -> Any:  # noqa: ANN401, ARG002
        """Relax one end; goes on where an earlier launch of this job stopped.

        Raises
        ------
        ExplorationError
            If VASP failed.
        """
        folder = Path.cwd() / "vasp_relax"
        request = request_of(self.input_set_generator.dft, [structure])
        if finished(folder, request):
            drop_half_zipped(folder)
            refuse_failed(folder)
            with known_warnings():
                return get_vasp_task_document(folder, **self.task_document_kwargs)
        begin = structure
        if same_request(folder, request) and (poscar := read_contcar(folder)) is not None:
            begin = poscar.structure
        return run_in(folder, self, "relax", begin, request)


@dataclass
class VaspImagesMaker(NebFromImagesMaker):
    """atomate2's Maker of bands.

    The fields are those of :class:`~ionloop.reference.vasp.makers.VaspStaticMaker`.
    """

    name: str = "vasp neb"
    input_set_generator: IonicVaspNebSet = field(default_factory=IonicVaspNebSet)
    write_input_set_kwargs: dict = field(default_factory=locked_kwargs)
    stop_children_kwargs: dict = field(default_factory=lambda: {"handle_unsuccessful": False})

    @vasp_neb_job
    def make(  # type: ignore[override]
        self,
        images: list[Structure],
        prev_dir: str | None = None,  # noqa: ARG002
    ) -> Any:  # noqa: ANN401
        """Relax the band; goes on where an earlier launch of this job stopped.

        Raises
        ------
        ExplorationError
            If VASP failed.
        """
        folder = Path.cwd() / "vasp_neb"
        request = request_of(self.input_set_generator.dft, images)
        moving = image_folders(folder)
        if same_request(folder, request) and moving:
            if all(VaspRun(f).ended and not VaspRun(f).stopped for f in moving):
                for place in (folder, *moving):
                    drop_half_zipped(place)
                refuse_failed(folder)
                with known_warnings():
                    return get_vasp_task_document(folder, is_neb=True)
            found = [read_contcar(f) for f in moving]
            images = [
                images[0],
                *(
                    p.structure if p else image
                    for p, image in zip(found, images[1:-1], strict=True)
                ),
                images[-1],
            ]
        return run_in(folder, self, "neb", images, request)


def vasp_band_flow(
    hop: Hop, dft: VaspSettings, *, n_images: int, fmax: float, max_steps: int, climb: bool
) -> Flow:
    """Make the flow of one band; its output is a ``Band``."""
    defaults = BandSettings()
    charge = hop.start.charge
    ends = IonicVaspRelaxSet(
        dft=dft, charge=charge, fmax=defaults.end_fmax, max_steps=defaults.end_steps
    )
    band = IonicVaspNebSet(dft=dft, charge=charge, fmax=fmax, max_steps=max_steps, climb=climb)
    flow = NebFromEndpointsMaker(
        endpoint_relax_maker=VaspRelaxMaker(input_set_generator=ends),
        images_maker=VaspImagesMaker(input_set_generator=band),
    ).make(
        [vasp_structure(hop.start), vasp_structure(hop.end)],
        n_images,
        interpolation_method="linear",
        autosort_tol=0,
    )
    collect = vasp_band(flow.output, hop, dft, fmax=fmax, climb=climb)
    for part in (*flow.jobs, collect):
        if isinstance(part, Job):
            part.config = JobConfig(on_missing_references=OnMissing.NONE)
    return Flow([flow, collect], output=collect.output)


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
    runs = [VaspRun(Path(strip_hostname(d))) for d in document.directories]
    head = Path(strip_hostname(document.dir_name))
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
        engine=f"vasp {dft.version}",
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
    cell = np.array(hop.start.cell)
    start = np.array(hop.start.positions) @ np.linalg.inv(cell)
    step = fractional - start
    return (start + step - np.rint(step)) @ cell
