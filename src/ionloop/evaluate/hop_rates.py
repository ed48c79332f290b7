"""Activation energy of the hop rate: what short runs can still tell.

Where runs are too short for D, hops can be counted; their rate follows its own Arrhenius
law. Hops that go back count too, so it isn't the activation energy of D where motion is
correlated: model and reference are compared by the same count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.evaluate.schema import Estimate
from ionloop.explore.detector import hop_detector
from ionloop.frame import Frame
from ionloop.judge.schema import HopRate
from ionloop.profile import Profile
from ionloop.reference.schema import Trajectory
from ionloop.units import KB_EV_PER_K

#: Time between frames that hops are counted on, so that all runs are seen alike, fs.
INTERVAL_FS = 50.0
#: Hops in all that an activation energy needs.
HOPS_MIN = 10
#: Temperatures with hops that it needs.
TEMPERATURES_MIN = 3
ESTIMATOR = "Poisson regression of hop counts on 1/kT, residence 0.2 ps"


def count_hops(
    trajectories: Sequence[Trajectory],
    start: Frame,
    host: Frame,
    profile: Profile,
    skip_fs: float,
) -> list[HopRate]:
    """Count hops at each temperature; runs at one temperature are pooled.

    Parameters
    ----------
    trajectories
        Runs; the first ``skip_fs`` of each are left out.
    start, host, profile
        The cell, its perfect crystal, and the mobile ion.
    skip_fs
        Equilibration, fs.
    """
    hops: dict[float, int] = defaultdict(int)
    times: dict[float, float] = defaultdict(float)
    for run in trajectories:
        stride = max(1, round(INTERVAL_FS / run.frame_interval_fs))
        interval = stride * run.frame_interval_fs
        positions = run.positions[round(skip_fs / run.frame_interval_fs) :: stride]
        hops[run.temperature] += 0
        if len(positions) < 2:
            times[run.temperature] += 0.0
            continue
        detector = hop_detector(start, host, profile, interval)
        hops[run.temperature] += len(detector.detect(positions))
        time_ps = (len(positions) - 1) * interval / 1000.0
        times[run.temperature] += time_ps * len(detector.mobile)
    return [HopRate(temperature=t, n_hops=hops[t], ion_time_ps=times[t]) for t in sorted(hops)]


def hop_activation(rates: Sequence[HopRate]) -> Estimate:
    r"""Fit the activation energy of the hop rate.

    .. math:: n_i \sim \mathrm{Poisson}\left(\tau_i e^{a - E / kT_i}\right)

    by maximum likelihood (Newton); the error is from Fisher's information (McCullagh &
    Nelder, *Generalized Linear Models*, 1989). Temperatures without hops count: their
    zero is data.

    Returns
    -------
    Estimate
        E in eV with one standard error; None with a reason below ``HOPS_MIN`` hops in all
        or hops at fewer than ``TEMPERATURES_MIN`` temperatures.

    Raises
    ------
    EvaluationError
        If the fit doesn't converge.
    """
    used = [r for r in rates if r.ion_time_ps > 0]
    total = sum(r.n_hops for r in used)
    with_hops = sum(r.n_hops > 0 for r in used)
    if total < HOPS_MIN or with_hops < TEMPERATURES_MIN:
        return Estimate(
            value=None,
            unit="eV",
            estimator=ESTIMATOR,
            admissible=False,
            reason=(
                f"{total} hops at {with_hops} temperatures, expected {HOPS_MIN} or more at "
                f"{TEMPERATURES_MIN} or more; run longer"
            ),
        )
    solution, covariance = _poisson(used)
    return Estimate(
        value=float(solution[1]),
        error=float(np.sqrt(covariance[1, 1])),
        unit="eV",
        estimator=f"{ESTIMATOR}, {total} hops",
        admissible=True,
    )


def _poisson(rates: Sequence[HopRate]) -> tuple[np.ndarray, np.ndarray]:
    """Return (a, E) and their covariance; 1/kT is centred for the iteration."""
    x = -1.0 / (KB_EV_PER_K * np.array([r.temperature for r in rates]))
    n = np.array([r.n_hops for r in rates], float)
    tau = np.array([r.ion_time_ps for r in rates])
    centre = x.mean()
    design = np.column_stack([np.ones(len(x)), x - centre])
    beta = np.array([np.log(n.sum() / tau.sum()), 0.0])
    for _ in range(100):
        mean = tau * np.exp(np.clip(design @ beta, -50, 50))
        information = design.T @ (mean[:, None] * design)
        step = np.linalg.solve(information, design.T @ (n - mean))
        largest = np.abs(step).max()
        beta = beta + step / max(1.0, largest)
        if largest < 1e-10:
            back = np.array([[1.0, -centre], [0.0, 1.0]])
            return back @ beta, back @ np.linalg.inv(information) @ back.T
    msg = f"hop-rate fit: expected convergence in 100 steps, got a last step of {largest:g}"
    raise EvaluationError(msg)
