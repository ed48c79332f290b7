"""Errors along the reference's bands: of every image, where a barrier asks for the highest alone.

Images are the reference's own, so that both are asked for the same atoms. That the committee
learned of them is likely: they are among the first labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ionloop.evaluate.accuracy_schema import BandErrors
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.reference.schema import Band
from ionloop.seed.bands import reference_frames

#: Images nearer than this along a hop are those of two bands.
SAME_PLACE = 1e-3


@dataclass(frozen=True)
class _Image:
    """One labelled image of a band, and what the models say of it."""

    label: Label
    ion: int
    energies: np.ndarray
    forces: np.ndarray

    @property
    def progress(self) -> float:
        """Place along the hop."""
        return 0.0 if self.label.frame.hop is None else self.label.frame.hop.progress


def band_frames_of(bands: Sequence[Band]) -> dict[str, list[Frame]]:
    """Return the images of the reference's bands by the hash that their labels have.

    Bands may share an image, as the cell that they all start from.
    """
    found: dict[str, list[Frame]] = {}
    for i, band in enumerate(bands):
        for frame in reference_frames(band, i):
            found.setdefault(frame.frame_hash, []).append(frame)
    return found


def on_bands(labels: Iterable[Label], frames: dict[str, list[Frame]]) -> list[Label]:
    """Return the labels of these images, each once for every band, with its place on it."""
    return [
        label.model_copy(update={"frame": frame})
        for label in labels
        for frame in frames.get(label.frame_hash, [])
    ]


def band_errors(
    labels: Sequence[Label], energies: np.ndarray, forces: Sequence[np.ndarray]
) -> list[BandErrors]:
    """Compare models with labels along bands, by class of the hop.

    Energies are relative to the labelled image of a band that comes first along it, for models
    and reference alike: what all images have in common, as the background of charged cells,
    drops out.

    Parameters
    ----------
    labels
        Labels; those of origin ``neb`` that lie on a hop count. Bands are told apart by
        ``hop.event`` and by the ion, the atoms, cell, charge and settings of their labels.
    energies
        Members' energies of each label's frame, shape [n, k], eV; or [n, 1], their mean.
    forces
        Members' forces on each, [k, n_atoms, 3], eV/Å.

    Returns
    -------
    list[BandErrors]
        By class; a band of which fewer than two images have a label is left out, and so is one
        that :func:`unclear_bands` counts.
    """
    bands: dict[_Key, dict[str, _Image]] = {}
    for label, energy, force in zip(labels, energies, forces, strict=True):
        key = _band_of(label)
        if key is not None:
            image = _Image(label, key.ion, np.asarray(energy), np.asarray(force))
            bands.setdefault(key, {})[label.frame_hash] = image
    whole: dict[str, list[list[_Image]]] = {}
    for key, images in bands.items():
        ordered = sorted(images.values(), key=lambda image: image.progress)
        if len(ordered) > 1 and not _is_mixed([image.progress for image in ordered]):
            whole.setdefault(key.path_class, []).append(ordered)
    return [_of_class(name, found) for name, found in sorted(whole.items())]


def unclear_bands(labels: Iterable[Label]) -> int:
    """Count the bands that may be several, since they have two images at one place.

    So are labels of two campaigns of one material in one file from before events had hashes: each
    has a band of that name.
    """
    places: dict[_Key, dict[str, float]] = {}
    for label in labels:
        key = _band_of(label)
        if key is not None and label.frame.hop is not None:
            places.setdefault(key, {})[label.frame_hash] = label.frame.hop.progress
    return sum(_is_mixed(list(found.values())) for found in places.values())


@dataclass(frozen=True)
class _Key:
    """What the images of one band have in common."""

    path_class: str
    event: str
    ion: int
    symbols: tuple[str, ...]
    cell: tuple[float, ...]
    charge: int
    settings_hash: str


def _band_of(label: Label) -> _Key | None:
    """Return the band that a label lies on, if any."""
    frame, hop = label.frame, label.frame.hop
    if frame.origin is not Origin.NEB or hop is None or label.energy is None:
        return None
    cell = tuple(np.round(np.ravel(frame.cell), 4).tolist())
    symbols = tuple(frame.symbols)
    return _Key(
        hop.path_class, hop.event, hop.ion, symbols, cell, frame.charge, label.settings_hash
    )


def _is_mixed(progress: Sequence[float]) -> bool:
    """Whether two images lie at one place along a hop."""
    return bool((np.diff(np.sort(progress)) < SAME_PLACE).any())


def _of_class(name: str, bands: Sequence[Sequence[_Image]]) -> BandErrors:
    relative = [_relative(band) for band in bands]
    wrong = np.concatenate([models.mean(axis=1) - truth for truth, models in relative])
    members = np.concatenate([models for _, models in relative])
    images = [image for band in bands for image in band]
    truths = [np.array(image.label.forces) for image in images]
    off = [image.forces.mean(axis=0) - truth for image, truth in zip(images, truths, strict=True)]
    ions = np.array([force[image.ion] for force, image in zip(off, images, strict=True)])
    several = members.shape[1] > 1
    return BandErrors(
        path_class=name,
        n_bands=len(bands),
        n_images=len(images),
        energy_rmse=_rms(wrong),
        energy_max=float(wrong[np.argmax(np.abs(wrong))]),
        energy_spread=_rms(members.std(axis=1, ddof=1)) if several else None,
        rmse_forces=_rms(np.concatenate(off)),
        rmse_ion=_rms(ions),
        rms_reference=_rms(np.concatenate(truths)),
    )


def _relative(band: Sequence[_Image]) -> tuple[np.ndarray, np.ndarray]:
    """Return reference and members' energies above the first image, [m] and [m, k], eV."""
    truth = np.array([image.label.energy for image in band], float)
    models = np.array([image.energies for image in band])
    return truth[1:] - truth[0], models[1:] - models[0]


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
