"""How often 90 % intervals of transport hold the truth, on walks with a known answer.

Run as ``python benchmarks/bench_transport_coverage.py [--repeats 200] [--seed 0]``.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from ionloop.testing.walks import (
    CASES,
    COLD_ENERGY,
    TOO_FEW,
    Case,
    arrhenius_of_walks,
    covers,
    free,
    step_at,
)


def share(found: list[bool | None]) -> str:
    """Write how many of those with an interval cover the truth."""
    known = [x for x in found if x is not None]
    return f"{np.mean(known):6.1%} of {len(known):3d}" if known else "            -"


def row_of(case: Case, repeats: int, rng: np.random.Generator) -> str:
    """Repeat a case, and write one line of the table."""
    points = [case.measure(rng) for _ in range(repeats)]
    follows = [p.conduction for p in points]
    values = np.array([p.d.value for p in points if p.d.value])
    errors = np.array([p.d.error for p in points if p.d.value])
    columns = [
        share([covers(p.d, case.d) for p in points]),
        share([covers(f.axes[0], case.d) if f else None for f in follows]),
        share([covers(f.collective, case.d / case.haven) if f else None for f in follows]),
        share([covers(f.haven_ratio, case.haven) if f else None for f in follows]),
        f"{values.mean() / case.d:6.3f}",
        f"{values.std() / case.d:6.3f}",
        f"{np.sqrt((errors**2).mean()) / case.d:6.3f}",
        f"{np.mean([p.d.admissible for p in points]):6.1%}",
    ]
    return f"{case.name:34s} | " + " | ".join(columns)


def bound_row(case: Case, repeats: int, rng: np.random.Generator) -> str:
    """Repeat a case with too few hops: the bound must hold, and there is no number."""
    points = [case.measure(rng) for _ in range(repeats)]
    numbers = sum(p.d.value is not None for p in points)
    held = [p.d.upper_bound > case.d for p in points if p.d.upper_bound is not None]
    return f"{case.name:34s} | bound holds {np.mean(held):6.1%} of {len(held)} | numbers {numbers}"


def arrhenius_rows(repeats: int, rng: np.random.Generator) -> list[str]:
    """Repeat Arrhenius fits of one line and of two."""
    rows = []
    for two_slopes in (False, True):
        found = [arrhenius_of_walks(rng, two_slopes=two_slopes) for _ in range(repeats)]
        room = free(step_at(300.0, two_slopes=two_slopes))
        energy = share([covers(x.activation_energy, COLD_ENERGY) for x in found])
        at_300 = share([covers(x.room.d if x.room else None, room) for x in found])
        broken = np.mean([x.transition is not None for x in found])
        width = np.median([x.room.decades for x in found if x.room])
        name = "Arrhenius, break at 750 K" if two_slopes else "Arrhenius, one line"
        rows.append(
            f"{name:34s} | E_a {energy} | D at 300 K {at_300} | break found {broken:6.1%} | "
            f"{width:.2f} decades"
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    begun = time.process_time()
    print(
        f"{'case':34s} | tracer D       | D along x      | collective D   | Haven ratio    | "
        "mean/D | sd/D   | err/D  | admissible"
    )
    for case in CASES:
        print(row_of(case, options.repeats, rng), flush=True)
    for case in TOO_FEW:
        print(bound_row(case, options.repeats, rng), flush=True)
    for row in arrhenius_rows(options.repeats, rng):
        print(row, flush=True)
    print(f"{time.process_time() - begun:.0f} s of CPU")


if __name__ == "__main__":
    main()
