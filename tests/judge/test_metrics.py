from __future__ import annotations

import math

import numpy as np
import pytest
from ase import Atoms

from ionloop.explore.schema import BandSet, Exploration, HopEvent
from ionloop.judge.metrics import gather
from ionloop.judge.schema import HopRate
from ionloop.reference.schema import Band, Trajectory
from ionloop.train.schema import Calibration

CALIBRATION = Calibration(
    generation=2, n_frames=4, n_ions=80, held_out="random", scale=2.0, scale_90=3.0,
    coverage_90=0.91, rmse_forces=0.07, sigma_lo=0.1, sigma_hi=0.4, curve=[],
)  # fmt: skip
HOP = HopEvent(
    ion=0, site_from=0, site_to=1, t_leave_fs=100.0, t_arrive_fs=150.0, distance=2.8,
    path_class="a",
)  # fmt: skip


def run(temperature: float, n_hops: int, time_ps: float, **fields: object) -> Exploration:
    trajectory = Trajectory.from_positions(
        np.zeros((2, 1, 3)), Atoms("Li", cell=[3.0] * 3), temperature=temperature, n_steps=5,
        frame_interval_fs=10.0, group="g", engine="mace", wall_s=1.0,
    )  # fmt: skip
    own = {
        "generation": 2, "temperature": temperature, "group": "g", "n_mobile": 23,
        "time_ps": time_ps, "unphysical": False, "hops": [HOP] * n_hops, "n_checked": 100,
        "n_trusted": 90, "sigma_quantiles": [], "frames": [], "trajectory": trajectory,
        "wall_s": 1.0, **fields,
    }  # fmt: skip
    return Exploration(**own)


def bands(**fields: object) -> BandSet:
    own = {
        "generation": 2, "bands": [], "barriers": {"a": 0.3}, "barrier_spread": {"a": 0.01},
        "frames": [], "n_unphysical": 0, "wall_s": 1.0, **fields,
    }  # fmt: skip
    return BandSet(**own)


def metrics(runs: list[Exploration], **fields: object):
    return gather(runs, bands(**fields), CALIBRATION, n_labels=77, n_spent=80, n_selected=12)


def test_numbers_pass_through():
    m = metrics([run(900.0, 1, 2.0)])
    assert (m.generation, m.n_labels, m.n_spent, m.n_selected) == (2, 77, 80, 12)
    assert (m.rmse_forces, m.coverage_90) == (0.07, 0.91)
    assert (m.barriers, m.barrier_spread) == ({"a": 0.3}, {"a": 0.01})


def test_runs_at_one_temperature_are_pooled():
    """Hops add up, and so do ions times time: a rate of the pool, not a mean of rates."""
    m = metrics([run(1200.0, 5, 2.0), run(900.0, 1, 2.0), run(1200.0, 2, 0.5)])
    assert m.hop_rates == [
        HopRate(temperature=900.0, n_hops=1, ion_time_ps=46.0, n_effective=1.0),
        HopRate(temperature=1200.0, n_hops=7, ion_time_ps=57.5, n_effective=7.0),
    ]


def test_the_trusted_share_weighs_runs_by_their_judged_frames():
    short = run(900.0, 0, 1.0, n_checked=10, n_trusted=0)
    assert metrics([run(900.0, 0, 2.0), short]).trusted_share == pytest.approx(90 / 110)


def test_nothing_judged_is_unknown_not_zero():
    m = metrics([run(900.0, 0, 2.0, n_checked=0, n_trusted=0)])
    assert math.isnan(m.trusted_share)


def band(path_class: str, *, converged: bool) -> Band:
    return Band(
        symbols=["Li"], cell=np.eye(3).tolist(), images=np.zeros((3, 1, 3)).tolist(),
        energies=[0.0, 0.3, 0.0], ion=0, path_class=path_class, hop_distance=2.8,
        converged=converged, fmax=0.05, n_force_calls=1, engine="e", settings_hash="s", wall_s=0.0,
    )  # fmt: skip


def test_barriers_of_unconverged_bands_are_left_out_and_named():
    both = [band("a", converged=True), band("b", converged=False)]
    m = metrics([run(900.0, 1, 2.0)], bands=both, barriers={"a": 0.3, "b": 0.4})
    assert m.barriers == {"a": 0.3}
    assert m.unconverged_bands == ["b"]


def test_broken_runs_and_bands_count_together():
    broken = run(900.0, 0, 1.0, unphysical=True, stopped="hot")
    assert metrics([broken, run(900.0, 0, 1.0), broken], n_unphysical=1).unphysical_events == 3
    assert metrics([run(900.0, 0, 1.0)]).unphysical_events == 0


def test_hops_of_one_event_count_together_towards_errors() -> None:
    one = run(900.0, 6, 2.0)
    events = [hop.model_copy(update={"event": k // 3}) for k, hop in enumerate(one.hops)]
    (rate,) = metrics([one.model_copy(update={"hops": events})]).hop_rates
    assert (rate.n_hops, rate.n_effective) == (6, pytest.approx(2.0))


def test_biased_runs_count_for_nothing():
    """A bias makes hops, uncertainty and breakdowns that aren't the model's own."""
    plain = [run(900.0, 2, 2.0), run(1200.0, 5, 2.0)]
    biased = run(900.0, 40, 3.0, bias="tilt 0.1 eV/Å", n_trusted=0, unphysical=True)
    alone = run(600.0, 7, 3.0, bias="tilt 0.1 eV/Å")
    assert metrics([*plain, biased, alone]) == metrics(plain)
    unmarked = biased.model_copy(update={"bias": None})
    assert metrics([*plain, unmarked]) != metrics(plain)
