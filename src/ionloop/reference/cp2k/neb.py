"""Bands with CP2K, which atomate2 lacks: ASE's over ``cp2k_shell``, as one job."""

from __future__ import annotations

from pathlib import Path

from jobflow import job

from ionloop.document import DATA_FIELDS
from ionloop.reference.base import hash_settings
from ionloop.reference.cp2k.settings import Cp2kSettings, describe
from ionloop.reference.cp2k.shell import Cp2kShell, shell_calculator
from ionloop.reference.neb import relax_band
from ionloop.reference.runs import wait_out
from ionloop.reference.schema import Band
from ionloop.seed.schema import Hop
from ionloop.settings import get_settings


@job(data=DATA_FIELDS)
def cp2k_band(hop: Hop, dft: Cp2kSettings, *, n_images: int, fmax: float, max_steps: int) -> Band:
    """Relax a hop's ends and its climbing-image band with CP2K."""
    wait_out(get_settings().cp2k_wall_time_s)
    shells: list[Cp2kShell] = []

    def make_calculator(i: int) -> Cp2kShell:
        shells.append(shell_calculator(hop.start, dft, f"image_{i:02d}_{len(shells):02d}"))
        return shells[-1]

    try:
        return relax_band(
            hop,
            make_calculator,
            n_images=n_images,
            fmax=fmax,
            max_steps=max_steps,
            engine=f"cp2k {dft.version}",
            settings_hash=hash_settings(describe(dft)),
            checkpoint=Path("band.extxyz"),
        )
    finally:
        for shell in shells:
            shell.close()
