"""What one generation showed, from its documents."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from ionloop.explore.rates import effective_count, event_sizes
from ionloop.explore.schema import BandSet, Exploration, FoundBands
from ionloop.judge.schema import HopRate, Metrics
from ionloop.train.schema import Calibration


def gather(
    explorations: Sequence[Exploration],
    bands: BandSet,
    calibration: Calibration,
    *,
    n_labels: int,
    n_spent: int,
    n_selected: int,
    found: FoundBands | None = None,
) -> Metrics:
    """Sum up a generation.

    Runs at one temperature are pooled; hops of one event count together towards errors. Barriers
    of unconverged bands are left out, and their path classes named. Runs and bands that ended
    early are counted together, whatever ended them: a run also ends at the uncertainty ceiling.
    Biased runs count for nothing: neither their hops nor what they are uncertain of, nor how they
    ended, is the model's own.
    """
    explorations = [e for e in explorations if e.bias is None]
    sizes: dict[float, list[int]] = defaultdict(list)
    times: dict[float, float] = defaultdict(float)
    for e in explorations:
        sizes[e.temperature] += event_sizes(e.hops)
        times[e.temperature] += e.n_mobile * e.time_ps
    # Where nothing was checked, the share is unknown: the judge can't pass it.
    checked = sum(e.n_checked for e in explorations)
    unconverged = sorted({band.path_class for band in bands.bands if not band.converged})
    return Metrics(
        generation=calibration.generation,
        n_labels=n_labels,
        n_spent=n_spent,
        barriers={path: e for path, e in bands.barriers.items() if path not in unconverged},
        unconverged_bands=unconverged,
        barrier_spread=bands.barrier_spread,
        hop_rates=[
            HopRate(
                temperature=t,
                n_hops=sum(sizes[t]),
                ion_time_ps=times[t],
                n_effective=effective_count(sizes[t]),
            )
            for t in sorted(times)
        ],
        trusted_share=sum(e.n_trusted for e in explorations) / checked if checked else math.nan,
        unphysical_events=sum(e.unphysical for e in explorations) + bands.n_unphysical,
        rmse_forces=calibration.rmse_forces,
        coverage_90=calibration.coverage_90,
        n_selected=n_selected,
        found_barriers=_repeated(found),
        found_unconverged=_open(found),
    )


def _repeated(found: FoundBands | None) -> list[tuple[str, float, float]]:
    """Barriers of repeated bands, before and now; those of bands that didn't converge left out."""
    if found is None:
        return []
    return [
        (found.bands[one.index].path_class, one.before, one.now)
        for one in found.repeated
        if found.bands[one.index].converged
    ]


def _open(found: FoundBands | None) -> int:
    """Count repeated hops that have no band now, or one that didn't converge."""
    if found is None:
        return 0
    unconverged = sum(not found.bands[one.index].converged for one in found.repeated)
    return found.n_lost + unconverged
