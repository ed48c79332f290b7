"""``python -m fault_trials``: run trials, print a line each, write the table."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from fault_trials.plan import MENUS
from fault_trials.run import Bench, trials
from fault_trials.table import line, markdown, write


def say(text: str) -> None:
    """Print a line now: trials take long."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Return 1 if a trial was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    parser.add_argument("--drop", type=float, default=30.0, help="how long connections drop, s")
    parser.add_argument("--setup", choices=MENUS, default="local", help="who runs the jobs")
    menus = "; ".join(f"{setup}: {','.join(menu)}" for setup, menu in MENUS.items())
    parser.add_argument("--kinds", default="", help=f"only these, of {menus}")
    parser.add_argument("--out", type=Path, help="folder of faults.json and faults.md")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    outcomes = []
    kinds = tuple(kind for kind in args.kinds.split(",") if kind)
    with Bench(args.drop) as bench:
        say(f"undisturbed: {bench.undisturbed_s:.1f} s")
        for outcome in trials(bench, args.trials, args.seed, kinds, args.setup):
            outcomes.append(outcome)
            say("\n    ".join([line(outcome), *outcome.notes]))
            if args.out:
                write(outcomes, args.out)
    say(markdown(outcomes))
    return any(not outcome.survived for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
