"""A committee whose errors are known must be found to know them as well as it does."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.evaluate.held_out import Predicted, judge_labels
from ionloop.evaluate.uncertainty import uncertainty_quality
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.train.calibration import calibrate, ion_spread
from ionloop.train.schema import Calibration

MEMBERS, ATOMS = 4, 10


def labelled(rng, group, origin=Origin.RANDOM, honest=True):
    """A label and members' forces about it: errors grow with the spread if they are honest."""
    symbols = ["Li"] * (ATOMS - 2) + ["O", "Cl"]
    frame = Frame(
        symbols=symbols, positions=rng.uniform(0, 8, size=(ATOMS, 3)).tolist(),
        cell=(8 * np.eye(3)).tolist(), origin=origin, group=group,
    )  # fmt: skip
    truth = rng.normal(size=(ATOMS, 3))
    size = rng.gamma(2, 0.05, size=(ATOMS, 1))
    wrong = size if honest else 4 * rng.permutation(size)
    members = truth + wrong * rng.normal(size=(ATOMS, 3)) + size * rng.normal(
        size=(MEMBERS, ATOMS, 3)
    )  # fmt: skip
    label = Label(
        frame=frame, frame_hash=frame.frame_hash, energy=-1.0, forces=truth.tolist(),
        settings_hash="x", engine="test", wall_s=0.0, directory="",
    )  # fmt: skip
    return label, members


def pool(rng, n_groups, per_group=6, **how):
    made = [labelled(rng, f"g{g}", **how) for g in range(n_groups) for _ in range(per_group)]
    return [label for label, _ in made], [forces for _, forces in made]


def calibration(rng, **how) -> Calibration:
    labels, forces = pool(rng, 40, **how)
    ions = [np.arange(ATOMS - 2)] * len(labels)
    truths = [np.array(x.forces) for x in labels]
    return calibrate(forces, truths, ions, generation=0, held_out="made")


def test_an_honest_committee_is_found_to_be_one():
    rng = np.random.default_rng(0)
    known = calibration(rng)
    (found, _) = uncertainty_quality(*pool(rng, 30), known, "Li", rng)
    assert (found.origin, found.n_frames, found.n_groups) == ("all", 180, 30)
    assert found.n_ions == 180 * (ATOMS - 2)
    assert found.coverage_90.value == pytest.approx(0.9, abs=0.03)
    assert found.coverage_90.interval[0] < 0.9 < found.coverage_90.interval[1]
    assert found.error_ratio.value == pytest.approx(1.0, abs=0.1)
    assert found.miscalibration.value < 0.1
    assert found.spearman.value > 0.4
    assert found.auroc.value > 0.7


def test_spread_that_knows_nothing_is_told():
    rng = np.random.default_rng(1)
    known = calibration(rng)
    (found, _) = uncertainty_quality(*pool(rng, 30, honest=False), known, "Li", rng)
    low, high = found.spearman.interval
    assert low < found.spearman.value < high < 0.2
    assert found.auroc.interval[0] < 0.6


def test_members_that_agree_too_much_are_overconfident():
    rng = np.random.default_rng(2)
    known = calibration(rng)
    labels, forces = pool(rng, 20)
    shrunk = [f.mean(axis=0) + 0.3 * (f - f.mean(axis=0)) for f in forces]
    (found, _) = uncertainty_quality(labels, shrunk, known, "Li", rng)
    assert found.coverage_90.interval[1] < 0.7
    assert found.miscalibration.interval[0] > 0.2
    assert found.error_ratio.value == pytest.approx(1 / 0.3, rel=0.15)


def test_origins_are_told_apart_and_only_mobile_ions_count():
    rng = np.random.default_rng(3)
    known = calibration(rng)
    plain, hops = pool(rng, 5), pool(rng, 1, origin=Origin.HOP)
    for forces in (*plain[1], *hops[1]):
        forces[:, -2:] += 100.0  # of the framework
    found = uncertainty_quality(plain[0] + hops[0], plain[1] + hops[1], known, "Li", rng)
    assert [one.origin for one in found] == ["all", "hop", "random"]
    assert [one.n_groups for one in found] == [5, 1, 5]  # the hops lie in one of the same runs
    assert found[1].coverage_90.interval is None
    assert found[2].coverage_90.value > 0.7
    assert uncertainty_quality(plain[0], plain[1], known, "Na", rng) == []


def test_whole_trajectories_are_drawn():
    """Frames that are copies of one another make no interval narrower."""
    rng = np.random.default_rng(4)
    known = calibration(rng)
    labels, forces = pool(rng, 8, per_group=1)
    widths = []
    for copies in (1, 12):
        (found, _) = uncertainty_quality(
            labels * copies, forces * copies, known, "Li", np.random.default_rng(5)
        )
        low, high = found.error_ratio.interval
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0], rel=1e-6)


def test_one_model_or_no_calibration_is_said():
    rng = np.random.default_rng(6)
    labels, forces = pool(rng, 3)

    def judged(known, members=MEMBERS):
        some = [f[:members] for f in forces]
        energies = np.full((len(labels), members), -1.0)
        found = Predicted(energies, some, [None] * len(labels))
        return judge_labels(labels, found, rng, mobile_ion="Li", calibration=known)

    known = calibration(rng)
    assert judged(known).uncertainty[0].n_frames == 18
    assert judged(known).uncertainty_missing is None
    assert judged(known, members=1).uncertainty_missing == "one model has no spread"
    assert "no calibration" in judged(None).uncertainty_missing
    nothing = judge_labels([], Predicted(np.array([]), [], []), rng, mobile_ion="Li",
                           calibration=known)  # fmt: skip
    assert nothing.uncertainty_missing == "there are no held-out labels"
    assert np.allclose(ion_spread(forces[0], np.arange(2)), ion_spread(forces[0][:, :2], [0, 1]))
