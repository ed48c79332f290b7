"""The hops of trajectory files at one temperature: sites, events, classes, rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.geometry import find_mic
from pymatgen.core import Structure

from ionloop.errors import ExplorationError
from ionloop.explore.concerted import REACH, WINDOW_FS, concerted_share, share_by_chance
from ionloop.explore.hops import HopAnalysis, HopDetector
from ionloop.explore.hosts import fit_host
from ionloop.explore.rates import CONFIDENCE, class_rates
from ionloop.explore.schema import HopEvent
from ionloop.explore.sites import (
    Choice,
    Sites,
    choose,
    crystal_sites,
    density_sites,
    framework_operations,
)
from ionloop.explore.survey_schema import HopSurvey
from ionloop.seed.symmetry import mobile_sites, site_classes
from ionloop.trajectory import TrajectoryStream


@dataclass(frozen=True)
class SurveyPlan:
    """How trajectories are looked at.

    Parameters
    ----------
    mobile_ion
        Element of the mobile ion.
    temperature
        Of all runs, K.
    frame_interval_fs
        Time between the frames of the files, fs.
    choice
        Where sites come from; "crystal" needs a host.
    residence_fs, window_fs, reach
        As for :class:`ionloop.explore.hops.HopDetector`.
    max_distance
        Longest hop that gets a class, Å.
    skip, stride
        Frames left out at the start of each file; every how many-th is used.
    confidence
        Of the rates' intervals.
    """

    mobile_ion: str
    temperature: float
    frame_interval_fs: float
    choice: Choice = "auto"
    residence_fs: float = 200.0
    window_fs: float = WINDOW_FS
    reach: float = REACH
    max_distance: float = 4.5
    skip: int = 0
    stride: int = 1
    confidence: float = CONFIDENCE

    @property
    def interval_fs(self) -> float:
        """Time between the frames that are used, fs."""
        return self.stride * self.frame_interval_fs


@dataclass(frozen=True)
class _Runs:
    """Mobile ions of all runs in one rest frame, and the framework's mean positions."""

    ions: list[np.ndarray]
    rest: np.ndarray
    symbols: list[str]
    cell: np.ndarray
    mobile: np.ndarray


def survey(
    streams: Sequence[TrajectoryStream],
    plan: SurveyPlan,
    rng: np.random.Generator,
    host: Structure | None = None,
) -> HopSurvey:
    """Find the hops of trajectories of one cell at one temperature.

    Parameters
    ----------
    streams
        Trajectories, of the same atoms and cell.
    plan
        How they are looked at.
    rng
        For the concerted share by chance.
    host
        The crystal, see :func:`ionloop.explore.hosts.fit_host`; its framework's symmetry
        sorts hops, and its mobile ions are sites if the choice falls on them.

    Raises
    ------
    ExplorationError
        If runs don't belong together, are too short, or the crystal's sites are asked for
        without a crystal.
    """
    runs = _read(streams, plan)
    sites = survey_sites(runs, plan, host)
    found = [_analyse(ions, runs, sites, plan, plan.residence_fs) for ions in runs.ions]
    longer = [_analyse(ions, runs, sites, plan, 2 * plan.residence_fs) for ions in runs.ions]
    hops = [
        [hop.model_copy(update={"ion": int(runs.mobile[hop.ion])}) for hop in one.events]
        for one in found
    ]
    ion_time = sum((len(x) - 1) * plan.interval_fs / 1000 for x in runs.ions) * len(runs.mobile)
    share, chance, error = _concerted(found, runs, plan, rng)
    n_hops = sum(len(one) for one in hops)
    returned = sum(_returns(one) for one in hops)
    return HopSurvey(
        temperature=plan.temperature,
        mobile_ion=plan.mobile_ion,
        frame_interval_fs=plan.interval_fs,
        residence_fs=plan.residence_fs,
        window_fs=plan.window_fs,
        reach=plan.reach,
        ion_time_ps=ion_time,
        sites=sites.choice,
        n_changes=sum(int((np.diff(one.site_trajectory, axis=0) != 0).sum()) for one in found),
        n_hops_longer=sum(len(one.events) for one in longer),
        concerted_share=share,
        chance_share=chance,
        chance_error=error,
        largest_event=max((hop.n_ions for one in hops for hop in one), default=0),
        returned_share=returned / n_hops if n_hops else None,
        rates=class_rates(hops, ion_time, plan.confidence),
        hops=hops,
    )


def survey_sites(runs: _Runs, plan: SurveyPlan, host: Structure | None) -> Sites:
    """Choose the sites of runs."""
    pooled = np.concatenate(runs.ions)
    crystal, framework = None, None
    if host is not None:
        fitted = fit_host(host, runs.symbols, runs.rest, runs.cell, plan.mobile_ion)
        framework = fitted.copy()
        framework.remove_species([plan.mobile_ion])
        classes = site_classes(fitted, plan.mobile_ion, plan.max_distance)
        crystal = crystal_sites(pooled, mobile_sites(fitted, plan.mobile_ion), runs.cell, classes)
    if plan.choice == "crystal":
        if crystal is None:
            msg = "expected a host for the crystal's sites, got none; give --host, or density"
            raise ExplorationError(msg)
        return crystal
    if framework is None:
        operations = framework_operations(runs.symbols, runs.rest, runs.cell)
    else:
        names = [site.specie.symbol for site in framework]
        operations = framework_operations(names, framework.cart_coords, runs.cell, symprec=0.1)
    peaks = density_sites(
        pooled, runs.cell, plan.mobile_ion, plan.max_distance, operations=operations
    )
    return peaks if plan.choice == "density" else choose(crystal, peaks)


def _read(streams: Sequence[TrajectoryStream], plan: SurveyPlan) -> _Runs:
    first = streams[0]
    mobile, framework = first.of(plan.mobile_ion), first.others(plan.mobile_ion)
    rest, ions = None, []
    for stream in streams:
        if stream.symbols != first.symbols or not np.allclose(stream.cell, first.cell, atol=0.05):
            msg = (
                f"expected the atoms and the cell of {first.name} in {stream.name}, got others; "
                "look at them one by one"
            )
            raise ExplorationError(msg)
        parts, total = [], np.zeros((len(framework), 3))
        for chunk in stream.chunks(framework=framework, skip=plan.skip, stride=plan.stride):
            parts.append(chunk.positions[:, mobile])
            total += chunk.positions[:, framework].sum(axis=0)
        n = sum(len(part) for part in parts)
        if n < 2:
            msg = f"{stream.name}: expected 2 frames or more after skipping, got {n}; skip less"
            raise ExplorationError(msg)
        mean = total / n
        rest = mean if rest is None else rest
        offset = find_mic(mean - rest, first.cell, pbc=True)[0].mean(axis=0)
        ions.append(np.concatenate(parts) - offset)
    symbols = [first.symbols[k] for k in framework]
    return _Runs(ions, np.asarray(rest), symbols, first.cell, mobile)


def _analyse(
    ions: np.ndarray, runs: _Runs, sites: Sites, plan: SurveyPlan, residence_fs: float
) -> HopAnalysis:
    """Find hops among positions that are continuous and free of drift already."""
    detector = HopDetector(
        cell=runs.cell,
        sites=sites.positions,
        mobile=np.arange(len(runs.mobile)),
        framework=np.zeros(0, int),
        frame_interval_fs=plan.interval_fs,
        residence_fs=residence_fs,
        path_classes=sites.classes,
        window_fs=plan.window_fs,
        reach=plan.reach,
    )
    return detector.analyse(ions, plan.temperature)


def _concerted(
    found: Sequence[HopAnalysis], runs: _Runs, plan: SurveyPlan, rng: np.random.Generator
) -> tuple[float | None, float | None, float | None]:
    """Return the concerted share of hops, that by chance, and its spread."""
    weights = np.array([len(one.events) for one in found], float)
    if not weights.sum():
        return None, None, None
    shares, chances = [], []
    for one in found:
        hops = one.as_arrays()
        numbers = np.array([hop.event for hop in one.events], int)
        duration = len(one.positions) * plan.interval_fs
        shares.append(concerted_share(hops.ions, numbers))
        chances.append(
            share_by_chance(
                hops, runs.cell, duration, rng, window_fs=plan.window_fs, reach=plan.reach
            )
        )
    weights /= weights.sum()
    used = weights > 0
    mean, error = np.array(chances)[used].T
    return (
        float(weights[used] @ np.array(shares)[used]),
        float(weights[used] @ mean),
        float(np.sqrt((weights[used] ** 2) @ error**2)),
    )


def _returns(hops: Sequence[HopEvent]) -> int:
    """Count hops that lead back where the same ion came from with its hop before."""
    before: dict[int, HopEvent] = {}
    n = 0
    for hop in hops:
        last = before.get(hop.ion)
        if last is not None and (last.site_from, last.site_to) == (hop.site_to, hop.site_from):
            n += 1
        before[hop.ion] = hop
    return n
