"""How atomate2's VASP Makers are run here, and the one of labels."""

from __future__ import annotations

import logging
from contextlib import chdir
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from atomate2.vasp.jobs.base import BaseVaspMaker
from atomate2.vasp.jobs.core import StaticMaker
from custodian.custodian import CustodianError
from jobflow import Response, job
from pymatgen.core import Structure

from ionloop.frame import Frame
from ionloop.reference.attempts import is_good, new_attempt
from ionloop.reference.base import hash_settings
from ionloop.reference.folders import drop_half_zipped, first_folder, geometry, same_request
from ionloop.reference.runs import MAX_RESTARTS, in_a_new_launch, is_out_of_time, wait_out
from ionloop.reference.schema import SinglePoint
from ionloop.reference.vasp.facts import found_settings, stress_of, total_charge, total_moment
from ionloop.reference.vasp.inputs import (
    IonicVaspSet,
    in_frame_order,
    known_warnings,
    vasp_structure,
)
from ionloop.reference.vasp.output import VaspRun, label_failure
from ionloop.reference.vasp.runs import Kind, run_arguments
from ionloop.reference.vasp.settings import VaspSettings, describe
from ionloop.settings import get_settings

logger = logging.getLogger(__name__)

#: A charge is right to this, e: NELECT is printed with four decimals or more.
SAME_CHARGE = 1e-3


def run_here(maker: BaseVaspMaker, kind: Kind, what: Structure | list[Structure]) -> Any:  # noqa: ANN401
    """Run a Maker's own ``make`` in the working folder, but not in a worker's last minutes.

    Returns
    -------
    typing.Any
        atomate2's document; None if custodian gave the calculation up.

    Raises
    ------
    ReferenceSetupError
        If VASP or a POTCAR isn't there.
    """
    wait_out(get_settings().vasp_wall_time_s)
    ready = replace(maker, run_vasp_kwargs={**maker.run_vasp_kwargs, **run_arguments(kind)})
    make = next(c.__dict__["make"] for c in type(maker).__mro__ if _is_atomate2s(c))
    with known_warnings():
        try:
            return make.original(ready, what).output
        except CustodianError as error:
            logger.warning("VASP failed in %s: %s", Path.cwd(), error)
            return None


def _is_atomate2s(kind: type) -> bool:
    return kind.__module__.startswith("atomate2.") and "make" in kind.__dict__


def engine_of(run: VaspRun, dft: VaspSettings) -> str:
    """Name program and version: as found, or as asked where nothing was found."""
    found = str(run.vasprun.vasp_version).strip() if run.vasprun else dft.version
    return f"vasp {found}"


def locked_kwargs() -> dict[str, Any]:
    """Return ``write_input_set_kwargs``: a user's ``~/.atomate2.yaml`` must change no label."""
    return {"apply_incar_updates": False}


def plain_document() -> dict[str, Any]:
    """Return ``task_document_kwargs``: what nobody reads isn't parsed."""
    return {"parse_dos": False, "parse_bandstructure": False}


@dataclass
class VaspStaticMaker(StaticMaker):
    """atomate2's static Maker, whose job returns a list of ``SinglePoint``.

    Parameters
    ----------
    name
        Job name.
    input_set_generator
        Holds the settings.
    write_input_set_kwargs
        See :func:`locked_kwargs`.
    stop_children_kwargs
        A failed label is quarantined later; it stops nothing.
    task_document_kwargs
        See :func:`plain_document`.
    """

    name: str = "vasp static"
    input_set_generator: IonicVaspSet = field(default_factory=IonicVaspSet)
    write_input_set_kwargs: dict = field(default_factory=locked_kwargs)
    stop_children_kwargs: dict = field(default_factory=lambda: {"handle_unsuccessful": False})
    task_document_kwargs: dict = field(default_factory=plain_document)

    @job
    def make(  # type: ignore[override]
        self, frames: list[Frame], folder: str | None = None, attempt: int = 1
    ) -> list[SinglePoint] | Response:
        """Compute energy, forces and stress of frames, one folder each below the job's own.

        Where the worker's wall time stopped some, the job runs again, in another worker; it
        reads the others' labels.

        Parameters
        ----------
        frames
            What is labelled.
        folder
            The first launch's folder, where its labels are; None: the working folder.
        attempt
            Which launch this is, from 1.
        """
        parent = first_folder(folder)
        points = []
        for frame in frames:
            points.append(self.compute(frame, parent))
            # At once: this worker would start nothing more, and be ended with the job.
            if is_out_of_time(points[-1].failure) and attempt <= MAX_RESTARTS:
                return in_a_new_launch(self.make(frames, str(parent), attempt + 1))
        return points

    def compute(self, frame: Frame, parent: Path) -> SinglePoint:
        """Compute one frame in a folder below ``parent``; a good label is read again.

        What ended without one is put aside, as ``failed.1``, and computed again.

        Raises
        ------
        ReferenceSetupError
            If VASP or a POTCAR isn't there. A calculation that fails is a result.
        """
        dft = self.input_set_generator.dft
        folder = parent / f"vasp_{frame.frame_hash}"
        request = {"settings": hash_settings(describe(dft)), "frame": geometry(frame)}
        structure = vasp_structure(frame)
        if good_label(folder, request, frame, dft):
            logger.info("reusing the label in %s", folder)
            drop_half_zipped(folder)
        else:
            new_attempt(folder, request)
            with chdir(folder):
                self._run(structure, frame.charge)
        return single_point(VaspRun(folder), frame, structure, dft)

    def _run(self, structure: Structure, charge: int) -> None:
        """Run VASP here; what atomate2 can't read is told by the label's own reason."""
        generator, here = self.input_set_generator, VaspRun(Path.cwd())
        try:
            charged = replace(self, input_set_generator=replace(generator, charge=charge))
            run_here(charged, "static", structure)
        except Exception:
            started = Path("vasp.out").exists()
            failure = label_failure(here, structure) if started else None
            if failure is None:
                raise
            logger.warning("atomate2 couldn't read %s: %s", Path.cwd(), failure, exc_info=True)


def finished(folder: Path, request: dict[str, Any]) -> bool:
    """Say whether VASP came to its own end here, on this very request."""
    if not same_request(folder, request):
        return False
    run = VaspRun(folder)
    return run.ended and not run.stopped


def good_label(folder: Path, request: dict[str, Any], frame: Frame, dft: VaspSettings) -> bool:
    """Say whether a label is here that needn't be computed again."""
    return finished(folder, request) and is_good(
        single_point(VaspRun(folder), frame, vasp_structure(frame), dft),
        frame,
        stress=dft.stress,
        settings_hash=hash_settings(describe(dft)),
        same_charge=SAME_CHARGE,
    )


def single_point(
    run: VaspRun, frame: Frame, structure: Structure, dft: VaspSettings
) -> SinglePoint:
    """Read a label with the facts that the quality gate judges, or why there is none."""
    failure = label_failure(run, structure)
    settings = found_settings(run, dft)
    common: dict[str, Any] = {
        "settings": settings,
        "settings_hash": hash_settings(settings),
        "engine": engine_of(run, dft),
        "wall_s": run.wall_s,
        "cores": run.cores,
        "directory": str(run.folder),
        "n_scf": run.n_scf or None,
        "scf_limit": run.scf_limit,
        "failure": failure,
    }
    if failure or run.vasprun is None:
        return SinglePoint(converged=False, **common)
    last, n_atoms = run.vasprun.ionic_steps[-1], len(frame.symbols)
    forces, stress = np.array(last.get("forces", ())), np.array(last.get("stress", ()))
    return SinglePoint(
        # Not the energy for sigma -> 0: the forces are the gradient of the free energy.
        energy=float(last["e_fr_energy"]),
        forces=in_frame_order(forces, frame.symbols).tolist()
        if forces.shape == (n_atoms, 3)
        else None,
        stress=stress_of(stress) if dft.stress and stress.shape == (3, 3) else None,
        converged=run.converged,
        symbols=in_frame_order(np.array(run.vasprun.atomic_symbols), frame.symbols).tolist(),
        charge=total_charge(run),
        magnetization=total_moment(run) if dft.spin_polarized else None,
        **common,
    )
