"""The table of how a committee's bounds held on the labels that it chose."""

from __future__ import annotations

from collections.abc import Sequence

from ionloop.train.schema import Foresight


def foresights(found: Sequence[Foresight]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of how bounds held on new labels, by origin."""
    header = ["labels of generation", "origin", "labels", "mobile ions", "within the bound / %",
              "RMS error over calibrated spread", ""]  # fmt: skip
    rows = [
        [
            str(one.generation) if k == 0 else "",
            part.origin,
            str(part.n_frames),
            str(part.n_ions),
            _share(part.coverage_90, part.interval),
            f"{part.error_ratio:.2f}",
            part.warning or "",
        ]
        for one in found
        for k, part in enumerate(one.origins)
    ]
    return header, rows


def _share(share: float, interval: tuple[float, float] | None) -> str:
    text = f"{100 * share:.0f}"
    return (
        text if interval is None else f"{text} ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})"
    )
