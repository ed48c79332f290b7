"""The speed-up over the reference: a ratio of core-seconds, or why there is none."""

from __future__ import annotations

import pytest

from ionloop.evaluate.cost import cost_of
from ionloop.evaluate.speed_up import compare, speed_ups

LABELS = [100.0, 110.0, 120.0, 130.0, 140.0]
STEPS = [0.04, 0.045, 0.05, 0.055, 0.06]


def cost(name: str, seconds: list[float], cores: int | None, n_atoms: int = 40):
    return cost_of(seconds, n_atoms=n_atoms, name=name, cores=cores)


def test_cores_count_on_both_sides():
    (found,) = speed_ups(
        [cost("one MACE model", STEPS, 2), cost("reference (cp2k 2023.1)", LABELS, 16)]
    )
    assert (found.over, found.n_atoms, found.missing) == ("DFT", 40, None)
    assert found.ratio == pytest.approx(120 * 16 / (0.05 * 2))
    assert found.quartiles == pytest.approx((110 * 8 / 0.055, 130 * 8 / 0.045))


def test_a_teacher_is_no_dft():
    (found,) = speed_ups(
        [cost("one MACE model", STEPS, 1), cost("reference (lammps 2025)", [1e-3] * 5, 1)]
    )
    assert found.over == "the reference"
    assert found.ratio == pytest.approx(0.02)  # the model is slower, and that is said


@pytest.mark.parametrize(
    ("model", "reference", "why"),
    [
        ((STEPS, 1, 40), (LABELS, 1, 80), "timed on 40 and on 80 atoms"),
        ((STEPS, None, 40), (LABELS, 1, 40), "a GPU: one MACE model"),
        ((STEPS, 1, 40), (LABELS, None, 40), "a GPU: reference (vasp 6.4)"),
        ((STEPS, 1, 40), ([0.0] * 5, 1, 40), "no wall times"),
    ],
)
def test_what_wasnt_measured_alike_has_no_ratio(model, reference, why):
    found = compare(cost("one MACE model", *model), cost("reference (vasp 6.4)", *reference))
    assert (found.ratio, found.quartiles) == (None, None)
    assert why in found.missing


def test_few_times_have_no_interval():
    found = compare(cost("m", STEPS, 1), cost("reference (vasp 6.4)", LABELS[:3], 4))
    assert found.ratio == pytest.approx(110 * 4 / 0.05)
    assert found.quartiles is None


def test_without_a_reference_there_is_nothing_to_compare():
    assert speed_ups([cost("one MACE model", STEPS, 1)]) == []
