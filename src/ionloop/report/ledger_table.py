"""What a campaign cost, as rows and sentences for people."""

from __future__ import annotations

from ionloop.evaluate.scorecard_schema import SpeedUp
from ionloop.report.ledger_schema import Ledger, LedgerLine, Spent

DASH = "–"
HEADER = ["", "jobs", "attempts", "wall time", "core time", "of all", "lost attempts",
          "lost core time"]  # fmt: skip
#: Generations that a table has; those before are summed up by the others.
GENERATIONS = 20


def sections(found: Ledger) -> list[tuple[str, list[list[str]]]]:
    """Return the tables of a ledger: kinds, stages, the latest generations, all."""
    parts = [
        ("kind of job", found.kinds),
        ("stage", found.stages),
        ("generation", found.generations[-GENERATIONS:]),
        ("all", [found.total]),
    ]
    return [(name, [row(one, found.total) for one in lines]) for name, lines in parts]


def row(one: LedgerLine, total: LedgerLine) -> list[str]:
    """Write a line of the ledger."""
    whole = total.total.core_hours
    share = DASH if not whole or total.total.wall_unknown_s else None
    return [
        one.name,
        str(one.n_jobs),
        str(one.total.n_attempts),
        hours(one.total.wall_s / 3600),
        core_time(one.total),
        share or f"{one.total.core_hours / whole:.0%}",
        str(one.lost.n_attempts or ""),
        core_time(one.lost) if one.lost.n_attempts else "",
    ]


def core_time(found: Spent) -> str:
    """Write core-hours; with ``≥`` where some cores aren't known, a dash where none are."""
    if found.wall_unknown_s:
        return f"≥ {hours(found.core_hours)}" if found.core_hours else DASH
    return hours(found.core_hours)


def hours(found: float) -> str:
    """Write hours in a unit that fits.

    >>> hours(0.001), hours(0.2), hours(7.25), hours(12345)
    ('3.6 s', '12 min', '7.25 h', '12,345 h')
    """
    if found * 60 < 1:
        return f"{found * 3600:.2g} s"
    if found < 1:
        return f"{found * 60:.2g} min"
    return f"{found:.3g} h" if found < 100 else f"{found:,.0f} h"


def core(found: float) -> str:
    """Write core-hours in a sentence.

    >>> core(0.5)
    '30 core-min'
    """
    return hours(found).replace(" ", " core-")


def sentences(found: Ledger) -> list[str]:
    """Say what labels cost, the reference's share, the speed-up, and what isn't known."""
    faster = [speed_up(one) for one in found.speed_up]
    return [*_labels(found), *_lost(found), *faster, *(_note(text) for text in found.notes)]


def _labels(found: Ledger) -> list[str]:
    labels = found.label_cost
    origins = ", ".join(f"{n} {origin}" for origin, n in sorted(labels.by_origin.items()))
    computed = f"{labels.n_admitted} ({origins})" if origins else f"{labels.n_admitted}"
    refused = f"{labels.n_quarantined} quarantined, {labels.n_imported} imported"
    said = [f"Labels: {computed}, {refused}."]
    if labels.core_hours_per_label is not None:
        own = labels.calculations_core_hours
        alone = "" if own is None else f"; the calculations alone took {core(own)}"
        said.append(f"A label cost {core(labels.core_hours_per_label)}{alone}.")
    if found.reference_share is not None:
        said.append(f"The reference took {found.reference_share:.0%} of all core-hours.")
    return said


def _lost(found: Ledger) -> list[str]:
    total = found.total
    parts = [
        f"{n} {what}"
        for n, what in (
            (total.n_failed, "failed"),
            (total.n_lost, "whose worker was lost"),
            (total.n_redone, "whose job ran again"),
        )
        if n
    ]
    if not parts:
        return []
    return [f"Lost attempts: {', '.join(parts)}; {hours(total.lost.wall_s / 3600)} of wall time."]


def speed_up(one: SpeedUp) -> str:
    """Say how much faster the model is."""
    name = f"Speed-up over {one.over} of {one.model}"
    if one.ratio is None:
        return f"{name}: not known, {one.missing}."
    spread = ""
    if one.quartiles:
        spread = f" (quartiles {one.quartiles[0]:.3g} to {one.quartiles[1]:.3g})"
    return f"{name}: {one.ratio:.3g}{spread}, core-seconds an atom of a label over a step's."


def _note(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
