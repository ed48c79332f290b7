"""Images of a band as frames: unconverged or not, each lies on a hop."""

from __future__ import annotations

import hashlib

from ionloop.frame import Frame, HopTag, Origin, frame_hash
from ionloop.reference.schema import Band


def band_frames(
    band: Band, origin: Origin, generation: int, group: str, event: str | None = None
) -> list[Frame]:
    """Turn the images of a band into frames, each with its place on the hop.

    ``event`` names the hop; the group if None.
    """
    name = group if event is None else event
    return [
        Frame.from_atoms(
            atoms,
            charge=band.charge,
            origin=origin,
            generation=generation,
            group=group,
            hop=HopTag(ion=band.ion, progress=float(s), path_class=band.path_class, event=name),
        )
        for atoms, s in zip(band.to_atoms(), band.progress(), strict=True)
    ]


def reference_frames(band: Band, number: int) -> list[Frame]:
    """Return the images of a campaign's band; the event has a hash, so that no other band has it.

    Bands are numbered from 0 in every campaign, and labels of several may meet in one file.
    """
    group = f"neb-{number}"
    digest = hashlib.sha256(str(band.charge).encode())
    for atoms in band.to_atoms():
        hashed = frame_hash(
            atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, band.charge
        )
        digest.update(hashed.encode())
    return band_frames(band, Origin.NEB, 0, group, f"{group} {digest.hexdigest()[:8]}")
