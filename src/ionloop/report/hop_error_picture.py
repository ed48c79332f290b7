"""Errors of several models along a hop: where on it a potential fails.

As Fig. 2 of Zhu and Zhu, Acc. Mater. Res. 3, 1101 (2022) claims of empirical potentials.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.files import whole
from ionloop.report.scorecard_names import colours_of, name_of

#: Bins of the hop coordinate, and points that a bin must have.
N_BINS, POINTS_MIN = 10, 3


def rms_along(points: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles of the bins of the hop coordinate, and the RMS of the errors there.

    Bins of fewer than three points are left out, and what lies beyond the hop's ends.

    Parameters
    ----------
    points
        Hop coordinate, 0 at the old site and 1 at the new one, and an error.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Both of shape [n bins].
    """
    s, error = np.array(points, float).reshape(-1, 2).T
    index = np.clip((s * N_BINS).astype(int), 0, N_BINS - 1)
    inside = (s >= 0) & (s <= 1)
    full = [i for i in range(N_BINS) if (inside & (index == i)).sum() >= POINTS_MIN]
    rms = [np.sqrt((error[inside & (index == i)] ** 2).mean()) for i in full]
    return (np.array(full) + 0.5) / N_BINS, np.array(rms)


def write_hop_errors(cards: Sequence[Scorecard], path: Path) -> None:
    """Draw force and energy errors against the hop coordinate as .png, .svg or .pdf.

    Raises
    ------
    EvaluationError
        If no scorecard has errors on a hop.
    """
    from matplotlib.figure import Figure

    done = [
        (card, card.accuracy.result)
        for card in cards
        if card.accuracy.result is not None and card.accuracy.result.progress_errors
    ]
    if not done:
        msg = (
            "expected a scorecard whose labels lie on known hops, got none; evaluate with labels "
            "of a campaign, or with hop_ion and hop_progress in the extended xyz"
        )
        raise EvaluationError(msg)
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    forces, energies = figure.subplots(1, 2)
    colours = colours_of([card for card, _ in done])
    for card, found in done:
        colour = colours[name_of(card)]
        for panel, points in (
            (forces, [(s, 1000 * e) for s, e in found.progress_errors]),
            (energies, [(s, 1000 * abs(e)) for s, e in found.progress_energies]),
        ):
            if not points:
                continue
            panel.plot(*np.array(points).T, ".", color=colour, alpha=0.3, ms=4)
            panel.plot(*rms_along(points), "o-", color=colour, lw=2)
    labels = {card.accuracy.settings.get("labels") for card, _ in done}
    doubt = "" if len(labels) == 1 else " (not comparable: of different labels)"
    forces.set(xlabel="hop coordinate", ylabel="force error of the hopping ion / meV Å⁻¹")
    energies.set(xlabel="hop coordinate", ylabel="energy error less its mean / meV atom⁻¹")
    for panel in (forces, energies):
        panel.set(yscale="log", xlim=(-0.05, 1.05))
        panel.axvspan(0.35, 0.65, color="0.93", zorder=0)
    handles = [forces.plot([], [], "o-", color=c, label=n)[0] for n, c in colours.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    figure.suptitle(
        ", ".join(dict.fromkeys(card.material for card, _ in done)) + doubt, x=0.02, ha="left"
    )
    with whole(path) as scratch:
        figure.savefig(scratch, dpi=130)
