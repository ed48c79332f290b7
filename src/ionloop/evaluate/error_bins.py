"""Errors of a group of numbers, and how sure they are: a bootstrap over whole groups of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ionloop.evaluate.accuracy_schema import Bounded, ErrorBin

BOOTSTRAPS = 500
#: Quantiles of a 90 % interval.
INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class Compared:
    """Numbers of one frame: its group, the reference's and the model's, each of shape [n]."""

    group: str
    reference: np.ndarray
    model: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """The model's less the reference's."""
        return self.model - self.reference


def binned(pairs: Iterable[tuple[str, Compared]], rng: np.random.Generator) -> list[ErrorBin]:
    """Sum up by name, in the order of first appearance; a frame without numbers doesn't count."""
    by_name: dict[str, list[Compared]] = {}
    for name, compared in pairs:
        if compared.reference.size:
            by_name.setdefault(name, []).append(compared)
    return [error_bin(name, parts, rng) for name, parts in by_name.items()]


def error_bin(name: str, parts: Sequence[Compared], rng: np.random.Generator) -> ErrorBin:
    """Sum up force components of one or more frames."""
    residual = np.concatenate([p.residual for p in parts])
    reference = np.concatenate([p.reference for p in parts])
    error, interval = spread_of_rmse(parts, rng)
    return ErrorBin(
        name=name,
        n_frames=len(parts),
        n_groups=len({p.group for p in parts}),
        n_forces=residual.size,
        rmse_forces=float(np.sqrt((residual**2).mean())),
        mae_forces=float(np.abs(residual).mean()),
        rmse_error=error,
        interval=interval,
        rms_reference=float(np.sqrt((reference**2).mean())),
    )


def spread_of_rmse(
    parts: Sequence[Compared], rng: np.random.Generator
) -> tuple[float | None, tuple[float, float] | None]:
    """Return standard error and 90 % interval of the RMSE; None for a single group."""
    means = bootstrap_means(
        [p.group for p in parts],
        np.array([(p.residual**2).sum() for p in parts]),
        np.array([p.residual.size for p in parts], float),
        rng,
    )
    if means is None:
        return None, None
    roots = np.sqrt(means)
    low, high = (float(x) for x in np.quantile(roots, INTERVAL))
    return float(roots.std(ddof=1)), (low, high)


def bootstrap_means(
    groups: Sequence[str], sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Return means over groups drawn anew, shape [``BOOTSTRAPS``]; None for a single group.

    Frames of one trajectory or band are correlated, so a group is drawn or left as a whole.
    ``sums`` and ``counts`` are each frame's, shape [n].
    """
    names, index = np.unique(np.array(groups), return_inverse=True)
    if len(names) < 2:
        return None
    total, size = np.bincount(index, sums), np.bincount(index, counts)
    draws = rng.integers(len(names), size=(BOOTSTRAPS, len(names)))
    return np.asarray(total[draws].sum(axis=1) / size[draws].sum(axis=1))


def bounded(
    groups: Sequence[str],
    statistics: Callable[[np.ndarray], Sequence[float]],
    rng: np.random.Generator,
) -> list[Bounded]:
    """Return statistics of frames, each with its interval over groups drawn anew.

    Parameters
    ----------
    groups
        Of each frame, one or more.
    statistics
        Of the frames with these indices; NaN where one isn't defined.
    rng
        Draws groups.
    """
    values = np.asarray(statistics(np.arange(len(groups))), float)
    names, index = np.unique(np.array(groups), return_inverse=True)
    ends = np.full((2, len(values)), np.nan)
    if len(names) > 1:
        frames = [np.flatnonzero(index == i) for i in range(len(names))]
        draws = rng.integers(len(names), size=(BOOTSTRAPS, len(names)))
        found = np.array([statistics(np.concatenate([frames[i] for i in one])) for one in draws])
        # A draw in which a statistic isn't defined, as a correlation of one value, says nothing.
        known = np.isfinite(found).sum(axis=0) > BOOTSTRAPS // 2
        ends[:, known] = np.nanquantile(found[:, known], INTERVAL, axis=0)
    return [
        Bounded(
            value=float(value) if np.isfinite(value) else None,
            interval=(float(low), float(high)) if np.isfinite([value, low, high]).all() else None,
        )
        for value, low, high in zip(values, *ends, strict=True)
    ]
