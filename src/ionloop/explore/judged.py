"""A run's candidates with what selection needs: calibrated uncertainty and fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.explore.bias import UncertaintyBias
from ionloop.explore.candidates import Pick, pick_candidates
from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.guards import Framework, Guards
from ionloop.explore.hops import HopAnalysis, HopDetector
from ionloop.explore.replicas import MDPlan, MDRun
from ionloop.explore.schema import ExploreSettings
from ionloop.explore.tilt import Pull, Tilt
from ionloop.explore.uncertainty import CommitteeUncertainty, fingerprint
from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.train.schema import Calibration

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

#: Frames that the committee judges at a time.
BATCH = 8


def plan_of(settings: ExploreSettings, temperature: float, n_steps: int, seed: int) -> MDPlan:
    """Make the plan of runs at one temperature, K."""
    return MDPlan(
        temperature=temperature,
        n_steps=n_steps,
        time_step=settings.time_step,
        store_every=settings.store_every,
        check_every=settings.check_every,
        equilibration_steps=round(settings.equilibration_fs / settings.time_step),
        seed=seed,
    )


def guards_of(
    settings: ExploreSettings,
    profile: Profile,
    calibration: Calibration,
    detector: HopDetector | None = None,
) -> Guards:
    """Make the limits at which a run ends; a biased one's framework is looked at, too."""
    factor = np.inf if settings.ceiling_factor is None else settings.ceiling_factor
    framework = None
    if settings.bias != "none" and detector is not None and detector.framework_sites is not None:
        framework = Framework(detector.framework, detector.framework_sites, detector.cell)
    return Guards(
        sigma_ceiling=factor * calibration.sigma_hi,
        min_distance_fraction=profile.min_distance_fraction,
        framework=framework,
    )


def driver_of(
    settings: ExploreSettings,
    calculator: MACECalculator,
    member: int,
    detector: HopDetector,
    seed: int,
) -> Calculator:
    """Make who steers: one member, with the settings' bias; the mean if that is uncertainty."""
    n_atoms = len(detector.mobile) + len(detector.framework)
    ramp = round(settings.bias_ramp_fs / settings.time_step)
    if settings.bias == "uncertainty":
        return UncertaintyBias(
            CommitteeDriver(calculator, n_atoms=n_atoms),
            n_atoms,
            detector.mobile,
            settings.bias_cap,
            tau=settings.strength,
            ramp_steps=ramp,
        )
    one = CommitteeDriver(calculator, [member], n_atoms=n_atoms)
    if settings.bias == "none":
        return one
    pull = Pull(
        force=settings.strength,
        patience_steps=round(settings.bias_patience_fs / settings.time_step),
        rest_steps=round(2 * detector.residence_fs / settings.time_step),
        ramp_steps=ramp,
        seed=seed,
    )
    return Tilt(one, detector, pull, settings.bias_cap)


def candidates(
    start: Frame,
    run: MDRun,
    analysis: HopAnalysis,
    judge: CommitteeUncertainty,
    settings: ExploreSettings,
    tags: dict[str, Any],
    rng: np.random.Generator,
) -> list[Frame]:
    """Pick a run's candidates for labelling, each with uncertainty and fingerprint.

    Of the watch's peaks the committee judges twice as many as are wanted, so that they compete
    with the frames that it judged anyway. A biased run gives no frame of origin random: these
    calibrate and test, so they must be of the ensemble that the model is for.
    """
    peaks = sorted(run.peaks, key=lambda peak: -peak[1])[: 2 * settings.n_uncertain]
    judged_peaks = _judge_again(start, run, [index for index, _ in peaks], judge)
    picks = pick_candidates(
        replace(run, checks=[*run.checks, *judged_peaks]),
        analysis,
        tags["group"],
        max_events=settings.max_events,
        n_uncertain=settings.n_uncertain,
        n_random=settings.n_random if settings.bias == "none" else 0,
        rng=rng,
    )
    positions = [run.positions[pick.index] for pick in picks]
    return judged(start, positions, picks, judge, tags, describe=settings.fingerprints)


def _judge_again(
    start: Frame, run: MDRun, indices: Sequence[int], judge: CommitteeUncertainty
) -> list[tuple[int, float]]:
    """Let the committee judge stored frames that it hasn't judged yet."""
    known = {index for index, _ in run.checks}
    new = [index for index in indices if index not in known]
    frames = [Atoms(start.symbols, run.positions[i], cell=start.cell, pbc=True) for i in new]
    batches = [frames[k : k + BATCH] for k in range(0, len(frames), BATCH)]
    sigma = [value for batch in batches for value in judge.per_replica(batch).tolist()]
    return list(zip(new, sigma, strict=True))


def judged(
    start: Frame,
    positions: Sequence[np.ndarray],
    picks: Sequence[Pick],
    judge: CommitteeUncertainty,
    tags: dict[str, Any],
    *,
    describe: bool = True,
) -> list[Frame]:
    """Make candidates: the frames, their uncertainty, and their fingerprints if wanted."""
    made = []
    for x in positions:
        atoms = Atoms(start.symbols, x, cell=start.cell, pbc=True)
        atoms.wrap()
        made.append(atoms)
    batches = [made[k : k + BATCH] for k in range(0, len(made), BATCH)]
    sigma = [ions for batch in batches for ions in judge.per_replica_and_ion(batch)]
    frames = []
    for atoms, pick, per_ion in zip(made, picks, sigma, strict=True):
        focus = pick.hop.ion if pick.hop else int(judge.mobile[per_ion.argmax()])
        frames.append(
            Frame.from_atoms(
                atoms,
                charge=start.charge,
                origin=pick.origin,
                hop=pick.hop,
                uncertainty=float(per_ion.max()),
                descriptor=fingerprint(judge.calculator, atoms, focus) if describe else None,
                **tags,
            )
        )
    return frames
