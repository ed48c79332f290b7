"""A budget that can't hold seeds and test set is refused before anything runs."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from ionloop.campaign.budget import check_budget, expected_seeds
from ionloop.errors import ProfileError
from ionloop.profile import Budget, Profile
from ionloop.reference.schema import Trajectory
from ionloop.seed.displace import decorrelated_frames
from ionloop.seed.maker import SeedMaker
from ionloop.seed.schema import Displacements

SEED = SeedMaker(
    md_steps=40, store_every=5, stride=2, skip=2, n_images=3, max_bands=2,
    displacements=Displacements(n_rattle=9, n_strain=5),
)  # fmt: skip


def profile(labels_max: int) -> Profile:
    return Profile(
        name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1},
        seed_temperatures=[700, 1000, 1300], budget=Budget(labels_max=labels_max),
    )  # fmt: skip


def test_seeds_are_counted_by_kind() -> None:
    # Stored frames 0 to 8 of a run; 2, 4, 6 and 8 are taken.
    assert expected_seeds(SEED, 3, 9) == {"aimd": 12, "neb": 10, "rattle": 9, "strain": 5}
    assert expected_seeds(SEED, 3, 1)["neb"] == 5


@pytest.mark.parametrize(("md_steps", "stride", "skip"), [(40, 2, 2), (44, 3, 0), (20, 5, 4)])
def test_a_run_gives_what_is_counted(md_steps: int, stride: int, skip: int) -> None:
    seed = SeedMaker(md_steps=md_steps, store_every=5, stride=stride, skip=skip)
    run = Trajectory.from_positions(
        np.zeros((md_steps // 5 + 1, 1, 3)), Atoms("Li", cell=[9.0] * 3), temperature=900.0,
        frame_interval_fs=10.0, n_steps=md_steps, group="g", engine="e", wall_s=0.0,
    )  # fmt: skip
    assert expected_seeds(seed, 1, 0)["aimd"] == len(decorrelated_frames(run, stride, skip=skip))


def test_a_budget_that_just_holds_them_passes() -> None:
    check_budget(profile(36 + 16), SEED, n_hops=9, n_test=16)


def test_a_smaller_one_is_refused() -> None:
    message = (
        r"^Budget\.labels_max: expected at least 52 \(36 seeds: 12 aimd, 10 neb, 9 rattle, "
        r"5 strain; test set: 16\), got 51; raise it, or ask less: SeedMaker\.stride, max_bands, "
        r"displacements, EvaluateMaker\.n_test$"
    )
    with pytest.raises(ProfileError, match=message):
        check_budget(profile(51), SEED, n_hops=9, n_test=16)
