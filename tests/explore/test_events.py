"""Events of molecular dynamics, quenched on a real force field to what really hopped."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.geometry import find_mic
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.explore.events import Event, choose_events, moved_ions, quench, real_hop, signature
from ionloop.explore.schema import Exploration, HopEvent
from ionloop.reference.forcefield import BuckinghamTeacher
from ionloop.reference.neb import relax_band
from ionloop.reference.schema import Trajectory

A = 1.95


@pytest.fixture(scope="module")
def defect(one_cell) -> Atoms:
    """Li3OCl 2x2x2 with one Li and one Cl less, unrattled; the Li is missing at (0, A, A)."""
    atoms = one_cell.copy()
    grid = np.rint(atoms.positions / A) * A
    atoms.positions = grid
    del atoms[int(np.flatnonzero(atoms.symbols == "Cl")[-1])]
    return atoms


@pytest.fixture(scope="module")
def teacher():
    return BuckinghamTeacher().calculator()


def neighbours(atoms: Atoms, place: np.ndarray) -> np.ndarray:
    """Return the Li ions by distance from a place."""
    ions = np.flatnonzero(atoms.symbols == "Li")
    _, away = find_mic(atoms.positions[ions] - place, atoms.cell, pbc=True)
    return ions[np.argsort(away, kind="stable")]


def hot(atoms: Atoms, seed: int) -> Atoms:
    """Shake a frame as heat does, and let it drift."""
    shaken = atoms.copy()
    rng = np.random.default_rng(seed)
    shaken.positions += rng.normal(scale=0.12, size=shaken.positions.shape)
    shaken.positions += [0.3, -0.2, 0.1]
    return shaken


def sides(before: Atoms, after: Atoms, teacher, name: str = "a") -> tuple[Event, Atoms, Atoms]:
    event = Event("run", 0, name, hot(before, 1), hot(after, 2))
    return event, *(quench(x, teacher, 0.03, 400) for x in (event.before, event.after))


def moved(atoms: Atoms, ion: int, place: np.ndarray) -> Atoms:
    """Move an ion the short way to a place."""
    after = atoms.copy()
    step, _ = find_mic(place - atoms.positions[ion], atoms.cell, pbc=True)
    after.positions[ion] += step
    return after


def test_one_ion_that_hops_into_the_vacancy_is_found(defect, teacher):
    vacancy = np.array([0.0, A, A])
    ion = int(neighbours(defect, vacancy)[0])
    event, start, end = sides(defect, moved(defect, ion, vacancy), teacher)
    hop = real_hop(event, start, end, "Li")
    assert hop.ion == ion
    assert hop.path_class == "found, 1 ion: a"
    assert hop.distance == pytest.approx(np.sqrt(2) * A, abs=0.4)
    band = relax_band(
        hop, lambda _: BuckinghamTeacher().calculator(), n_images=3, fmax=0.1, max_steps=60,
        engine="teacher", settings_hash="t",
    )  # fmt: skip
    assert 0.15 < band.barrier < 0.6


def test_ions_that_hop_together_are_one_hop_of_two_ions(defect, teacher):
    """A second ion follows into the site that the first one left."""
    vacancy = np.array([0.0, A, A])
    first = int(neighbours(defect, vacancy)[0])
    left = defect.positions[first].copy()
    second = int(next(i for i in neighbours(defect, left) if i != first))
    after = moved(moved(defect, first, vacancy), second, left)
    event, start, end = sides(defect, after, teacher)
    hop = real_hop(event, start, end, "Li")
    ions, lengths = moved_ions(start, end, "Li")
    assert set(ions.tolist()) == {first, second}
    assert (lengths > 2.0).all()
    assert hop.path_class == "found, 2 ions: a"


def test_an_ion_that_came_back_is_no_hop(defect, teacher):
    event, start, end = sides(defect, defect, teacher)
    assert real_hop(event, start, end, "Li") is None
    ion = int(neighbours(defect, np.array([0.0, A, A]))[0])
    nearly = defect.copy()
    nearly.positions[ion] += 0.25 * (np.array([0.0, A, A]) - nearly.positions[ion])
    event, start, end = sides(defect, nearly, teacher)
    assert real_hop(event, start, end, "Li") is None


@settings(deadline=None, max_examples=20)
@given(shift=st.tuples(*[st.floats(-9, 9)] * 3), images=st.tuples(*[st.integers(-2, 2)] * 3))
def test_what_moved_depends_neither_on_drift_nor_on_lattice_vectors(one_cell, shift, images):
    end = one_cell.copy()
    ion = int(np.flatnonzero(end.symbols == "Li")[3])
    end.positions[ion] += [1.5, 0, 0.5]
    other = end.copy()
    other.positions += shift
    other.positions[ion] += np.array(images) @ np.array(end.cell)
    ions, lengths = moved_ions(one_cell, other, "Li")
    assert ions.tolist() == [ion]
    assert lengths == pytest.approx([np.hypot(1.5, 0.5)])


def test_the_way_is_the_short_one_whatever_the_image(defect):
    ion = int(np.flatnonzero(defect.symbols == "Li")[0])
    end = defect.copy()
    end.positions[ion] += [1.8, 0, 0] + np.array(defect.cell)[1]
    hop = real_hop(Event("run", 0, "a", defect, end), defect, end, "Li")
    step = np.array(hop.end.positions[ion]) - np.array(hop.start.positions[ion])
    assert step == pytest.approx([1.8, 0, 0])


def hop_event(ion: int, path: str, times: tuple[float, float], event: int | None) -> HopEvent:
    return HopEvent(
        ion=ion, site_from=0, site_to=1, t_leave_fs=times[0], t_arrive_fs=times[1], distance=2.7,
        path_class=path, event=event,
    )  # fmt: skip


def exploration(atoms: Atoms, hops: list[HopEvent], n_frames: int = 30) -> Exploration:
    drifting = np.array([atoms.positions + 0.01 * k for k in range(n_frames)])
    trajectory = Trajectory.from_positions(
        drifting, atoms, temperature=900.0, n_steps=5 * n_frames, frame_interval_fs=10.0,
        group="r", engine="mace", wall_s=1.0,
    )  # fmt: skip
    return Exploration(
        generation=0, temperature=900.0, group="r", n_mobile=23, time_ps=1.0, unphysical=False,
        hops=hops, n_checked=1, n_trusted=1, sigma_quantiles=[], frames=[], trajectory=trajectory,
        wall_s=1.0,
    )  # fmt: skip


def test_events_of_each_kind_are_chosen_the_rarest_first(one_cell):
    common = [hop_event(k, "a", (10.0 * k, 10.0 * k + 20), k) for k in range(8)]
    rare = [hop_event(9, "b", (100.0, 130.0), 8)]
    both = [hop_event(10, "a", (150.0, 180.0), 9), hop_event(11, "a", (160.0, 200.0), 9)]
    run = exploration(one_cell, [*common, *rare, *both])
    chosen = choose_events([run], 4, np.random.default_rng(0))
    assert [e.signature for e in chosen] == ["2 x a", "b", "a", "a"]
    assert len({e.number for e in chosen}) == 4
    pair = chosen[0]
    assert pair.before.positions == pytest.approx(one_cell.positions + 0.15, abs=1e-4)
    assert pair.after.positions == pytest.approx(one_cell.positions + 0.20, abs=1e-4)
    assert choose_events([run], 0, np.random.default_rng(0)) == []
    assert choose_events([exploration(one_cell, [])], 4, np.random.default_rng(0)) == []
    assert len(choose_events([run, run], 99, np.random.default_rng(0))) == 20


def test_a_crowd_of_hops_is_no_one_event(one_cell):
    crowd = [hop_event(k, "a", (10.0, 40.0), 0) for k in range(5)]
    alone = hop_event(9, "a", (100.0, 140.0), 1)
    run = exploration(one_cell, [*crowd, alone])
    assert [e.number for e in choose_events([run], 4, np.random.default_rng(0))] == [1]


def test_a_signature_counts_classes():
    hops = [hop_event(0, p, (0, 1), 0) for p in ("b", "a", "b")]
    assert signature(hops) == "2 x b + a"


def test_how_rare_a_kind_is_the_unbiased_runs_say(one_cell):
    """A bias that was turned to a rare kind makes it frequent; it stays the rarest."""
    plain = exploration(one_cell, [hop_event(k, "a", (10.0 * k, 20.0 + 10 * k), k) for k in (1, 2)])
    pushed = exploration(
        one_cell, [hop_event(k, "b", (9.0 * k, 20.0 + 9 * k), k) for k in range(9)]
    )
    biased = pushed.model_copy(update={"bias": "tilt 0.1 eV/Å"})
    first = [
        choose_events([plain, other], 1, np.random.default_rng(0))[0].signature
        for other in (biased, pushed)
    ]
    assert first == ["b", "a"]
