"""A scorecard in a line: what lists of scorecards show."""

from __future__ import annotations

from dataclasses import dataclass

from ionloop.evaluate.scorecard_schema import Scaling, Scorecard
from ionloop.report.scorecard_walk import Verdict, verdict_of

NONE = "–"
#: Titles of what :func:`in_a_line` returns.
TITLES = ("forces of mobile ions, meV/Å", "B0, GPa", "D, cm²/s", "µs a step and atom")


@dataclass(frozen=True)
class Shown:
    """A scorecard, and what the database knows of it."""

    card: Scorecard
    key: str | None = None
    campaign_id: str | None = None
    generation: int | None = None
    stored: str | None = None


def in_a_line(card: Scorecard) -> tuple[str, str, str, str]:
    """Return what :data:`TITLES` name; a dash where it isn't known."""
    return forces(card), modulus(card), diffusion(card), time(card)


def measured_on(found: Scaling) -> str:
    """Say where the cost was measured."""
    cores = "cores not known, or a GPU" if found.cores is None else f"{found.cores} cores"
    return f"{cores}, {found.hardware or 'hardware not known'}"


def stability(card: Scorecard) -> Verdict:
    """Say whether the model's molecular dynamics stays physical."""
    return verdict_of(card.stability)


def forces(card: Scorecard) -> str:
    """Write the RMSE of the mobile ions' forces with its 90 % interval, meV/Å."""
    if (found := card.accuracy.result) is None:
        return NONE
    of_ion = [b for b in found.forces_by_species if b.name == card.mobile_ion]
    if not of_ion:
        return NONE
    text = f"{1000 * of_ion[0].rmse_forces:.3g}"
    if interval := of_ion[0].interval:
        text += f" ({1000 * interval[0]:.3g} to {1000 * interval[1]:.3g})"
    return text


def modulus(card: Scorecard) -> str:
    """Write the bulk modulus, GPa; with a question mark if it isn't admissible."""
    if card.static.result is None or card.static.result.bulk_modulus.value is None:
        return NONE
    estimate = card.static.result.bulk_modulus
    return f"{estimate.value:.3g}{'' if estimate.admissible else '?'}"


def diffusion(card: Scorecard) -> str:
    """Write D at the lowest temperature that has one, cm²/s."""
    if card.diffusion.result is None:
        return NONE
    points = card.diffusion.result.transport.transport.points
    for point in sorted(points, key=lambda p: p.temperature):
        if point.d.value is not None and point.d.admissible:
            return f"{point.d.value:.2g} ({point.temperature:.0f} K)"
    return "none admissible"


def time(card: Scorecard) -> str:
    """Write the time of a step and atom at the largest size, µs."""
    if card.cost.result is None:
        return NONE
    own = [cost for cost in card.cost.result.costs if cost.calculator == "model"]
    if not own:
        return NONE
    largest = max(own, key=lambda cost: cost.n_atoms)
    return f"{1e6 * largest.seconds_per_step / largest.n_atoms:.3g} ({largest.n_atoms} atoms)"
