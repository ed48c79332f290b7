from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from ionloop.frame import Origin
from ionloop.train.calibration import calibrate
from ionloop.train.dataset import Sample, Tags
from ionloop.train.foresight import foresight
from ionloop.train.schema import Foresight

N_MEMBERS, N_IONS = 4, 20


def frames(n: int, origin: Origin, error: float, rng: np.random.Generator) -> list[tuple]:
    """Labels and a committee's forces: each member is off by as much, times ``error``."""
    found = []
    for k in range(n):
        atoms = Atoms("Li" * N_IONS + "O", positions=rng.uniform(0, 9, (N_IONS + 1, 3)))
        truth = rng.normal(size=(N_IONS + 1, 3))
        sigma = rng.uniform(0.02, 0.2, (N_IONS + 1, 1))
        shared = error * sigma * rng.normal(size=truth.shape)
        members = truth + shared + sigma * rng.normal(size=(N_MEMBERS, *truth.shape))
        atoms.arrays["REF_forces"] = truth
        tags = Tags(origin, 1, f"{origin} {k}")
        found.append((Sample(tags, f"{origin}{k}", None, atoms), members))
    return found


def calibration(rng: np.random.Generator, error: float = 1.0):
    pairs = frames(60, Origin.AIMD, error, rng)
    ions = np.arange(N_IONS)
    return calibrate(
        [f for _, f in pairs], [x.atoms.arrays["REF_forces"] for x, _ in pairs],
        [ions] * len(pairs), generation=0, held_out="made up",
    )  # fmt: skip


def looked_at(parts: list[tuple], seed: int = 0) -> Foresight:
    rng = np.random.default_rng(seed)
    return foresight([x for x, _ in parts], [f for _, f in parts], calibration(rng), "Li", 1, rng)


def test_bounds_hold_where_frames_are_like_those_of_the_calibration():
    rng = np.random.default_rng(3)
    found = looked_at(frames(60, Origin.RANDOM, 1.0, rng))
    assert [x.origin for x in found.origins] == ["all", "random"]
    for one in found.origins:
        assert 0.85 < one.coverage_90 < 0.95
        assert one.interval[0] < 0.9 < one.interval[1]
        assert one.error_ratio == pytest.approx(1.0, abs=0.1)
        assert one.warning is None
        assert (one.n_frames, one.n_ions) == (60, 60 * N_IONS)


@pytest.mark.parametrize(
    ("error", "said"),
    [(3.0, "errors are larger than the committee says"), (0.1, "errors are smaller")],
)
def test_an_origin_that_leaves_the_band_is_warned_about(error, said):
    rng = np.random.default_rng(4)
    parts = [*frames(30, Origin.RANDOM, 1.0, rng), *frames(30, Origin.SADDLE, error, rng)]
    by_origin = {x.origin: x for x in looked_at(parts).origins}
    assert list(by_origin) == ["all", "random", "saddle"]
    assert by_origin["random"].warning is None
    assert said in by_origin["saddle"].warning


@pytest.mark.parametrize("error", [0.01, 30.0])
def test_few_frames_warn_of_nothing(error):
    """All errors may be within the bound of a handful of frames, or none: that's no proof."""
    rng = np.random.default_rng(5)
    for n, known in ((1, False), (2, False), (4, False), (5, True), (9, True)):
        (_, one) = looked_at(frames(n, Origin.HOP, error, rng)).origins
        assert (one.interval is not None) is known
        assert one.warning is None
    (_, enough) = looked_at(frames(10, Origin.HOP, error, rng)).origins
    assert enough.warning


def test_no_label_is_no_origin():
    assert looked_at([]).origins == []
