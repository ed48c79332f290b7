from __future__ import annotations

import math

import numpy as np
import pytest

from ionloop.train.calibration import SIGMA_FLOOR, calibrate, conformal_scale, ion_spread
from ionloop.train.schema import Calibration

N_FRAMES, N_IONS, N_MEMBERS = 40, 20, 4


def gaussian(
    rng: np.random.Generator, *, shrink: float = 1.0, sigma: float = 0.2, n_frames: int = N_FRAMES
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """A committee whose members scatter about a mean as the truth does; known answer.

    Every ion has its own sigma; ``shrink`` narrows the members alone.
    """
    forces, truths, mobile = [], [], []
    for _ in range(n_frames):
        mean = rng.normal(size=(N_IONS, 3))
        own = sigma * rng.uniform(0.5, 2.0, size=(N_IONS, 1))
        scatter = rng.normal(size=(N_MEMBERS, N_IONS, 3))
        scatter -= scatter.mean(axis=0)  # the committee's mean is then exactly `mean`
        forces.append(mean + shrink * own * scatter)
        truths.append(mean + own * rng.normal(size=(N_IONS, 3)))
        mobile.append(np.arange(N_IONS))
    return forces, truths, mobile


def calibration(seed: int, **fields: float) -> Calibration:
    data = gaussian(np.random.default_rng(seed), **fields)
    return calibrate(*data, generation=1, held_out="made up")


def test_ion_spread_is_the_sample_deviation_of_force_vectors():
    forces = np.random.default_rng(0).normal(size=(5, 7, 3))
    ions = np.array([1, 4, 6])
    expected = np.sqrt(forces[:, ions].var(axis=0, ddof=1).sum(axis=1))
    assert ion_spread(forces, ions) == pytest.approx(expected, rel=1e-12)
    # Two members d apart along one axis: variance d²/2.
    two = np.zeros((2, 1, 3))
    two[1, 0, 0] = 0.4
    assert ion_spread(two, np.array([0])) == pytest.approx([0.4 / math.sqrt(2)])


def test_a_right_committee_has_scale_1_and_covers_90_percent():
    # 800 ions x 3 components: the RMS ratio is known to about 3 %.
    found = [calibration(seed) for seed in range(8)]
    assert [c.scale for c in found] == pytest.approx([1.0] * 8, abs=0.1)
    assert np.mean([c.scale for c in found]) == pytest.approx(1.0, abs=0.03)
    assert all(0.85 < c.coverage_90 < 0.95 for c in found)


@pytest.mark.parametrize("shrink", [1 / 3, 0.1])
def test_an_overconfident_committee_is_scaled_up(shrink):
    found = [calibration(seed, shrink=shrink) for seed in range(4)]
    assert np.mean([c.scale for c in found]) * shrink == pytest.approx(1.0, abs=0.05)
    assert all(0.85 < c.coverage_90 < 0.95 for c in found)  # the bound widens with it
    # What comes out is calibrated: spread times scale is the RMS error, bin by bin.
    for spread, error in found[0].curve:
        assert 0.6 < error / spread < 1.6


def test_the_90_percent_bound_covers_new_frames():
    hits = []
    for seed in range(6):
        scale = calibration(seed, shrink=0.5).scale_90
        forces, truths, mobile = gaussian(np.random.default_rng(100 + seed), shrink=0.5)
        for f, t, m in zip(forces, truths, mobile, strict=True):
            hits += list(np.linalg.norm(f.mean(axis=0) - t, axis=1) <= scale * ion_spread(f, m))
    assert np.mean(hits) == pytest.approx(0.9, abs=0.02)


def test_thresholds_follow_the_worst_ion_of_a_frame():
    forces, truths, mobile = gaussian(np.random.default_rng(3), sigma=0.035)
    c = calibrate(forces, truths, mobile, generation=0, held_out="x")
    error = [
        np.linalg.norm(f.mean(axis=0) - t, axis=1) for f, t in zip(forces, truths, strict=True)
    ]
    worst = math.sqrt(np.mean([e.max() ** 2 for e in error]))
    assert c.sigma_lo == pytest.approx(1.2 * worst)
    assert c.sigma_hi == pytest.approx(max(3.6 * worst, 1.2 * worst + 0.3))
    assert c.rmse_forces == pytest.approx(math.sqrt(np.mean(np.square(np.concatenate(error))) / 3))
    assert (c.n_frames, c.n_ions, c.generation) == (N_FRAMES, N_FRAMES * N_IONS, 0)
    tiny = calibration(3, sigma=1e-3)
    assert tiny.sigma_lo == 0.05
    assert tiny.sigma_hi == pytest.approx(0.35)
    # A poor committee can't trust itself.
    poor = calibration(3, sigma=1.0)
    assert (poor.sigma_lo, poor.sigma_hi) == (0.25, 0.75)


def test_only_mobile_ions_count():
    forces, truths, _ = gaussian(np.random.default_rng(4))
    mobile = [np.arange(5)] * N_FRAMES
    right = calibrate(forces, truths, mobile, generation=0, held_out="x")
    for f in forces:
        f[:, 5:] += 100.0  # the cage is wrong by far, and nobody looks
    assert calibrate(forces, truths, mobile, generation=0, held_out="x") == right
    assert right.n_ions == 5 * N_FRAMES


def test_members_that_agree_entirely_give_finite_numbers():
    forces, truths, mobile = gaussian(np.random.default_rng(5), shrink=0.0)
    c = calibrate(forces, truths, mobile, generation=0, held_out="x")
    assert c.scale == pytest.approx(math.sqrt(3) * c.rmse_forces / SIGMA_FLOOR)
    assert math.isfinite(c.scale_90)


def test_one_frame_has_no_coverage():
    assert math.isnan(calibration(0, n_frames=1).coverage_90)
    assert 0 <= calibration(0, n_frames=2).coverage_90 <= 1


def test_the_curve_has_bins_of_equal_count():
    c = calibration(6)
    assert len(c.curve) == 8
    assert [s for s, _ in c.curve] == sorted(s for s, _ in c.curve)


@pytest.mark.parametrize(
    ("n", "level", "rank"),
    [
        (1, 0.9, 1),  # fewer than 9: the largest ratio, though it can't promise 90 %
        (5, 0.9, 5),
        (9, 0.9, 9),
        (10, 0.9, 10),
        (19, 0.9, 18),
        (39, 0.9, 36),
        (69, 0.9, 63),
        (99, 0.9, 90),
        (19, 0.5, 10),
    ],
)
def test_the_conformal_rank(n, level, rank):
    ratios = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert conformal_scale(ratios, level) == rank


def test_no_rank_is_off_by_rounding():
    for n in range(9, 2000, 10):
        assert conformal_scale(np.arange(1.0, n + 1), 0.9) == (n + 1) * 9 // 10
