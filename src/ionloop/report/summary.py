"""A campaign in one line, finished or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ionloop.campaign.schema import Advance, CampaignStart
from ionloop.evaluate.schema import BarrierComparison, Estimate, Evaluation
from ionloop.evaluate.scorecard import compare_barriers, lowest_barrier
from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.explore.schema import BandSet, Exploration, FoundBands
from ionloop.label.schema import LabelShard
from ionloop.seed.schema import SeedFrames
from ionloop.train.schema import Calibration, Foresight, Member

MISSING = "n/a"


class Record(Protocol):
    """What a report reads of a campaign: the store's ``CampaignRecord`` has it all."""

    campaign_id: str
    start: CampaignStart | None
    seeds: SeedFrames | None
    shards: list[LabelShard]
    members: list[Member]
    calibrations: list[Calibration]
    foresights: list[Foresight]
    explorations: list[Exploration]
    band_sets: list[BandSet]
    found_bands: list[FoundBands]
    advances: list[Advance]
    evaluation: Evaluation | None
    scorecard: Scorecard | None


@dataclass(frozen=True)
class Summary:
    """A campaign's outcome; strings are ready to print, 'n/a' where there is no number."""

    converged: bool
    generations: int
    labels: int
    quarantined: int
    readmitted: int
    barrier_model_mev: str
    barrier_reference_mev: str
    ea_model_ev: str
    ea_reference_ev: str


def last_advance(record: Record) -> Advance | None:
    """Return the last generation's verdict; None before the first one."""
    return max(record.advances, key=lambda a: a.generation, default=None)


def last_bands(record: Record) -> BandSet | None:
    """Return the last committee's bands."""
    return max(record.band_sets, key=lambda b: b.generation, default=None)


def barriers_of(record: Record) -> Sequence[BarrierComparison]:
    """Return the evaluation's barriers; before it, those of the last generation."""
    if record.evaluation is not None:
        return record.evaluation.barriers
    return compare_barriers(last_bands(record), record.seeds.bands if record.seeds else [])


def summarize(record: Record) -> Summary:
    """Sum a campaign up; ``labels`` counts all admitted labels, test sets included."""
    last = last_advance(record)
    barrier = lowest_barrier(barriers_of(record))
    ours, truth = activation_energies(record.evaluation)
    return Summary(
        converged=last is not None and last.judgement.converged,
        generations=len({a.generation for a in record.advances}),
        labels=sum(s.n_admitted for s in record.shards),
        quarantined=sum(s.n_quarantined for s in record.shards),
        readmitted=sum(s.n_readmitted for s in record.shards),
        barrier_model_mev=mev(barrier.model if barrier and barrier.model_converged else None),
        barrier_reference_mev=mev(
            barrier.reference if barrier and barrier.reference_converged else None
        ),
        ea_model_ev=_with_error(ours),
        ea_reference_ev=_with_error(truth),
    )


def activation_energies(
    evaluation: Evaluation | None,
) -> tuple[Estimate | None, Estimate | None]:
    """Return the activation energies of model and reference, by one and the same estimator.

    That of D where both have an admissible one, or the model alone where there is no
    reference; else that of the hop rate, which shorter runs can give. Where neither is
    admissible for both, the first that both have a value for, else that of D.
    """
    if evaluation is None:
        return None, None
    known = [evaluation.model_transport, evaluation.reference_transport]
    by_d = [t.activation_energy if t else None for t in known]
    by_hops = [t.hop_activation_energy if t else None for t in known]
    wanted = [i for i, t in enumerate(known) if t is not None]
    for strict in (True, False):
        for pair in (by_d, by_hops):
            found = [pair[i] for i in wanted]
            if all(e is not None and e.value is not None for e in found) and (
                not strict or all(e is not None and e.admissible for e in found)
            ):
                return pair[0], pair[1]
    return by_d[0], by_d[1]


def summary_line(record: Record, *, wall_s: float, report: str, name: str = "demo") -> str:
    """Return a campaign's outcome in one line, for machines and people.

    A barrier of a band that didn't converge, or an activation energy that breaks a rule of
    its estimator, is 'n/a'; the report gives the number, with the rule.

    Parameters
    ----------
    record
        The campaign as stored.
    wall_s
        Wall time of the run, s.
    report
        Path of the HTML report.
    name
        Begins the line.
    """
    found = summarize(record)
    return (
        f"{name}: converged={str(found.converged).lower()} generations={found.generations} "
        f"labels={found.labels} "
        f"barrier_meV={found.barrier_model_mev}/{found.barrier_reference_mev} "
        f"ea_eV={found.ea_model_ev}/{found.ea_reference_ev} wall_s={wall_s:.0f} report={report}"
    )


def mev(value: float | None) -> str:
    """Write a barrier, eV, in meV."""
    return MISSING if value is None else f"{1000 * value:.0f}"


def _with_error(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None or estimate.error is None:
        return MISSING
    if not estimate.admissible:
        return MISSING
    return f"{estimate.value:.3f}±{estimate.error:.3f}"
