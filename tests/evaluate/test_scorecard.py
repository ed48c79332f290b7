"""Only like paths are compared, and the easiest hop is the one reported."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.evaluate.schema import BarrierComparison
from ionloop.evaluate.scorecard import compare_barriers, doubts, lowest_barrier
from ionloop.explore.schema import BandSet
from ionloop.reference.schema import Band


def band(path_class, barrier, *, converged=True, n_images=1, fmax=0.05):
    return Band(
        symbols=["Li"],
        cell=np.eye(3).tolist(),
        images=np.zeros((n_images + 2, 1, 3)).tolist(),
        energies=[0.0, *[barrier] * n_images, 0.0],
        ion=0,
        path_class=path_class,
        hop_distance=2.8,
        converged=converged,
        fmax=fmax,
        n_force_calls=1,
        engine="test",
        settings_hash="x",
        wall_s=0.0,
    )


def band_set(barriers, spread, bands=()):
    return BandSet(
        generation=1,
        bands=list(bands),
        barriers=barriers,
        barrier_spread=spread,
        frames=[],
        n_unphysical=0,
        wall_s=0.0,
    )


def test_pairs_by_class_and_keeps_the_unpaired():
    model = band_set({"a": 0.5, "b": 0.31, "new": 0.1}, {"a": 0.02, "b": 0.01})
    found = compare_barriers(model, [band("a", 0.48), band("b", 0.33), band("c", 0.9)])
    assert [(p.path_class, p.model, p.reference) for p in found] == [
        ("b", 0.31, pytest.approx(0.33)),
        ("a", 0.5, pytest.approx(0.48)),
        ("c", None, pytest.approx(0.9)),
        ("new", 0.1, None),
    ]
    assert [p.model_spread for p in found] == [0.01, 0.02, None, None]


def test_a_converged_band_goes_before_a_lower_one_that_is_not():
    bands = [band("a", 0.2, converged=False), band("a", 0.4), band("a", 0.35)]
    assert compare_barriers(None, bands)[0].reference == pytest.approx(0.35)
    assert compare_barriers(None, bands[:1])[0].reference == pytest.approx(0.2)


def test_a_pair_says_how_it_was_computed_and_whether_it_converged():
    own = band("a", 0.5, converged=False, n_images=5)
    (pair,) = compare_barriers(
        band_set({"a": 0.5}, {}, [own]), [band("a", 0.4, n_images=3, fmax=0.1)]
    )
    assert (pair.model_converged, pair.reference_converged) == (False, True)
    assert pair.estimator == (
        "CI-NEB, 5 images, fmax 0.05 eV/Å (model) / 3 images, fmax 0.1 eV/Å (reference)"
    )
    assert doubts(pair) == ["the model's band didn't converge"]
    (alone,) = compare_barriers(None, [band("a", 0.4, converged=False)])
    assert (alone.model_converged, alone.reference_converged) == (None, False)
    assert alone.estimator == "CI-NEB, 1 images, fmax 0.05 eV/Å (reference)"
    assert doubts(alone) == ["the reference's band didn't converge"]


def test_what_is_not_known_to_have_converged_is_doubtful():
    old = BarrierComparison(path_class="a", model=0.1, model_spread=None, reference=None)
    assert doubts(old) == ["the model's band isn't known to have converged"]


def test_lowest_barrier_prefers_hops_that_both_computed():
    def pair(name, model, reference):
        return BarrierComparison(
            path_class=name, model=model, model_spread=None, reference=reference
        )

    pairs = [pair("a", 0.1, None), pair("b", 0.4, 0.5), pair("c", 0.6, 0.45), pair("d", None, 0.2)]
    assert lowest_barrier(pairs).path_class == "c"
    assert lowest_barrier([pairs[0], pairs[3]]).path_class == "a"
    assert lowest_barrier([pair("e", None, None)]) is None
