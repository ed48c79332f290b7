"""Activation energy of the hop rate: what short runs can still tell.

Where runs are too short for D, hops can be counted; their rate follows its own Arrhenius
law. Hops that go back count too, so it isn't the activation energy of D where motion is
correlated: model and reference are compared by the same count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from ionloop.errors import EvaluationError
from ionloop.evaluate.endings import doubt
from ionloop.evaluate.schema import Estimate
from ionloop.explore.detector import hop_detector, settle_sites
from ionloop.explore.rates import effective_count, event_sizes
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
#: Below this probability of a larger deviance, one Arrhenius line doesn't describe the counts.
P_VALUE_MIN = 0.01
ESTIMATOR = "Poisson regression of hop counts on 1/kT, residence 0.2 ps"


@dataclass(frozen=True)
class Misfit:
    """How far counts lie from what was fitted to them."""

    deviance: float
    pearson: float  #: Pearson's X².
    freedom: int  #: Degrees of freedom: counts less fitted parameters.

    @property
    def p_value(self) -> float:
        """Probability of a larger deviance, were the fit true."""
        return float(stats.chi2.sf(self.deviance, self.freedom))

    @property
    def dispersion(self) -> float:
        """Variance of the counts over Poisson's; 1 where they scatter less than that."""
        return max(1.0, self.pearson / self.freedom)


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
    sizes: dict[float, list[int]] = {run.temperature: [] for run in trajectories}
    times: dict[float, float] = defaultdict(float)
    read = [(run, *_positions(run, skip_fs)) for run in trajectories]
    seen = [one for one in read if len(one[1]) > 1]
    shared = hop_detector(start, host, profile, INTERVAL_FS)
    if seen and profile.sites != "crystal":
        # All temperatures share their sites: rates must be of the same hops.
        shared, _ = settle_sites(shared, [x for _, x, _ in seen], host, profile)
    for run, positions, interval in seen:
        detector = replace(shared, frame_interval_fs=interval)
        sizes[run.temperature] += event_sizes(detector.detect(positions))
        time_ps = (len(positions) - 1) * interval / 1000.0
        times[run.temperature] += time_ps * len(detector.mobile)
    return _rates(sizes, times)


def _positions(run: Trajectory, skip_fs: float) -> tuple[np.ndarray, float]:
    """Return the positions that hops are counted on, and the time between them, fs."""
    stride = max(1, round(INTERVAL_FS / run.frame_interval_fs))
    used = run.positions[round(skip_fs / run.frame_interval_fs) :: stride]
    return used, stride * run.frame_interval_fs


def _rates(sizes: Mapping[float, list[int]], times: Mapping[float, float]) -> list[HopRate]:
    return [
        HopRate(
            temperature=t,
            n_hops=sum(sizes[t]),
            ion_time_ps=times.get(t, 0.0),
            n_effective=effective_count(sizes[t]),
        )
        for t in sorted(sizes)
    ]


def hop_activation(rates: Sequence[HopRate], doubts: str | None = None) -> Estimate:
    r"""Fit the activation energy of the hop rate.

    .. math:: n_i \sim \mathrm{Poisson}\left(\tau_i e^{a - E / kT_i}\right)

    by maximum likelihood (Newton); the error is from Fisher's information (McCullagh & Nelder,
    *Generalized Linear Models*, 2nd ed., 1989). Temperatures without hops count: their zero is
    data. Hops of one event aren't independent: n and τ are those of as many independent hops as
    they are worth (:mod:`ionloop.explore.rates`). Where the counts still scatter more than
    Poisson's, since hops come in bursts, the error is multiplied by :math:`\sqrt{X^2 / (n - 2)}`
    (quasi-Poisson, § 4.5 of the same book), and the estimator says so. Whether there is one line
    at all is asked of the deviance, see :func:`misfit`.

    Parameters
    ----------
    rates
        Hop counts, one a temperature.
    doubts
        Why the counts themselves aren't to be trusted, as that runs ended early
        (:func:`ionloop.evaluate.endings.early_endings`) or that the framework moved
        (:func:`ionloop.evaluate.runs.moving_framework`); the energy isn't admissible then.

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
    total = sum(r.independent[0] for r in used)
    with_hops = sum(r.n_hops > 0 for r in used)
    if total < HOPS_MIN or with_hops < TEMPERATURES_MIN:
        none = Estimate(
            value=None,
            unit="eV",
            estimator=ESTIMATOR,
            admissible=False,
            reason=(
                f"{total:.3g} hops at {with_hops} temperatures, expected {HOPS_MIN} or more at "
                f"{TEMPERATURES_MIN} or more; run longer"
            ),
        )
        return doubt(none, doubts)
    solution, covariance = _poisson(used)
    found = misfit(used, solution)
    scale = float(np.sqrt(found.dispersion))
    widened = f", error times {scale:.2f} for overdispersion (quasi-Poisson)" if scale > 1 else ""
    estimate = Estimate(
        value=float(solution[1]),
        error=float(np.sqrt(covariance[1, 1])) * scale,
        unit="eV",
        estimator=f"{ESTIMATOR}, {_hops(used)}{widened}",
        admissible=True,
    )
    return doubt(doubt(estimate, _objection(found)), doubts)


def misfit(rates: Sequence[HopRate], solution: np.ndarray) -> Misfit:
    r"""Compare counts with a fit.

    .. math::
        D = 2 \sum_i \left[n_i \ln(n_i / \mu_i) - (n_i - \mu_i)\right], \quad
        X^2 = \sum_i (n_i - \mu_i)^2 / \mu_i

    with :math:`\mu_i = \tau_i e^{a - E / kT_i}` (McCullagh & Nelder, §§ 2.3 and 4.5). Both
    follow :math:`\chi^2(n - 2)` for many counts. For few, that is approximate: a count
    expected between 1 and 2 adds 1.15 to D on average instead of 1, one expected near 0
    nothing. Of simulated true lines with 8 to 60 hops at the hottest of three temperatures,
    0.6 to 1.3 % fell below ``P_VALUE_MIN`` (a test holds this below 2 %). Runs at one
    temperature are pooled, so that runs that differ among themselves don't show.

    Parameters
    ----------
    rates
        Hop counts, three or more temperatures, each with time.
    solution
        (a, E) of the fit, rate in 1/ps, E in eV.
    """
    kt = KB_EV_PER_K * np.array([r.temperature for r in rates])
    n, tau = _counts(rates)
    mean = tau * np.exp(solution[0] - solution[1] / kt)
    return Misfit(
        deviance=float(2 * (special.xlogy(n, n / mean) - (n - mean)).sum()),
        pearson=float(((n - mean) ** 2 / mean).sum()),
        freedom=len(n) - 2,
    )


def _hops(rates: Sequence[HopRate]) -> str:
    n, worth = sum(r.n_hops for r in rates), sum(r.independent[0] for r in rates)
    return f"{n} hops" if worth > n - 0.5 else f"{n} hops worth {worth:.0f} independent ones"


def _counts(rates: Sequence[HopRate]) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and ion-times of independent hops, each shape [n]."""
    counts, times = np.array([r.independent for r in rates], float).T
    return counts, times


def _objection(found: Misfit) -> str | None:
    if found.p_value >= P_VALUE_MIN:
        return None
    return (
        f"the hop counts don't lie on one Arrhenius line (deviance {found.deviance:.1f} at "
        f"{found.freedom} degree{'s' if found.freedom > 1 else ''} of freedom, "
        f"p = {found.p_value:.1e}): look for a phase transition, a curved plot, or hops in bursts"
    )


def _poisson(rates: Sequence[HopRate]) -> tuple[np.ndarray, np.ndarray]:
    """Return (a, E) and their covariance; 1/kT is centred for the iteration."""
    x = -1.0 / (KB_EV_PER_K * np.array([r.temperature for r in rates]))
    n, tau = _counts(rates)
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
