"""Bands with VASP: atomate2's ``NebFromEndpointsMaker``, and our ``Band`` of what it leaves.

Its jobs can be killed and run again in their old folder, which atomate2's own can't; and
each runs when an earlier one failed, so that it fails too instead of waiting for ever.
"""

from __future__ import annotations

from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase.mep import NEB
from atomate2.vasp.jobs.base import get_vasp_task_document, vasp_job
from atomate2.vasp.jobs.core import RelaxMaker
from atomate2.vasp.jobs.neb import NebFromEndpointsMaker, NebFromImagesMaker, vasp_neb_job
from jobflow import Flow, Job, JobConfig, OnMissing
from pymatgen.core import Structure

from ionloop.errors import ExplorationError
from ionloop.reference.attempts import attempts, new_attempt
from ionloop.reference.base import hash_settings
from ionloop.reference.folders import drop_half_zipped, same_request
from ionloop.reference.neb import BandSettings
from ionloop.reference.vasp.band import vasp_band
from ionloop.reference.vasp.inputs import (
    IonicVaspNebSet,
    IonicVaspRelaxSet,
    known_warnings,
    vasp_structure,
)
from ionloop.reference.vasp.makers import (
    finished,
    locked_kwargs,
    plain_document,
    run_here,
)
from ionloop.reference.vasp.output import VaspRun, electronic_failure
from ionloop.reference.vasp.runs import Kind, read_contcar
from ionloop.reference.vasp.settings import VaspSettings, describe
from ionloop.seed.schema import Hop


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
    new_attempt(folder, request)
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


def last_positions(folder: Path, name: str = "") -> Structure | None:
    """Return the last positions that an earlier launch wrote, here or in what was put aside.

    Parameters
    ----------
    folder
        The calculation's folder.
    name
        Of the image, as ``01``; none for a relaxation.
    """
    for place in (folder, *reversed(attempts(folder))):
        if (poscar := read_contcar(place / name)) is not None:
            return poscar.structure
    return None


def idpp_images(images: list[Structure]) -> list[Structure]:
    """Interpolate anew between the first and the last image, by image-dependent pair potentials.

    A straight line leads through atoms; Smidstrup et al., J. Chem. Phys. 140, 214106 (2014).

    Parameters
    ----------
    images
        Ends and what is between them, of which the number counts.
    """
    ends = [images[0].to_ase_atoms(), images[-1].to_ase_atoms()]
    chain = [ends[0], *(ends[0].copy() for _ in images[1:-1]), ends[1]]
    NEB(chain, method="improvedtangent").interpolate("idpp", mic=True)
    return [
        images[0],
        *(
            Structure(images[0].lattice, images[0].species, a.positions, coords_are_cartesian=True)
            for a in chain[1:-1]
        ),
        images[-1],
    ]


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
        found = last_positions(folder) if same_request(folder, request) else None
        return run_in(folder, self, "relax", found or structure, request)


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
        """Relax the band from an IDPP path, or where an earlier launch of this job stopped.

        Raises
        ------
        ExplorationError
            If VASP failed.
        """
        folder = Path.cwd() / "vasp_neb"
        request = request_of(self.input_set_generator.dft, images)
        moving, again = image_folders(folder), same_request(folder, request)
        if again and moving and all(VaspRun(f).ended and not VaspRun(f).stopped for f in moving):
            for place in (folder, *moving):
                drop_half_zipped(place)
            refuse_failed(folder)
            with known_warnings():
                return get_vasp_task_document(folder, is_neb=True)
        begin = idpp_images(images)
        if again:
            found = [last_positions(folder, f"{i:02d}") for i in range(1, len(images) - 1)]
            between = [old or new for old, new in zip(found, begin[1:-1], strict=True)]
            begin = [images[0], *between, images[-1]]
        return run_in(folder, self, "neb", begin, request)


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
