"""A label is admitted, not assumed: every reason can be given, and none without need."""

from __future__ import annotations

import math
import timeit

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ionloop.frame import Frame
from ionloop.label.schema import OVERRULED, RETRIED, Label, Refusal, kind_of
from ionloop.profile import Profile
from ionloop.reference import quality
from ionloop.reference.quality import closest_contact, judge_point, refuse_jumps
from ionloop.reference.schema import SinglePoint

PROFILE = Profile(name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1})


def as_frame(atoms: Atoms) -> Frame:
    return Frame.from_atoms(atoms, origin="rattle", group="g")


FRAME = as_frame(bulk("LiCl", "rocksalt", a=5.14, cubic=True))


def point(**fields: object) -> SinglePoint:
    good = {
        "energy": -35.0,
        "forces": [[0.1, 0.0, 0.0]] * 8,
        "stress": np.eye(3).tolist(),
        "converged": True,
        "settings_hash": "right",
        "engine": "lammps",
        "wall_s": 2.5,
        "directory": "/runs/1",
    }
    return SinglePoint(**{**good, **fields})


def reasons(frame: Frame = FRAME, **fields: object) -> list[str]:
    return judge_point(frame, point(**fields), "right", PROFILE).reasons


def spoilt(value: float, row: int = 3) -> list[list[float]]:
    forces = [[0.1, 0.0, 0.0] for _ in range(8)]
    forces[row][1] = value
    return forces


def test_a_good_point_is_admitted_as_it_is() -> None:
    label = judge_point(FRAME, point(), "right", PROFILE)
    assert label.reasons == []
    assert (label.frame, label.frame_hash) == (FRAME, FRAME.frame_hash)
    for name in ("energy", "forces", "stress", "engine", "wall_s", "directory", "settings_hash"):
        assert getattr(label, name) == getattr(point(), name)
    assert reasons(stress=None) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"converged": False}, ["SCF not converged"]),
        ({"settings_hash": "wrong"}, ["other settings"]),
        ({"energy": None}, ["no energy or forces"]),
        ({"forces": None}, ["no energy or forces"]),
        ({"forces": [[0.0, 0.0, 0.0]] * 7}, ["forces of another number of atoms"]),
        ({"forces": [[0.0, 0.0]] * 8}, ["forces of another number of atoms"]),
        ({"forces": [[0.0, 0.0, 0.0]] * 7 + [[0.0]]}, ["forces of another number of atoms"]),
        ({"energy": math.nan}, ["not a number: energy"]),
        ({"forces": spoilt(math.nan)}, ["not a number: forces"]),
        ({"forces": spoilt(-math.inf)}, ["not a number: forces"]),
        ({"stress": [[math.nan] * 3] * 3}, ["not a number: stress"]),
        (
            {"forces": spoilt(30.01)},
            ["force above the ceiling: 30.01 eV/Å on atom 3 (Cl), 30 allowed"],
        ),
        ({"forces": spoilt(29.99)}, []),
        (
            {"energy": None, "forces": None, "converged": False, "failure": "walltime"},
            ["calculation failed: walltime", "no energy or forces"],
        ),
        (
            {"converged": False, "settings_hash": "wrong", "forces": spoilt(99)},
            [
                "SCF not converged",
                "other settings",
                "force above the ceiling: 99.00 eV/Å on atom 3 (Cl), 30 allowed",
            ],
        ),
        ({"converged": False, "n_scf": 60}, ["SCF not converged: after 60 steps"]),
        (
            {"converged": False, "n_scf": 60, "scf_limit": 60},
            ["SCF not converged: after 60 steps of 60"],
        ),
        ({"n_scf": 60, "scf_limit": 60}, ["electronic steps at the limit: 60 of 60"]),
        ({"n_scf": 61, "scf_limit": 60}, ["electronic steps at the limit: 61 of 60"]),
        ({"n_scf": 59, "scf_limit": 60}, []),
        ({"n_scf": 60}, []),
        ({"symbols": ["Li", "Cl"] * 4}, []),
        (
            {"symbols": ["Li"] * 4 + ["Cl"] * 4},
            ["species in another order: expected Cl as atom 1, got Li"],
        ),
        ({"symbols": ["Li"] * 7}, ["species in another order: expected 8 atoms, got 7"]),
        ({"charge": 0.009}, []),
        ({"charge": -0.011}, ["another charge than the frame's: expected +0 e, got -0.011 e"]),
        ({"charge": 1.0}, ["another charge than the frame's: expected +0 e, got +1 e"]),
        ({"charge": math.nan}, ["another charge than the frame's: expected +0 e, got +nan e"]),
    ],
)
def test_each_reason_and_only_that(fields: dict, expected: list[str]) -> None:
    assert reasons(**fields) == expected


def test_the_ceiling_is_of_the_force_not_of_its_components() -> None:
    forces = spoilt(20.0)
    forces[3][0] = 25.0  # 32 eV/Å together
    assert reasons(forces=forces) == [
        "force above the ceiling: 32.02 eV/Å on atom 3 (Cl), 30 allowed"
    ]


@pytest.mark.parametrize(
    ("stress", "expected"),
    [
        (None, ["no stress"]),
        ([[1.0] * 3] * 2, ["no stress"]),
        ([[1.0] * 2] * 3, ["no stress"]),
        (np.eye(3).tolist(), []),
    ],
)
def test_a_stress_that_was_promised_must_be_there(stress, expected) -> None:
    """Without a promise its absence is no fault, and without forces it isn't the point."""
    made = point(stress=stress)
    assert judge_point(FRAME, made, "right", PROFILE, expects_stress=True).reasons == expected
    assert judge_point(FRAME, made, "right", PROFILE).reasons == []
    nothing = point(stress=None, forces=None)
    found = judge_point(FRAME, nothing, "right", PROFILE, expects_stress=True).reasons
    assert found == ["no energy or forces"]


def test_a_charged_frame_wants_its_own_charge() -> None:
    frame = FRAME.model_copy(update={"charge": -1})
    assert reasons(frame, charge=-1.0) == []
    assert reasons(frame, charge=0.0) == [
        "another charge than the frame's: expected -1 e, got +0 e"
    ]


# --- the batch ---


def with_moments(*moments: float | None, frame: Frame = FRAME) -> list[Label]:
    return [judge_point(frame, point(magnetization=m), "right", PROFILE) for m in moments]


def refused(labels: list[Label]) -> list[int]:
    return [i for i, label in enumerate(refuse_jumps(labels)) if label.reasons]


def test_a_magnetization_that_jumps_is_refused_with_both_values() -> None:
    (label,) = [x for x in refuse_jumps(with_moments(0.02, 2.0, 0.0, -0.01)) if x.reasons]
    assert label.reasons == ["magnetization jump: 2.00 Bohr magnetons, the batch's median is 0.01"]


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ((2.0, 2.0, 0.0, 2.1), [2]),
        ((1.0, 1.49, 1.0), []),
        ((1.0, 1.51, 1.0), [1]),
        ((2.0, -2.0, -2.0, 2.0), []),  # all spins turned over
        ((None, None, 3.0), []),
        ((0.0, 2.0), [0, 1]),  # nobody knows which: a person must look
        ((5.0,), []),
        ((), []),
    ],
)
def test_jumps_are_from_the_median_of_sizes(moments, expected) -> None:
    assert refused(with_moments(*moments)) == expected


def test_refused_labels_have_no_say_in_the_median() -> None:
    bad = [judge_point(FRAME, point(magnetization=2.0, converged=False), "right", PROFILE)] * 3
    found = refuse_jumps([*bad, *with_moments(0.0, 0.0)])
    assert [label.reasons for label in found] == [["SCF not converged"]] * 3 + [[], []]


def test_cells_of_another_make_are_another_matter() -> None:
    """A larger cell or a charged one has a magnetization of its own."""
    double = as_frame(bulk("LiCl", "rocksalt", a=5.14, cubic=True).repeat((2, 1, 1)))
    charged = FRAME.model_copy(update={"charge": 1})
    large = point(magnetization=4.0, forces=[[0.1, 0.0, 0.0]] * 16)
    others = [judge_point(double, large, "right", PROFILE), *with_moments(1.0, frame=charged)]
    assert refused([*with_moments(0.0, 0.0), *others]) == []


def test_every_kind_of_reason_is_counted_under_itself() -> None:
    assert {kind_of(kind.because("a: b; 3.1")) for kind in Refusal} == set(Refusal)
    assert not RETRIED & (OVERRULED - {Refusal.NO_STRESS})


def test_a_job_that_died_is_no_label() -> None:
    label = judge_point(FRAME, None, "right", PROFILE)
    assert label.reasons == ["job failed: no output"]
    assert label.frame_hash == FRAME.frame_hash
    assert label.energy is None
    assert label.forces is None


def test_atoms_too_close() -> None:
    """Li and Cl with radii 1.28 and 1.02 Å are too close below 0.6 of 2.30 Å: 1.38 Å."""
    close = ["atoms too close: 0.596 of the sum of covalent radii, 0.6 allowed"]
    for distance, expected in ((1.37, close), (1.39, [])):
        frame = FRAME.model_copy(deep=True)
        frame.positions[1] = [distance, 0, 0]
        frame.positions[0] = [0, 0, 0]
        assert frame.symbols[:2] == ["Li", "Cl"]
        assert reasons(frame) == expected


# --- the closest contact ---


def by_ase(atoms: Atoms, cutoff: float) -> float:
    i, j, d = neighbor_list("ijd", atoms, cutoff)
    radii = covalent_radii[atoms.numbers]
    return float((d / (radii[i] + radii[j])).min()) if len(d) else math.inf


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(2.0, 9.0))
def test_contacts_of_skewed_cells_are_ases(seed: int, n: int, size: float) -> None:
    """Small cells have many images, large ones sometimes no contact at all."""
    rng = np.random.default_rng(seed)
    cell = size * (np.eye(3) + rng.uniform(-0.6, 0.6, (3, 3)))
    assume(abs(np.linalg.det(cell)) > 0.2 * size**3)  # a flat one has more images than memory
    symbols = rng.choice(["Li", "O", "Cl", "H"], n)
    positions = rng.uniform(-2, 3, (n, 3)) @ cell
    atoms = Atoms(symbols, positions=positions, cell=cell, pbc=True)
    expected = by_ase(atoms, quality.CONTACT_RANGE)
    assert closest_contact(as_frame(atoms)) == pytest.approx(expected, rel=1e-9)


def test_in_a_skewed_cell_the_nearest_image_isnt_the_rounded_one() -> None:
    """Fractions (0.45, 0.4) of a flat cell: the image one cell on is 1.97 Å away."""
    cell = np.array([[5.0, 0, 0], [4.0, 4.0, 0], [0, 0, 9.0]])
    atoms = Atoms("Li2", scaled_positions=[[0, 0, 0], [0.45, 0.4, 0]], cell=cell, pbc=True)
    nearest = np.linalg.norm((np.array([0.45, 0.4, 0]) - [1, 0, 0]) @ cell)
    assert closest_contact(as_frame(atoms)) == pytest.approx(nearest / 2.56)
    assert nearest < 2


def test_many_atoms_take_the_other_way_to_the_same_contact() -> None:
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True).repeat((4, 4, 4))
    atoms.rattle(0.2, seed=4)
    assert len(atoms) > quality.ALL_PAIRS_MAX
    cut = atoms[: quality.ALL_PAIRS_MAX]
    for some in (atoms, cut):
        assert closest_contact(as_frame(some)) == pytest.approx(by_ase(some, 3.5), rel=1e-9)


def test_an_atom_touches_its_own_image() -> None:
    lone = Atoms("Li", cell=[1.92, 8.0, 8.0], pbc=True)
    assert closest_contact(as_frame(lone)) == pytest.approx(1.92 / 2.56)
    skewed = Atoms("Li", cell=[[8, 0, 0], [8, 1.28, 0], [0, 0, 8]], pbc=True)
    assert closest_contact(as_frame(skewed)) == pytest.approx(0.5)


def test_nothing_near_is_infinitely_far() -> None:
    assert closest_contact(as_frame(Atoms("Li", cell=[9, 9, 9], pbc=True))) == math.inf
    assert closest_contact(as_frame(Atoms(cell=[9, 9, 9], pbc=True))) == math.inf


def test_two_atoms_on_one_place() -> None:
    twice = Atoms("LiO", positions=[[1, 1, 1], [10, 1, 1]], cell=[9, 9, 9], pbc=True)
    assert closest_contact(as_frame(twice)) == 0.0


def test_large_atoms_touch_beyond_the_range_of_small_ones() -> None:
    """Two Cs are 4.88 Å apart where their covalent spheres touch."""
    pair = Atoms("Cs2", positions=[[0, 0, 0], [4.0, 0, 0]], cell=[12, 12, 12], pbc=True)
    assert closest_contact(as_frame(pair)) == pytest.approx(4.0 / 4.88)


def test_a_check_of_every_frame_costs_little(li3ocl_frame: Frame) -> None:
    """MD calls it each stored frame: far below a cell list in Python."""
    atoms = li3ocl_frame.to_atoms()
    ours = min(timeit.repeat(lambda: closest_contact(li3ocl_frame), number=1, repeat=30))
    cells = min(timeit.repeat(lambda: by_ase(atoms, 3.5), number=1, repeat=5))
    assert ours < cells / 4


def test_a_label_of_other_settings_names_the_keys() -> None:
    ours = {"cutoff": 520, "kinds": {"Li": "Li_sv", "O": "O"}, "mesh": None, "hash": "a" * 64}
    theirs = {"cutoff": 400, "kinds": {"Li": "Li"}, "mesh": None, "hash": "a" * 63 + "b", "x": 1}
    label = judge_point(FRAME, point(settings_hash="w", settings=theirs), "right", PROFILE, ours)
    (reason,) = label.reasons
    assert reason == (
        "other settings: cutoff: expected 520, got 400; "
        "hash: expected aaaaaaaaaaaa..., got aaaaaaaaaaaa...; "
        "kinds.Li: expected Li_sv, got Li; kinds.O: expected O, got nothing; "
        "x: expected nothing, got 1"
    )
    same = judge_point(FRAME, point(settings=theirs), "right", PROFILE, ours)
    assert same.reasons == []
