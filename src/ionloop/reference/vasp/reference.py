"""VASP as the reference: labels, molecular dynamics and bands by atomate2's Makers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from jobflow import Flow, Job
from pymatgen.core import Structure

from ionloop.frame import Frame
from ionloop.reference.base import Reference
from ionloop.reference.vasp.inputs import IonicVaspMdSet, IonicVaspSet
from ionloop.reference.vasp.makers import VaspStaticMaker
from ionloop.reference.vasp.md import VaspMdMaker
from ionloop.reference.vasp.neb import vasp_band_flow
from ionloop.reference.vasp.potcars import bind, check_potcars
from ionloop.reference.vasp.runs import vasp_command
from ionloop.reference.vasp.settings import AimdSettings, VaspSettings, describe
from ionloop.seed.schema import Hop
from ionloop.settings import get_settings


@dataclass
class VaspReference(Reference):
    """VASP with plane waves, as :mod:`~ionloop.reference.vasp.settings` says.

    Parameters
    ----------
    dft
        The settings that decide the numbers.
    aimd
        Cheaper settings of molecular dynamics, whose frames are always labelled by `dft`.
    climb
        Climbing-image bands; VASP must be built with the VTST tools.
    """

    name: str = "vasp"
    dft: VaspSettings = field(default_factory=VaspSettings)  # type: ignore[arg-type]
    aimd: AimdSettings = field(default_factory=AimdSettings)  # type: ignore[arg-type]
    climb: bool = True

    def __post_init__(self) -> None:
        """Rebuild the settings from their dictionaries, as jobflow stores them."""
        if isinstance(self.dft, dict):
            self.dft = VaspSettings(**self.dft)
        if isinstance(self.aimd, dict):
            self.aimd = AimdSettings(**self.aimd)

    def as_dict(self) -> dict[str, Any]:
        """Serialize, the settings as plain dictionaries."""
        return {
            **super().as_dict(),
            "dft": self.dft.model_dump(mode="json"),
            "aimd": self.aimd.model_dump(mode="json"),
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The settings, with hashes of the POTCARs once it is bound to a material."""
        return describe(self.dft)

    @property
    def has_stress(self) -> bool:
        """Whether the settings ask for stress."""
        return self.dft.stress

    @property
    def cheap(self) -> bool:
        """False: minutes a step."""
        return False

    def isolated_atom_energies(self, symbols: list[str]) -> dict[str, float] | None:
        """Return 0 for each: VASP counts energies from the POTCARs' own atoms.

        Those are spherical and without spin, which is of no matter in a solid. None for
        r2SCAN, whose energies PBE's POTCARs shift by many eV: state them in the profile.
        """
        return None if self.dft.functional == "r2SCAN" else dict.fromkeys(symbols, 0.0)

    def static(self, frames: list[Frame]) -> Job:
        """Make a job of static calculations; see :class:`VaspStaticMaker`."""
        generator = IonicVaspSet(dft=self.dft)
        maker = VaspStaticMaker(name=f"{self.name} static", input_set_generator=generator)
        return maker.make(frames)

    def md(
        self,
        frame: Frame,
        *,
        temperature: float,
        n_steps: int,
        time_step: float,
        store_every: int,
        seed: int,
        group: str,
    ) -> Job:
        """Make a job of molecular dynamics; see :class:`VaspMdMaker`."""
        run = {
            "temperature": temperature, "n_steps": n_steps, "time_step": time_step, "seed": seed
        }  # fmt: skip
        aimd = self.aimd.model_dump(mode="json")
        generator = IonicVaspMdSet(dft=self.dft, charge=frame.charge, aimd=aimd, run=run)
        maker = VaspMdMaker(name=f"{self.name} md", input_set_generator=generator)
        return maker.make(frame, group, store_every)

    def neb(self, hop: Hop, *, n_images: int, fmax: float, max_steps: int) -> Flow:  # type: ignore[override]
        """Make a flow that relaxes a band; see :mod:`~ionloop.reference.vasp.neb`."""
        flow = vasp_band_flow(
            hop, self.dft, n_images=n_images, fmax=fmax, max_steps=max_steps, climb=self.climb
        )
        flow.name = f"{self.name} neb"
        return flow

    def bind(self, structure: Structure) -> Self:
        """Return it with the POTCARs of a structure, their hashes, and one k-point mesh.

        Raises
        ------
        ReferenceSetupError
            If a POTCAR isn't there, is another element's, or needs a higher cut-off.
        """
        return replace(self, dft=bind(self.dft, structure))

    def check(self, structure: Structure) -> None:
        """Check programs and POTCARs.

        Raises
        ------
        ReferenceSetupError
            If one is missing, or a POTCAR isn't the one that the settings name.
        """
        settings = get_settings()
        vasp_command(settings.vasp_cmd, "IONLOOP_VASP_CMD")
        if settings.vasp_neb_cmd:
            vasp_command(settings.vasp_neb_cmd, "IONLOOP_VASP_NEB_CMD")
        check_potcars(structure, self.dft)
