"""Rows of the report's tables, numbers rounded for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ionloop.evaluate.schema import Cost, Estimate
from ionloop.evaluate.scorecard import reference_band
from ionloop.label.schema import LabelShard, kind_of
from ionloop.report.summary import Record, barriers_of

QUARANTINE_MAX = 200
DASH = "–"


@dataclass(frozen=True)
class KeyNumber:
    """One property by one calculator."""

    quantity: str
    calculator: str
    value: str
    unit: str
    estimator: str
    admissible: bool
    reason: str


@dataclass(frozen=True)
class Refused:
    """A quarantined label, or a number of them for one reason."""

    generation: int
    purpose: str
    frame: str
    origin: str
    reason: str
    folder: str


def with_error(value: float | None, error: float | None) -> str:
    """Write a value with its error, to the error's second digit.

    >>> with_error(0.32514, 0.0213)
    '0.325 ± 0.021'
    >>> with_error(2.04e-5, 3.1e-6)
    '(2.04 ± 0.31) × 10⁻⁵'
    >>> with_error(0.3251, None)
    '0.325'
    """
    if value is None:
        return DASH
    power = math.floor(math.log10(abs(value))) if value else 0
    if -3 <= power < 5:
        scale, suffix = 1.0, ""
    else:
        scale, suffix = 10.0**power, f" × 10{_superscript(power)}"
    if not error:
        digits = 3 if scale == 1.0 and power < 1 else 2
        return f"{value / scale:.{digits}f}{suffix}"
    digits = max(0, 1 - math.floor(math.log10(error / scale)))
    text = f"{value / scale:.{digits}f} ± {error / scale:.{digits}f}"
    return f"({text}){suffix}" if suffix else text


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def key_numbers(record: Record) -> list[KeyNumber]:
    """Return barriers, E_a and D(T) of model and reference, as far as there are any."""
    rows = _barriers(record)
    evaluation = record.evaluation
    if evaluation is None:
        return rows
    transports = [evaluation.model_transport, evaluation.reference_transport]
    known = [t for t in transports if t is not None]
    rows += [_estimate("Activation energy E_a", t.calculator, t.activation_energy) for t in known]
    rows += [
        _estimate("Activation energy of the hop rate", t.calculator, t.hop_activation_energy)
        for t in known
        if t.hop_activation_energy is not None
    ]
    rows += [
        _estimate(f"D at {p.temperature:g} K", t.calculator, p.d, _hops(p.n_eff))
        for t in known
        for p in t.points
    ]
    return rows


def _hops(n_eff: float | None) -> str:
    return "" if n_eff is None else f"N_eff {n_eff:.0f}"


def _barriers(record: Record) -> list[KeyNumber]:
    rows = []
    reference = record.seeds.bands if record.seeds else []
    for pair in barriers_of(record):
        name = f"Barrier of {pair.path_class}"
        if pair.model is not None:
            spread = None if pair.model_spread is None else 1000 * pair.model_spread
            why = _doubt(converged=pair.model_converged)
            how = f"{pair.estimator}; ± spread over members, uncalibrated"
            value = with_error(1000 * pair.model, spread)
            rows.append(KeyNumber(name, "committee", value, "meV", how, not why, why))
        if pair.reference is not None:
            band = reference_band(reference, pair.path_class)
            why = _doubt(converged=pair.reference_converged)
            how = f"{pair.estimator}; no statistical error"
            value = f"{1000 * pair.reference:.0f}"
            engine = f"reference ({band.engine})" if band else "reference"
            rows.append(KeyNumber(name, engine, value, "meV", how, not why, why))
    return rows


def _doubt(*, converged: bool | None) -> str:
    if converged is None:
        return "it isn't known whether the band reached its force limit"
    return "" if converged else "the band or one of its ends didn't reach its force limit"


def _estimate(quantity: str, calculator: str, found: Estimate, note: str = "") -> KeyNumber:
    return KeyNumber(
        quantity=quantity,
        calculator=calculator,
        value=with_error(found.value, found.error),
        unit=found.unit,
        estimator=f"{found.estimator}; {note}" if note else found.estimator,
        admissible=found.admissible,
        reason=found.reason or "",
    )


def label_counts(shards: Sequence[LabelShard]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table of labels by batch and origin."""
    origins = sorted({origin for s in shards for origin in s.counts})
    header = ["generation", "purpose", *origins, "admitted", "of them readmitted", "quarantined",
              "beyond the budget", "wall time / s"]  # fmt: skip
    rows = [
        [
            str(s.generation),
            s.purpose,
            *(str(s.counts.get(origin, 0)) for origin in origins),
            str(s.n_admitted),
            str(s.n_readmitted),
            str(s.n_quarantined),
            str(sum(s.left_out.values())),
            f"{s.wall_s:.0f}",
        ]
        for s in shards
    ]
    return header, rows


def quarantine(shards: Sequence[LabelShard]) -> list[Refused]:
    """Return quarantined labels; only counts of reasons where a shard left the labels out."""
    rows = []
    for s in shards:
        if s.quarantined:
            rows += [
                Refused(
                    s.generation,
                    s.purpose,
                    x.frame_hash,
                    x.frame.origin.value,
                    "; ".join(x.reasons),
                    x.directory,
                )
                for x in s.quarantined
            ]
        else:
            rows += [
                Refused(
                    s.generation, s.purpose, f"{n} frames" if n > 1 else "1 frame", DASH, why, ""
                )
                for why, n in s.reasons.items()
            ]
    return rows


def refusals(shards: Sequence[LabelShard]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table of quarantined labels by kind of reason.

    The most frequent comes first; a label with two reasons counts for both. Labels that were
    readmitted count by what had spoken against them.
    """
    refused = refusal_counts(shards)
    taken = Counter(
        kind
        for s in shards
        for x in s.labels
        if x.readmitted
        for kind in dict.fromkeys(map(kind_of, x.readmitted.overruled))
    )
    asked = sum(s.n_admitted + s.n_quarantined for s in shards)
    rows = [
        [kind, str(refused[kind]), f"{refused[kind] / asked:.1%}", str(taken[kind])]
        for kind, _ in (refused + taken).most_common()
    ]
    return ["reason", "quarantined", "of all labels", "readmitted by hand"], rows


def refusal_counts(shards: Sequence[LabelShard]) -> Counter[str]:
    """Count quarantined labels by kind of reason."""
    counts: Counter[str] = Counter()
    for s in shards:
        for reason, n in s.reasons.items():  # early shards counted each wording for itself
            counts[kind_of(reason)] += n
    return counts


def costs(cost: Sequence[Cost]) -> list[list[str]]:
    """Return the cost table, dearest last, with quartiles and the ratio to the cheapest."""
    ordered = sorted(cost, key=lambda c: c.seconds_per_step)
    return [
        [
            c.calculator,
            str(c.n_atoms),
            duration(c.seconds_per_step),
            " to ".join(map(duration, c.quartiles)) if c.quartiles else DASH,
            duration(c.seconds_per_step / c.n_atoms),
            f"{c.seconds_per_step / ordered[0].seconds_per_step:.3g}",
            str(c.n_timed),
            c.note,
        ]
        for c in ordered
    ]


def duration(seconds: float) -> str:
    """Write a time with a unit that fits it.

    >>> duration(0.0213), duration(3e-6), duration(75)
    ('21 ms', '3 µs', '75 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 else f"{seconds:.0f} s"
    return f"{seconds / 1e-6:.2g} µs"
