"""The criteria of convergence, each with a number, a limit and a reason in words."""

from __future__ import annotations

import math

from scipy.stats import beta

from ionloop.judge.schema import Criterion, HopRate, Limits, Metrics


def barrier_change(before: Metrics | None, now: Metrics, limits: Limits) -> Criterion:
    """Compare each path class's committee barrier with the last generation's."""
    if before is None:
        reason = "change of barriers: can't be judged, there is no generation before"
        return _barriers(None, reason, limits)
    if open_bands := _unconverged(before) + _unconverged(now):
        reason = f"change of barriers: can't be judged: {', '.join(open_bands)}"
        return _barriers(None, reason, limits)
    lost = sorted(set(before.barriers) ^ set(now.barriers))
    if lost or not now.barriers:
        what = f"no barrier in one of the generations for {', '.join(lost)}" if lost else "no bands"
        return _barriers(None, f"change of barriers: can't be judged, {what}", limits)
    changes = {path: now.barriers[path] - before.barriers[path] for path in now.barriers}
    worst = max(changes, key=lambda path: _or_inf(abs(changes[path])))
    change = abs(changes[worst])
    if not math.isfinite(change):
        reason = f"change of barriers: can't be judged, the barrier of {worst} isn't finite"
        return _barriers(None, reason, limits)
    verb = "are settled" if change < limits.barrier_change else "still move"
    reason = (
        f"barriers {verb}: {worst} went from {_mev(before.barriers[worst])} to "
        f"{_mev(now.barriers[worst])} meV, a change of {_mev(change)} meV "
        f"(limit {_mev(limits.barrier_change)} meV)"
    )
    return _barriers(change, reason, limits)


def barrier_spread(now: Metrics, limits: Limits) -> Criterion:
    """Compare the members' barriers with each other."""
    spreads = now.barrier_spread
    value = None
    if not spreads:
        reason = "spread of barriers over the committee: can't be judged, no bands"
    else:
        worst = max(spreads, key=lambda path: _or_inf(spreads[path]))
        if math.isfinite(spreads[worst]):
            value = spreads[worst]
            verb = "agrees" if value <= limits.barrier_spread else "disagrees"
            reason = (
                f"the committee {verb} on barriers: {worst} spreads by {_mev(value)} meV "
                f"(limit {_mev(limits.barrier_spread)} meV)"
            )
        else:
            reason = f"spread of barriers: can't be judged, that of {worst} isn't finite"
    return Criterion(
        name="barrier_spread",
        passed=value is not None and value <= limits.barrier_spread,
        value=value,
        limit=limits.barrier_spread,
        unit="eV",
        reason=reason,
    )


def found_change(now: Metrics, limits: Limits) -> Criterion:
    """Compare barriers of hops that MD showed in earlier generations, band by band.

    Hops that this generation found have nothing to be compared with, and hold nothing up.
    """
    value: float | None = None
    passed = now.found_unconverged == 0
    if not passed:
        n = now.found_unconverged
        reason = (
            f"barriers of hops that MD showed: can't be judged, {n} of them "
            f"{'has' if n == 1 else 'have'} no converged band any more"
        )
    elif not now.found_barriers:
        reason = "barriers of hops that MD showed: none has come back"
    else:
        name, before, after = max(now.found_barriers, key=lambda x: _or_inf(abs(x[2] - x[1])))
        value = abs(after - before)
        passed = value < limits.barrier_change
        reason = (
            f"barriers of hops that MD showed {'are settled' if passed else 'still move'}: {name} "
            f"went from {_mev(before)} to {_mev(after)} meV, the largest change of "
            f"{len(now.found_barriers)} (limit {_mev(limits.barrier_change)} meV)"
        )
    return Criterion(
        name="found_barrier_change",
        passed=passed,
        value=value,
        limit=limits.barrier_change,
        unit="eV",
        reason=reason,
    )


def hop_rate_change(before: Metrics | None, now: Metrics, limits: Limits) -> Criterion:
    r"""Compare hop rates temperature by temperature.

    With counts n and ion-times t of two Poisson processes,

    .. math::
        p = \frac{k_2 t_2}{k_1 t_1 + k_2 t_2}, \qquad
        \ln\frac{k_2}{k_1} = \ln\frac{p}{1 - p} - \ln\frac{t_2}{t_1}

    and n₂ of n₁ + n₂ is binomial with p (Przyborowski & Wilenski, Biometrika 31, 313 (1940)).
    Hops of one event aren't independent: n and t are those of as many independent hops as they
    are worth, see :mod:`ionloop.explore.rates`. Interval: Jeffreys', p ~ Beta(n₂ + ½, n₁ + ½)
    (Brown, Cai & DasGupta, Stat. Sci. 16, 101 (2001)). A change passes if the interval of
    ln(k₂/k₁) reaches 0, or if it's at most ln ``rate_factor``, at each temperature. Since an
    interval of a few hops reaches 0 whatever the rates are, each generation must also have
    ``min_hops`` hops, pooled over the temperatures that both generations simulated. Temperatures
    with no hop in either generation can't be judged and are named.
    """
    log_factor = math.log(limits.rate_factor)
    if before is None:
        reason = "change of hop rates: can't be judged, there is no generation before"
        return _rates(None, log_factor, reason)
    earlier = {rate.temperature: rate for rate in before.hop_rates}
    pairs = [(earlier[r.temperature], r) for r in now.hop_rates if r.temperature in earlier]
    pairs = [pair for pair in pairs if _has_time(pair)]
    if not pairs:
        reason = "change of hop rates: can't be judged, no temperature is in both generations"
        return _rates(None, log_factor, reason)
    judged = [(old, new) for old, new in pairs if old.n_hops + new.n_hops > 0]
    silent = [f"{new.temperature:g} K" for old, new in pairs if (old, new) not in judged]
    note = f"; no hops in either generation at {', '.join(silent)}" if silent else ""
    n_old, n_new = (sum(pair[i].independent[0] for pair in pairs) for i in (0, 1))
    too_few = (
        f"change of hop rates: too few hops to tell ({n_old:.3g} and {n_new:.3g}, "
        f"need {limits.min_hops} each){note}"
    )
    if not judged:
        return _rates(None, log_factor, too_few)
    results = []
    for old, new in judged:
        change, allowed = log_rate_change(old, new, limits.rate_confidence)
        results.append((abs(change), max(allowed, log_factor), old, new))
    change, limit, old, new = max(results, key=lambda r: r[0] / r[1])
    if change <= limit and min(n_old, n_new) < limits.min_hops:
        return _rates(None, log_factor, too_few)
    verb = "are settled" if change <= limit else "still change"
    reason = (
        f"hop rates {verb}: at {new.temperature:g} K {old.n_hops} hops in {old.ion_time_ps:.4g} "
        f"ion-ps, then {new.n_hops} in {new.ion_time_ps:.4g}, |Δ ln k| = {change:.2f} (limit "
        f"{limit:.2f}, the larger of the {limits.rate_confidence:.0%} interval and "
        f"ln {limits.rate_factor:g}){note}"
    )
    return _rates(change, limit, reason)


def log_rate_change(old: HopRate, new: HopRate, confidence: float) -> tuple[float, float]:
    """Return the change of ln(hop rate), and how large it could be by chance.

    Parameters
    ----------
    old, new
        Two counts, not both 0.
    confidence
        Confidence of the two-sided interval.

    Returns
    -------
    tuple[float, float]
        ln(k₂/k₁) with ½ added to both counts, so that it's finite; and its distance from
        the end of the interval (see :func:`hop_rate_change`) that lies towards 0. The
        interval reaches 0 if the first's magnitude is at most the second.
    """
    (n_old, t_old), (n_new, t_new) = old.independent, new.independent
    shape = n_new + 0.5, n_old + 0.5
    offset = math.log(t_new / t_old)
    change = math.log(shape[0] / shape[1]) - offset
    tail = (1 - confidence) / 2
    p = float(beta.ppf(tail if change > 0 else 1 - tail, *shape))
    bound = math.log(p / (1 - p)) - offset
    return change, abs(change - bound)


def trusted_share(now: Metrics, limits: Limits) -> Criterion:
    """Ask how many judged frames lie below sigma_lo."""
    share = now.trusted_share
    known = math.isfinite(share)
    passed = known and share >= limits.trusted_share
    reason = (
        f"{share:.1%} of the judged frames are trusted, {'enough' if passed else 'too few'} "
        f"(limit {limits.trusted_share:.1%})"
        if known
        else "share of trusted frames: can't be judged, no frame was"
    )
    return Criterion(
        name="trusted_share",
        passed=passed,
        value=share if known else None,
        limit=limits.trusted_share,
        unit="1",
        reason=reason,
    )


def unphysical_events(now: Metrics, limits: Limits) -> Criterion:
    """Ask how many runs and bands ended early, whatever ended them."""
    n = now.unphysical_events
    passed = n <= limits.unphysical_events
    reason = f"{n or 'no'} {'run or band' if n == 1 else 'runs or bands'} that ended early" + (
        "" if passed else f" (limit {limits.unphysical_events})"
    )
    return Criterion(
        name="unphysical_events",
        passed=passed,
        value=float(n),
        limit=float(limits.unphysical_events),
        unit="events",
        reason=reason,
    )


def _unconverged(metrics: Metrics) -> list[str]:
    where = f"in generation {metrics.generation}"
    return [f"band of {path} not converged {where}" for path in metrics.unconverged_bands]


def _barriers(value: float | None, reason: str, limits: Limits) -> Criterion:
    return Criterion(
        name="barrier_change",
        passed=value is not None and value < limits.barrier_change,
        value=value,
        limit=limits.barrier_change,
        unit="eV",
        reason=reason,
    )


def _rates(value: float | None, limit: float, reason: str) -> Criterion:
    return Criterion(
        name="hop_rate_change",
        passed=value is not None and value <= limit,
        value=value,
        limit=limit,
        unit="ln(1/ps)",
        reason=reason,
    )


def _has_time(pair: tuple[HopRate, HopRate]) -> bool:
    return all(rate.ion_time_ps > 0 for rate in pair)


def _or_inf(value: float) -> float:
    """Put what isn't finite first among the worst."""
    return value if math.isfinite(value) else math.inf


def _mev(energy: float) -> str:
    return f"{1000 * energy:.1f}"
