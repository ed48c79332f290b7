"""Images of a band as frames: unconverged or not, each lies on a hop."""

from __future__ import annotations

from ionloop.frame import Frame, HopTag, Origin
from ionloop.reference.schema import Band


def band_frames(band: Band, origin: Origin, generation: int, group: str) -> list[Frame]:
    """Turn the images of a band into frames, each with its place on the hop."""
    return [
        Frame.from_atoms(
            atoms,
            charge=band.charge,
            origin=origin,
            generation=generation,
            group=group,
            hop=HopTag(ion=band.ion, progress=float(s), path_class=band.path_class, event=group),
        )
        for atoms, s in zip(band.to_atoms(), band.progress(), strict=True)
    ]
