"""Known errors put into predictions must come out, in the right bin."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.errors import EvaluationError
from ionloop.evaluate.accuracy import PARITY_MAX, accuracy, bins_of
from ionloop.evaluate.hop_bins import hop_bin
from ionloop.frame import Frame, HopTag, Origin
from ionloop.label.schema import Label

N_ATOMS = 6


def label(rng, *, origin=Origin.AIMD, group="a", hop=None, charge=0, energy=-12.0):
    frame = Frame(
        symbols=["Li"] * N_ATOMS,
        positions=rng.uniform(0, 5, size=(N_ATOMS, 3)).tolist(),
        cell=(5 * np.eye(3)).tolist(),
        charge=charge,
        origin=origin,
        group=group,
        hop=hop,
    )
    return Label(
        frame=frame,
        frame_hash=frame.frame_hash,
        energy=energy,
        forces=rng.normal(size=(N_ATOMS, 3)).tolist(),
        settings_hash="x",
        engine="test",
        wall_s=0.0,
        directory="",
    )


def tag(progress, ion=2):
    return HopTag(ion=ion, progress=progress, path_class="p", event="e")


def off_by(labels, error):
    return [np.array(x.forces) + error for x in labels]


@pytest.mark.parametrize(
    ("s", "name"),
    [
        (0.0, "near equilibrium"),
        (0.14, "near equilibrium"),
        (0.2, "shoulder"),
        (0.34, "shoulder"),
        (0.4, "saddle"),
        (0.5, "saddle"),
        (0.64, "saddle"),
        (0.75, "shoulder"),
        (0.9, "near equilibrium"),
        (1.02, "near equilibrium"),
    ],
)
def test_bins_of_the_hop_coordinate(s, name):
    assert hop_bin(s) == name


def test_errors_come_out_by_origin():
    rng = np.random.default_rng(0)
    cold = [label(rng, group=g) for g in "ab"]
    hot = [label(rng, origin=Origin.HOP, group=g) for g in "cd"]
    forces = off_by(cold, 0.1) + off_by(hot, -0.3)
    found = accuracy(cold + hot, [-12.0] * 4, forces, rng)
    by_name = {b.name: b for b in found.forces_by_origin}
    assert by_name["aimd"].rmse_forces == pytest.approx(0.1)
    assert by_name["hop"].rmse_forces == pytest.approx(0.3)
    assert by_name["hop"].mae_forces == pytest.approx(0.3)
    assert by_name["hop"].n_frames == 2
    assert by_name["hop"].n_forces == 2 * N_ATOMS * 3
    # Every group has the same error, so that drawing groups changes nothing.
    assert by_name["hop"].rmse_error == pytest.approx(0.0, abs=1e-12)
    expected = np.sqrt(np.mean([np.square(x.forces) for x in cold]))
    assert by_name["aimd"].rms_reference == pytest.approx(expected)


def test_hop_bins_see_only_the_hopping_ion():
    rng = np.random.default_rng(1)
    labels = [label(rng, group=g, hop=tag(s)) for g, s in [("a", 0.05), ("b", 0.5), ("c", 0.5)]]
    forces = off_by(labels, 9.0)
    for force, x, error in zip(forces, labels, (0.1, 0.2, 0.4), strict=True):
        force[2] = np.array(x.forces)[2] + [error, 0.0, 0.0]
    found = accuracy(labels, [-12.0] * 3, forces, rng)
    by_name = {b.name: b for b in found.forces_by_hop_bin}
    assert set(by_name) == {"near equilibrium", "saddle"}
    assert by_name["near equilibrium"].rmse_forces == pytest.approx(0.1 / np.sqrt(3))
    assert by_name["saddle"].rmse_forces == pytest.approx(np.sqrt((0.04 + 0.16) / 6))
    assert by_name["saddle"].n_forces == 6
    assert found.progress_errors == [
        (0.05, pytest.approx(0.1)),
        (0.5, pytest.approx(0.2)),
        (0.5, pytest.approx(0.4)),
    ]


def test_bootstrap_draws_groups_not_frames():
    rng = np.random.default_rng(2)
    labels = [label(rng, group=g) for g in ["a"] * 20 + ["b"] * 20]
    forces = off_by(labels[:20], 0.0) + off_by(labels[20:], 0.2)
    bin_ = accuracy(labels, [-12.0] * 40, forces, rng).forces_by_origin[0]
    # Two groups: RMSE is 0, 0.2/sqrt(2) or 0.2 with probability 1/4, 1/2, 1/4.
    values, weights = np.array([0, 0.2 / np.sqrt(2), 0.2]), np.array([0.25, 0.5, 0.25])
    exact = np.sqrt(weights @ values**2 - (weights @ values) ** 2)
    assert bin_.rmse_error == pytest.approx(exact, rel=0.15)


def test_one_group_has_no_error_of_its_error():
    rng = np.random.default_rng(3)
    labels = [label(rng), label(rng)]
    found = accuracy(labels, [-12.0] * 2, off_by(labels, 0.1), rng)
    assert found.forces_by_origin[0].rmse_error is None


def test_energies_count_for_neutral_cells_only():
    rng = np.random.default_rng(4)
    labels = [label(rng), label(rng, charge=-1), label(rng, energy=None), label(rng, energy=-6.0)]
    found = accuracy(labels, [-12.0 + 0.06, 99.0, 99.0, -6.0 + 0.12], off_by(labels, 0.0), rng)
    assert found.energy_rmse == pytest.approx(np.sqrt((0.01**2 + 0.02**2) / 2))
    assert found.energy_mae == pytest.approx(0.015)
    assert found.parity_energies == [
        (pytest.approx(-0.5), pytest.approx(-0.505)),
        (pytest.approx(0.5), pytest.approx(0.505)),
    ]
    charged = [label(rng, charge=-1)]
    assert accuracy(charged, [0.0], off_by(charged, 0.0), rng).energy_rmse is None


def test_energy_errors_are_drawn_by_group():
    rng = np.random.default_rng(6)
    labels = [label(rng, group=g) for g in ["a"] * 20 + ["b"] * 20]
    energies = [-12.0] * 20 + [-12.0 + 0.2 * N_ATOMS] * 20
    found = accuracy(labels, energies, off_by(labels, 0.0), rng)
    # Two groups: RMSE is 0, 0.2/sqrt(2) or 0.2 with probability 1/4, 1/2, 1/4; MAE 0, 0.1, 0.2.
    weights = np.array([0.25, 0.5, 0.25])
    for values, error in (
        ([0, 0.2 / np.sqrt(2), 0.2], found.energy_rmse_error),
        ([0, 0.1, 0.2], found.energy_mae_error),
    ):
        exact = np.sqrt(weights @ np.square(values) - (weights @ values) ** 2)
        assert error == pytest.approx(exact, rel=0.15)


def test_energy_errors_have_none_for_one_group_of_neutral_cells():
    rng = np.random.default_rng(8)
    labels = [label(rng), label(rng), label(rng, group="b", charge=-1)]
    found = accuracy(labels, [-11.0] * 3, off_by(labels, 0.0), rng)
    assert found.energy_rmse is not None
    assert (found.energy_rmse_error, found.energy_mae_error) == (None, None)


def test_parity_is_thinned_and_repeats_with_its_seed():
    labels = [label(np.random.default_rng(i), group=str(i)) for i in range(150)]
    args = (labels, [-12.0] * 150, off_by(labels, 0.5))
    one = accuracy(*args, np.random.default_rng(7))
    assert len(one.parity_forces) == PARITY_MAX
    assert all(model - ref == pytest.approx(0.5) for ref, model in one.parity_forces)
    assert one == accuracy(*args, np.random.default_rng(7))


def test_no_held_out_labels_is_said_not_hidden():
    found = accuracy([], [], [], np.random.default_rng(0))
    assert found.n_frames == 0
    assert found.forces_by_origin == []
    assert found.energy_rmse is None


def test_mismatched_input_is_refused_in_words():
    rng = np.random.default_rng(5)
    labels = [label(rng)]
    with pytest.raises(EvaluationError, match="1 labels, 0 energies"):
        accuracy(labels, [], off_by(labels, 0.0), rng)
    with pytest.raises(EvaluationError, match=r"shape \(4, 3\)"):
        accuracy(labels, [0.0], [np.zeros((4, 3))], rng)


def predicted(labels, rng):
    return [np.array(x.forces) + rng.normal(scale=0.2, size=(N_ATOMS, 3)) for x in labels]


def mixed(rng, group, temperature=None):
    """A label of three Li and three O with a stress."""
    made = label(rng, group=group)
    frame = made.frame.model_copy(update={"symbols": ["Li", "O"] * 3, "temperature": temperature})
    stress = rng.normal(scale=0.01, size=(3, 3))
    return made.model_copy(update={"frame": frame, "stress": (stress + stress.T).tolist()})


def test_errors_by_species_and_temperature():
    rng = np.random.default_rng(9)
    labels = [mixed(rng, "a", 500.0), mixed(rng, "b", 900.0), mixed(rng, "c")]
    forces = [np.array(x.forces) for x in labels]
    for force, error in zip(forces, (0.1, 0.3, 0.2), strict=True):
        force[1::2] += error  # oxygen
    found = accuracy(labels, [-12.0] * 3, forces, rng)
    species = {b.name: b for b in found.forces_by_species}
    assert species["Li"].rmse_forces == pytest.approx(0.0, abs=1e-15)
    assert species["O"].rmse_forces == pytest.approx(np.sqrt((0.01 + 0.09 + 0.04) / 3))
    assert species["O"].n_forces == 27
    temperatures = {b.name: b.rmse_forces for b in found.forces_by_temperature}
    assert temperatures == pytest.approx({"500 K": 0.1 / np.sqrt(2), "900 K": 0.3 / np.sqrt(2)})


def test_an_offset_of_energies_is_told_apart():
    rng = np.random.default_rng(10)
    labels = [label(rng, group=g) for g in "abcd"]
    wrong = np.array([0.01, -0.01, 0.01, -0.01])
    energies = (-12.0 + N_ATOMS * (2.0 + wrong)).tolist()
    found = accuracy(labels, energies, off_by(labels, 0.0), rng)
    assert found.energy_shift == pytest.approx(2.0)
    assert found.energy_rmse == pytest.approx(np.sqrt(4 + 1e-4))
    assert found.energy_rmse_shifted == pytest.approx(0.01)
    assert found.energy_shifted_interval == pytest.approx((0.01, 0.01))


def test_stress_counts_where_both_have_it_and_the_cell_is_neutral():
    rng = np.random.default_rng(11)
    labels = [mixed(rng, g) for g in "abc"]
    labels[2] = labels[2].model_copy(
        update={"frame": labels[2].frame.model_copy(update={"charge": 1})}
    )
    stresses = [np.array(x.stress) + 0.003 for x in labels]
    found = accuracy(labels, [0.0] * 3, off_by(labels, 0.0), rng, stresses=stresses).stress
    assert (found.n_frames, found.rmse) == (2, pytest.approx(0.003))
    assert found.interval == pytest.approx((0.003, 0.003))
    none = accuracy(labels, [0.0] * 3, off_by(labels, 0.0), rng, stresses=[None] * 3)
    assert none.stress is None


def test_the_interval_covers_the_error_of_all_groups():
    # Groups of their own scale: the interval of 40 of them must hold the RMSE of all there are.
    covered, repeats = 0, 200
    scales = np.random.default_rng(0).gamma(4, 0.05, size=(repeats, 40))
    truth = np.sqrt(0.05**2 * 4 * 5)  # root of the mean of the squared scale
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        labels = [label(rng, group=str(g)) for g in range(40)]
        forces = [
            np.array(x.forces) + rng.choice([-1, 1], size=(N_ATOMS, 3)) * s
            for x, s in zip(labels, scales[seed], strict=True)
        ]
        low, high = accuracy(labels, [0.0] * 40, forces, rng).forces_by_origin[0].interval
        covered += low <= truth <= high
    assert 0.85 <= covered / repeats <= 0.95


def test_turning_and_reordering_change_no_rmse():
    labels, rng = [mixed(np.random.default_rng(i), str(i)) for i in range(6)], np.random.default_rng
    forces = predicted(labels, rng(1))
    stresses = [np.array(x.stress) + rng(i).normal(size=(3, 3)) for i, x in enumerate(labels)]
    turn = np.linalg.qr(rng(2).normal(size=(3, 3)))[0]
    order = rng(3).permutation(N_ATOMS)

    def turned(x):
        frame = x.frame
        return x.model_copy(
            update={
                "forces": (np.array(x.forces) @ turn.T)[order].tolist(),
                "stress": (turn @ np.array(x.stress) @ turn.T).tolist(),
                "frame": frame.model_copy(
                    update={
                        "symbols": [frame.symbols[i] for i in order],
                        "positions": (np.array(frame.positions) @ turn.T)[order].tolist(),
                        "cell": (np.array(frame.cell) @ turn.T).tolist(),
                    }
                ),
            }
        )

    before = accuracy(labels, [0.0] * 6, forces, rng(4), stresses=stresses, mobile_ion="Li")
    after = accuracy(
        [turned(x) for x in labels],
        [0.0] * 6,
        [(f @ turn.T)[order] for f in forces],
        rng(4),
        stresses=[turn @ s @ turn.T for s in stresses],
        mobile_ion="Li",
    )
    for one, other in zip(bins_of(before), bins_of(after), strict=True):
        assert one[1].rmse_forces == pytest.approx(other[1].rmse_forces)
        assert one[1].interval == pytest.approx(other[1].interval)
    assert before.stress.rmse == pytest.approx(after.stress.rmse)
    assert before.openness_limits == pytest.approx(after.openness_limits)


def test_mobile_ions_are_parted_by_openness():
    rng = np.random.default_rng(12)
    labels = [mixed(rng, str(i)) for i in range(20)]
    found = accuracy(labels, [0.0] * 20, off_by(labels, 0.1), rng, mobile_ion="Li")
    counts = {b.name: b.n_forces for b in found.forces_by_openness}
    assert counts == {"near equilibrium": 42 * 3, "shoulder": 15 * 3, "bottleneck": 3 * 3}
    missing = accuracy(labels, [0.0] * 20, off_by(labels, 0.1), rng, mobile_ion="Na")
    assert missing.forces_by_openness == []
    assert "expected mobile ions Na" in missing.openness_missing


def test_the_saddle_is_compared_with_the_site():
    rng = np.random.default_rng(13)
    labels = [label(rng, group=str(g), hop=tag(0.5 * (g % 2))) for g in range(40)]
    forces = [np.array(x.forces) for x in labels]
    for g, force in enumerate(forces):
        force[2] += (0.1, 0.25)[g % 2]
    found = accuracy(labels, [-12.0] * 40, forces, rng).saddle_ratio
    assert found.value == pytest.approx(2.5)
    assert found.interval == pytest.approx((2.5, 2.5))
    one = accuracy(labels[:1], [-12.0], forces[:1], rng)
    assert one.saddle_ratio is None


def test_the_interval_of_the_ratio_widens_with_the_scatter_of_runs():
    rng = np.random.default_rng(14)
    labels = [label(rng, group=str(g // 2), hop=tag(0.5 * (g % 2))) for g in range(40)]
    forces = [np.array(x.forces) for x in labels]
    for force in forces:
        force[2] += rng.gamma(2, 0.1)
    low, high = accuracy(labels, [-12.0] * 40, forces, rng).saddle_ratio.interval
    assert low < 1.0 < high
    assert high / low > 1.2


def test_energies_and_stress_by_part():
    rng = np.random.default_rng(15)
    labels = [mixed(rng, str(i), temperature=(900.0, 1100.0)[i % 2]) for i in range(8)]
    labels[0] = labels[0].model_copy(
        update={"frame": labels[0].frame.model_copy(update={"origin": Origin.HOP, "hop": tag(0.5)})}
    )
    wrong = np.array([0.02, -0.01] * 4)
    energies = (-12.0 + N_ATOMS * (3.0 + wrong)).tolist()
    stresses = [np.array(x.stress) + 0.001 * (1 + i % 2) for i, x in enumerate(labels)]
    found = accuracy(labels, energies, off_by(labels, 0.0), rng, stresses=stresses)
    names = [(one.by, one.name, one.n_frames) for one in found.energies]
    assert names == [
        ("origin", "aimd", 7), ("origin", "hop", 1), ("temperature", "900 K", 4),
        ("temperature", "1100 K", 4), ("hop", "saddle", 1),
    ]  # fmt: skip
    # Less the mean of all, which is 3.005.
    assert found.energies[2].rmse == pytest.approx(0.015)
    assert found.energies[3].rmse == pytest.approx(0.015)
    assert found.energies[1].interval is None
    stress = {one.name: one.rmse for one in found.stresses}
    assert (stress["900 K"], stress["1100 K"]) == pytest.approx((0.001, 0.002))
    assert found.stresses[2].interval == pytest.approx((0.001, 0.001))
