from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from ionloop.errors import TrainingError
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.train.dataset import (
    Sample,
    bootstrap_weights,
    held_out,
    split_by_group,
    to_training_atoms,
    trained_from,
)
from ionloop.train.jobs import partition


def label(i: int, origin: Origin, group: str, generation: int = 0, **fields: object) -> Label:
    """Label number i; its position makes its hash."""
    frame = Frame(
        symbols=["Li"],
        positions=[[0.001 * i, 0.0, 0.0]],
        cell=(30.0 * np.eye(3)).tolist(),
        origin=origin,
        group=group,
        generation=generation,
        **fields,
    )
    return Label(
        frame=frame,
        frame_hash=frame.frame_hash,
        energy=-1.0 - i,
        forces=[[0.1, 0.2, 0.3]],
        stress=(0.01 * np.eye(3)).tolist(),
        settings_hash="s",
        engine="test",
        wall_s=1.0,
        directory=".",
    )


def campaign(n_generations: int) -> list[Label]:
    """Seeds of four trajectories; then runs whose frames have three origins, and a band each."""
    labels = [label(10 * t + i, Origin.AIMD, f"aimd-{t}") for t in range(4) for i in range(6)]
    labels += [label(100 + i, Origin.RATTLE, f"rattle-{i}") for i in range(5)]
    origins = [Origin.HOP] * 4 + [Origin.UNCERTAIN] * 2 + [Origin.RANDOM]
    for g in range(1, n_generations):
        for run in range(3):
            labels += [
                label(1000 * g + 20 * run + i, origin, f"explore-{g - 1}-{run}", g)
                for i, origin in enumerate(origins)
            ]
        labels += [label(1000 * g + 100 + i, Origin.SADDLE, f"saddle-{g}", g) for i in range(3)]
    return labels


def hashes(labels: list[Label]) -> set[str]:
    return {x.frame_hash for x in labels}


def groups(labels: list[Label]) -> set[str]:
    return {x.frame.group for x in labels}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fraction", [0.05, 0.12, 0.5, 1.0])
def test_a_split_cuts_no_group_and_keeps_a_group_of_every_origin(seed, fraction):
    labels = campaign(3)
    train, valid = split_by_group(labels, fraction, np.random.default_rng(seed))
    assert train
    assert valid
    assert not groups(train) & groups(valid)
    assert hashes(train) | hashes(valid) == hashes(labels)
    assert len(train) + len(valid) == len(labels)
    assert {x.frame.origin for x in train} == {x.frame.origin for x in labels}


def test_a_split_takes_its_fraction_from_several_origins():
    labels = [
        label(100 * k + i, origin, f"{origin}-{i // 2}")
        for k, origin in enumerate([Origin.AIMD, Origin.NEB, Origin.RATTLE])
        for i in range(40)
    ]
    _, valid = split_by_group(labels, 0.1, np.random.default_rng(0))
    assert len(valid) == 12
    assert {x.frame.origin for x in valid} == {Origin.AIMD, Origin.NEB, Origin.RATTLE}


def test_a_split_is_drawn_at_random_and_repeats_with_its_seed():
    labels = campaign(1)
    drawn = [
        frozenset(groups(split_by_group(labels, 0.2, np.random.default_rng(seed))[1]))
        for seed in range(20)
    ]
    assert len(set(drawn)) > 3
    assert frozenset(groups(split_by_group(labels, 0.2, np.random.default_rng(3))[1])) == drawn[3]


def test_labels_of_one_origin_keep_most_of_their_groups_for_training():
    labels = [label(10 * t + i, Origin.AIMD, f"run-{t}") for t in range(10) for i in range(3)]
    train, valid = split_by_group(labels, 0.2, np.random.default_rng(0))
    assert (len(train), len(valid)) == (24, 6)


def test_one_group_is_never_split():
    labels = [label(i, Origin.AIMD, "only") for i in range(5)]
    train, valid = split_by_group(labels, 0.5, np.random.default_rng(0))
    assert (len(train), len(valid)) == (5, 0)
    with pytest.raises(TrainingError, match=r"two or more trajectories.*got 5 and 0"):
        partition(labels, 0, 0)


def test_decided_groups_keep_their_side():
    labels = campaign(2)
    sides = {"aimd-0": True, "aimd-1": False, "aimd-2": False, "aimd-3": False}
    for seed in range(10):
        train, valid = split_by_group(labels, 0.5, np.random.default_rng(seed), sides)
        assert "aimd-0" in groups(valid)
        assert {"aimd-1", "aimd-2", "aimd-3"} <= groups(train)


def test_random_frames_of_this_generation_alone_are_held_out():
    labels = campaign(3)
    rest, out = held_out(labels, 2)
    assert {(x.frame.origin, x.frame.generation) for x in out} == {(Origin.RANDOM, 2)}
    assert len(out) == 3
    assert hashes(rest) == hashes(labels) - hashes(out)
    assert sum(x.frame.origin is Origin.RANDOM for x in rest) == 3
    assert all(trained_from(x) == 3 for x in out)
    assert held_out(labels, 3)[1] == []


@pytest.mark.parametrize("seed", range(5))
def test_no_committee_is_calibrated_on_what_it_or_its_forebears_trained_on(seed):
    labels, seen = campaign(5), set()
    by_generation = defaultdict(list)
    for x in labels:
        by_generation[x.frame.generation].append(x)
    known: list[Label] = []
    for g in range(5):
        known += by_generation[g]
        train, valid, out = partition(known, g, seed)
        seen |= hashes(train)
        assert not seen & (hashes(valid) | hashes(out))
        assert not groups(train) & groups(valid)
        assert hashes(train) | hashes(valid) | hashes(out) == hashes(known)
        assert 0.1 < len(valid) / len(known) < 0.35


def test_bootstrap_weights_have_mean_1_and_the_spread_of_an_exponential():
    weights = bootstrap_weights(4000, np.random.default_rng(1))
    assert weights.mean() == pytest.approx(1.0, rel=1e-12)
    assert weights.min() > 0
    assert weights.std() == pytest.approx(1.0, abs=0.08)  # Dirichlet(1, ..., 1) times n
    assert not np.allclose(weights[:50], bootstrap_weights(50, np.random.default_rng(2)))
    again = bootstrap_weights(4000, np.random.default_rng(1))
    assert np.array_equal(weights, again)


def test_training_atoms_carry_the_label():
    atoms = to_training_atoms(label(7, Origin.AIMD, "a"), 1.5)
    assert atoms.info["REF_energy"] == -8.0
    assert atoms.arrays["REF_forces"] == pytest.approx(np.array([[0.1, 0.2, 0.3]]))
    assert atoms.info["REF_stress"] == pytest.approx(0.01 * np.eye(3))
    weights = {k: v for k, v in atoms.info.items() if k.startswith("config")}
    assert weights == {
        "config_weight": 1.5, "config_energy_weight": 1.0, "config_stress_weight": 1.0,
    }  # fmt: skip
    assert atoms.pbc.all()


def test_charged_cells_count_by_their_forces_alone():
    atoms = to_training_atoms(label(0, Origin.AIMD, "a", charge=-1), 2.0)
    assert atoms.info["config_energy_weight"] == 0.0
    assert atoms.info["config_stress_weight"] == 0.0
    assert atoms.info["config_weight"] == 2.0
    assert "REF_forces" in atoms.arrays


def test_stress_stays_out_where_it_is_not_used():
    sample = Sample.of(label(0, Origin.AIMD, "a"))
    info = sample.copy(use_stress=False).atoms.info
    assert "REF_stress" not in info
    assert "config_stress_weight" not in info
    assert "REF_stress" in sample.copy().atoms.info


@pytest.mark.parametrize("generation", [1, 4])
def test_samples_are_split_as_their_labels_are(generation):
    labels = campaign(5)
    samples = [Sample.of(x) for x in labels]
    for of_samples, of_labels in zip(
        partition(samples, generation, 3), partition(labels, generation, 3), strict=True
    ):
        assert [x.frame_hash for x in of_samples] == [x.frame_hash for x in of_labels]
    atoms = samples[5].atoms
    assert atoms == to_training_atoms(labels[5])
    assert atoms.info["REF_energy"] == labels[5].energy
    assert (atoms.info["REF_stress"] == np.array(labels[5].stress)).all()
    assert (atoms.arrays["REF_forces"] == np.array(labels[5].forces)).all()
