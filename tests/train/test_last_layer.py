from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from ionloop.errors import TrainingError
from ionloop.explore.driver import CommitteeDriver
from ionloop.train.last_layer import (
    FeatureProbe,
    LastLayer,
    describe,
    evaluated,
    fit_last_layers,
    ion_values,
    read_last_layer,
    spread_over_neighbours,
)
from ionloop.train.mace import predict


@pytest.fixture
def rattled(cell):
    """The cell, rattled a little, many times."""
    rng, frames = np.random.default_rng(0), []
    for _ in range(12):
        frames.append(cell.copy())
        frames[-1].positions += rng.normal(scale=0.03, size=cell.positions.shape)
    return frames


@pytest.fixture
def read(committee):
    """Features and per-atom energies of the committee's first model."""
    driver = CommitteeDriver(committee, members=[0])
    probe = FeatureProbe(driver.models[0])

    def of(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
        graph = driver._graph(atoms)
        out = driver.models[0](graph, training=False, compute_stress=False)
        return probe.features, out["node_energy"].detach().numpy()

    yield of
    probe.close()


def test_the_model_is_linear_in_the_features(committee, rattled, read):
    """So that an energy's variance is a quadratic form of them; ZBL isn't part of the model."""
    found = [read(atoms) for atoms in rattled]
    features = np.concatenate([f for f, _ in found])
    model = committee.models[0]
    energies = []
    for atoms, (_, energy) in zip(rattled, found, strict=True):
        bare = CommitteeDriver(committee, members=[0])
        graph = bare._graph(atoms)
        energies.append(energy - float(model.scale_shift.scale) * _repulsion(model, graph))
    energies = np.concatenate(energies)
    design = np.column_stack([features, np.ones(len(features))])
    weights, *_ = np.linalg.lstsq(design, energies, rcond=None)
    assert energies.std() > 1e-3
    assert design @ weights == pytest.approx(energies, abs=1e-6 * energies.std())


def _repulsion(model, graph) -> np.ndarray:
    """The model's pair repulsion by atom, as MACE adds it, eV."""
    import torch
    from mace.modules.utils import get_edge_vectors_and_lengths

    _, lengths = get_edge_vectors_and_lengths(
        positions=graph["positions"], edge_index=graph["edge_index"], shifts=graph["shifts"]
    )
    with torch.no_grad():
        pair = model.pair_repulsion_fn(
            lengths, graph["node_attrs"], graph["edge_index"], model.atomic_numbers
        )
    return pair.numpy()


def test_the_known_are_certain_and_the_unusual_are_not(committee, rattled, read):
    known = fit_last_layers(committee, rattled)[0]
    here = known.per_atom(rattled[0].numbers, read(rattled[0])[0])
    assert (here <= 1.0).all()  # an atom of the training set: its leverage is at most 1
    other = rattled[0].copy()
    ion = int(np.flatnonzero(other.symbols == "Li")[0])
    other.positions[ion] += [0.6, 0.5, 0.3]
    there = known.per_atom(other.numbers, read(other)[0])
    assert there[ion] > 3 * here[ion]
    assert there[ion] > there.mean()


def test_more_of_the_same_makes_more_certain():
    rng = np.random.default_rng(0)
    phi, z = rng.normal(size=(200, 5)), np.full(200, 3)
    once = LastLayer.fit([z], [phi]).per_atom(z, phi)
    four = LastLayer.fit([z] * 4, [phi] * 4).per_atom(z, phi)
    assert four == pytest.approx(once / 2, rel=1e-3)
    expected = np.sqrt(np.einsum("if,fg,ig->i", phi, np.linalg.inv(phi.T @ phi), phi))
    assert once == pytest.approx(expected, rel=1e-3)


def test_elements_are_judged_each_by_their_own():
    rng = np.random.default_rng(0)
    z = np.repeat([3, 8], 50)
    phi = rng.normal(size=(100, 4)) * np.where(z == 3, 1.0, 100.0)[:, None]
    found = LastLayer.fit([z], [phi])
    swapped = found.per_atom(np.full(1, 3), phi[-1:])
    assert swapped > 20 * found.per_atom(np.full(1, 8), phi[-1:])
    with pytest.raises(TrainingError, match=r"expected elements \[3, 8\].*got 17"):
        found.per_atom(np.array([17]), phi[:1])


def test_what_cant_be_fitted_is_refused(committee):
    with pytest.raises(TrainingError, match="expected frames"):
        LastLayer.fit([], [])

    class Foreign:
        readouts = (object(),)

    with pytest.raises(TrainingError, match="expected MACE's linear or non-linear readouts"):
        FeatureProbe(Foreign())


def test_a_closed_probe_costs_nothing(committee, cell):
    driver = CommitteeDriver(committee, members=[0])
    hooks = [m._forward_pre_hooks for r in driver.models[0].readouts for m in r.modules()]
    before = sum(map(len, hooks))
    probe = FeatureProbe(driver.models[0])
    assert sum(map(len, hooks)) == before + len(driver.models[0].readouts)
    probe.close()
    assert sum(map(len, hooks)) == before


def labelled(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Give a frame forces that nobody computed."""
    copy = atoms.copy()
    copy.arrays["REF_forces"] = rng.normal(size=(len(copy), 3))
    return copy


def test_what_is_stored_is_what_was_fitted_and_reads_as_an_error(committee, rattled):
    rng = np.random.default_rng(1)
    held_out = [labelled(atoms, rng) for atoms in rattled[8:]]
    found = describe(committee, rattled[:8], held_out, "Li", 3)
    assert (found.generation, found.n_frames, found.missing) == (3, 8, None)
    assert len(found.scales) == len(found.rank_correlations) == 3
    stored = type(found).model_validate_json(found.model_dump_json())
    _, forces = predict(committee, held_out)
    features = [own for own, _ in evaluated(committee, held_out)]
    for k, expected in enumerate(fit_last_layers(committee, rattled[:8])):
        layer = read_last_layer(stored, k)
        assert layer.factors.keys() == expected.factors.keys()
        values, wrong = [], []
        for atoms, own, f in zip(held_out, features, forces, strict=True):
            ions = np.flatnonzero(atoms.symbols == "Li")
            values.append(ion_values(layer, atoms, own[k], float(committee.r_max))[ions])
            wrong.append(
                np.linalg.norm((f.mean(axis=0) - atoms.arrays["REF_forces"])[ions], axis=1)
            )
        rms = [np.sqrt(np.mean(np.concatenate(x) ** 2)) for x in (values, wrong)]
        assert found.scales[k] * rms[0] == pytest.approx(rms[1], rel=1e-6)


def test_a_member_that_isn_t_there_is_refused(committee, rattled):
    found = describe(
        committee, rattled[:2], [labelled(rattled[3], np.random.default_rng(0))], "Li", 0
    )
    with pytest.raises(TrainingError, match="expected the last layer of member 3, got none"):
        read_last_layer(found, 3)


def test_neighbours_count_less_the_farther_they_are():
    values = np.array([1.0, 2.0, 3.0])
    pairs = np.array([[0, 1, 0, 2], [1, 0, 2, 0]])
    found = spread_over_neighbours(values, pairs, np.array([0.0, 0.0, 4.0, 4.0]), 4.0)
    assert found == pytest.approx([np.sqrt(1 + 4), np.sqrt(4 + 1), 3.0])
    half = spread_over_neighbours(values, pairs[:, 2:], np.array([2.0, 2.0]), 4.0)
    assert half == pytest.approx([np.sqrt(1 + 4.5), 2.0, np.sqrt(9 + 0.5)])


def test_a_committee_of_another_kind_has_none_and_says_why(committee, rattled, monkeypatch):
    class Foreign:
        readouts = (object(),)

    monkeypatch.setattr(committee, "models", [Foreign()])
    found = describe(committee, rattled[:2], rattled[2:3], "Li", 0)
    assert found.scales == []
    assert found.blob.to_arrays() == {}
    assert "expected MACE's linear or non-linear readouts" in str(found.missing)
