"""Images of a band become frames that know where on the hop they are."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.frame import Origin
from ionloop.reference.schema import Band
from ionloop.seed.bands import band_frames

CELL = 10.0


@pytest.fixture
def band() -> Band:
    """The ion goes 1, 1 and 2 Å, over the cell's edge; the other atom stays."""
    path = [8.0, 9.0, 10.0 - CELL, 2.0]
    return Band(
        symbols=["O", "Li"],
        cell=(CELL * np.eye(3)).tolist(),
        charge=-1,
        images=[[[5.0, 5.0, 5.0], [x, 0.0, 0.0]] for x in path],
        energies=[0.0, 0.1, 0.3, 0.1],
        ion=1,
        path_class="Li-Li 4.00 A #0",
        hop_distance=4.0,
        converged=False,
        fmax=0.05,
        n_force_calls=9,
        engine="e",
        settings_hash="s",
        wall_s=1.0,
    )


def test_each_image_is_a_frame_with_its_place(band: Band) -> None:
    frames = band_frames(band, Origin.SADDLE, 3, "saddle-1")
    assert len(frames) == 4
    assert [frame.hop.progress for frame in frames] == pytest.approx([0, 0.25, 0.5, 1])
    for frame, image in zip(frames, band.images, strict=True):
        assert frame.positions == image
        assert (frame.symbols, frame.cell, frame.charge) == (band.symbols, band.cell, -1)
        assert (frame.origin, frame.generation, frame.group) == (Origin.SADDLE, 3, "saddle-1")
        assert (frame.hop.ion, frame.hop.path_class) == (1, band.path_class)
        assert frame.hop.event == "saddle-1"
        assert frame.temperature is None


def test_the_barrier_is_from_the_first_image(band: Band) -> None:
    assert band.barrier == pytest.approx(0.3)
