"""Errors put along a band come out: of all its images, not of the barrier alone."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.calculator import Calculator

from ionloop.evaluate.band_errors import band_errors, band_frames_of, on_bands, unclear_bands
from ionloop.evaluate.held_out import judge_labels, predict
from ionloop.frame import Origin
from ionloop.label.schema import Label
from ionloop.reference.schema import Band

ENERGIES = [-30.0, -29.8, -29.7, -29.9, -30.0]


def band(name="a", shift=0.0, charge=0) -> Band:
    images = np.zeros((5, 4, 3))
    images[:, 1:] = [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]
    images[:, 2, 0] = np.linspace(0, 2.0, 5) + shift * (np.arange(5) > 0)
    return Band(
        symbols=["O", "Cl", "Li", "Li"], cell=(8 * np.eye(3)).tolist(), images=images.tolist(),
        energies=ENERGIES, ion=2, path_class=name, hop_distance=2.0, converged=True, fmax=0.05,
        n_force_calls=1, engine="test", settings_hash="x", wall_s=0.0, charge=charge,
    )  # fmt: skip


def label_of(frame, energy) -> Label:
    return Label(
        frame=frame.model_copy(update={"origin": Origin.AIMD, "hop": None}),
        frame_hash=frame.frame_hash, energy=energy, forces=np.full((4, 3), 0.5).tolist(),
        settings_hash="x", engine="test", wall_s=0.0, directory="",
    )  # fmt: skip


def labels_of(*bands):
    """Labels of the images, each once and shuffled, as a shard has them."""
    frames = band_frames_of(bands)
    energies = {
        hashed: energy
        for one in bands
        for hashed, energy in zip(frames_in_order(one), one.energies, strict=True)
    }
    labels = [label_of(frames[hashed][0], energy) for hashed, energy in energies.items()]
    order = np.random.default_rng(0).permutation(len(labels))
    return on_bands([labels[i] for i in order], frames)


def frames_in_order(one):
    return [frames[0].frame_hash for frames in band_frames_of([one]).values()]


def predicted(labels, wrong, members=2):
    """Energies off by ``wrong(s)`` and a common offset; forces off by 0.1, of the ion by 0.3."""
    energies, forces = [], []
    for label in labels:
        off = 7.0 + wrong(label.frame.hop.progress)
        energies.append([label.energy + off] * members)
        force = np.array(label.forces) + 0.1
        force[2] += 0.2
        forces.append(np.array([force] * members))
    return np.array(energies), forces


def test_the_whole_band_counts_and_an_offset_does_not():
    labels = labels_of(band())
    assert len(labels) == 5
    (found,) = band_errors(labels, *predicted(labels, lambda s: 0.1 * s))
    off = 0.1 * np.array([0.25, 0.5, 0.75, 1.0])
    assert found.energy_rmse == pytest.approx(np.sqrt((off**2).mean()))
    assert found.energy_max == pytest.approx(0.1)
    assert found.energy_spread == pytest.approx(0.0, abs=1e-9)
    assert found.rmse_ion == pytest.approx(0.3)
    assert found.rmse_forces == pytest.approx(np.sqrt((3 * 0.01 + 0.09) / 4))
    assert found.rms_reference == pytest.approx(0.5)
    assert (found.path_class, found.n_bands, found.n_images) == ("a", 1, 5)


def test_a_right_barrier_hides_a_wrong_flank():
    labels = labels_of(band())
    (found,) = band_errors(labels, *predicted(labels, lambda s: -0.05 * (abs(s - 0.25) < 0.01)))
    assert found.energy_max == pytest.approx(-0.05)
    assert found.energy_rmse == pytest.approx(0.05 / 2)


def test_bands_that_share_their_first_image_both_have_it():
    one, other = band("a"), band("b", shift=0.1)
    labels = labels_of(one, other)
    assert len(labels) == 10
    found = band_errors(labels, *predicted(labels, lambda s: 0.0 * s))
    assert [(x.path_class, x.n_images) for x in found] == [("a", 5), ("b", 5)]
    assert [x.energy_rmse for x in found] == pytest.approx([0.0, 0.0], abs=1e-9)


def test_bands_of_one_class_are_pooled():
    labels = labels_of(band("a"), band("a", shift=0.1))
    (found,) = band_errors(labels, *predicted(labels, lambda s: 0.1 * s, members=1))
    assert (found.n_bands, found.n_images, found.energy_spread) == (2, 10, None)


def numbered(labels):
    """Labels as older files have them, whose events have a number alone."""
    frames = [label.frame for label in labels]
    hops = [frame.hop.model_copy(update={"event": "neb-0"}) for frame in frames]
    return [
        label.model_copy(update={"frame": frame.model_copy(update={"hop": hop})})
        for label, frame, hop in zip(labels, frames, hops, strict=True)
    ]


def test_bands_of_one_name_are_told_apart_by_what_they_are_of():
    """Two files of labels, each with its `neb-0` of one class: another charge, another cell."""
    one, other = labels_of(band()), labels_of(band(charge=1))
    big = labels_of(band().model_copy(update={"cell": (9 * np.eye(3)).tolist()}))
    labels = numbered([*one, *other, *big])
    assert len({x.frame.hop.event for x in labels}) == 1
    energies, forces = predicted(labels, lambda s: 0.1 * s)
    energies[5:10] += 3.0  # each has an offset of its own
    (found,) = band_errors(labels, energies, forces)
    assert (found.n_bands, found.n_images) == (3, 15)
    assert found.energy_max == pytest.approx(0.1)
    assert unclear_bands(labels) == 0


def test_bands_that_cant_be_told_apart_are_left_out_and_counted():
    one, other = (numbered(labels_of(band(shift=shift))) for shift in (0.0, 0.1))
    labels = [*one, *other]
    assert unclear_bands(labels) == 1
    assert band_errors(labels, *predicted(labels, lambda s: 0.1 * s)) == []
    # The same file twice is one band.
    twice = [*one, *one]
    assert unclear_bands(twice) == 0
    assert band_errors(twice, *predicted(twice, lambda s: s))[0].n_images == 5


def test_a_spread_that_isnt_known_isnt_zero():
    labels = labels_of(band())
    energies, forces = predicted(labels, lambda s: 0.1 * s)
    (found,) = band_errors(labels, energies[:, :1], forces)
    assert found.energy_spread is None


def test_charged_cells_count_since_their_background_drops_out():
    labels = labels_of(band(charge=1))
    (found,) = band_errors(labels, *predicted(labels, lambda s: 0.1 * s))
    assert found.energy_max == pytest.approx(0.1)


def test_what_is_no_band_is_left_out():
    labels = labels_of(band())
    alone = labels[:1]
    assert band_errors(alone, *predicted(alone, lambda s: s)) == []
    moved = [
        x.model_copy(update={"frame": x.frame.model_copy(update={"origin": Origin.HOP})})
        for x in labels
    ]
    assert band_errors(moved, *predicted(moved, lambda s: s)) == []
    assert band_errors([], np.empty((0, 2)), []) == []


def test_bands_of_two_campaigns_have_unlike_events_and_are_not_mixed():
    one, other = (labels_of(band(shift=shift)) for shift in (0.0, 0.1))
    events = {label.frame.hop.event for label in [*one, *other]}
    assert len(events) == 2
    assert all(event.startswith("neb-0 ") for event in events)
    assert {label.frame.hop.event for label in labels_of(band())} < events
    labels = [*one, *other]
    (found,) = band_errors(labels, *predicted(labels, lambda s: 0.1 * s))
    assert (found.n_bands, found.energy_max) == (2, pytest.approx(0.1))
    assert unclear_bands(labels) == 0


class Committee(Calculator):
    """Two members; it tells their forces, and their energies up to a place along the hop, Å."""

    implemented_properties = ("energy", "forces")
    known_to = 0.0

    def calculate(self, atoms=None, properties=None, system_changes=None):
        forces = np.stack([np.zeros((len(atoms), 3)), np.ones((len(atoms), 3))])
        along = atoms.positions[2, 0]
        self.results = {"energy": along, "forces": forces.mean(axis=0), "forces_comm": forces}
        if along < self.known_to:
            self.results["energy_comm"] = np.array([0.9, 1.1]) * along


@pytest.mark.parametrize(("known_to", "known"), [(3.0, True), (-1.0, False), (1.2, False)])
def test_a_spread_that_nobody_told_is_unknown_and_not_none(known_to, known):
    labels = labels_of(band())
    calculator = Committee()
    calculator.known_to = known_to
    found = predict(calculator, [label.frame.to_atoms() for label in labels])
    assert found.energies.shape == (5, 2 if known else 1)
    errors = judge_labels(labels, found, np.random.default_rng(0), mobile_ion="Li")
    (along,) = errors.along_bands
    path = np.array([0.5, 1.0, 1.5, 2.0])
    spread = np.sqrt(np.mean((0.2 * path) ** 2) / 2)
    assert along.energy_spread == (pytest.approx(spread) if known else None)
    assert along.energy_max == pytest.approx(2.0)
    assert errors.energy_rmse is not None


def test_no_frames_have_no_energies():
    assert len(predict(Committee(), []).energies) == 0
