"""What became of many trials, by kind of fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fault_trials.plan import CLUSTER_KINDS, KINDS
from fault_trials.trial import Outcome

HEAD = ("fault", "trials", "with others", "as it must", "resumes", "labels cut", "paid twice", "s")


def rows(outcomes: Sequence[Outcome]) -> list[tuple]:
    """Return a row a kind: how often it was done, and how those trials ended."""
    table = []
    for kind in dict.fromkeys((*KINDS, *CLUSTER_KINDS)):
        ours = [o for o in outcomes if kind in o.done]
        if not ours:
            continue
        mean_s = sum(o.wall_s for o in ours) / len(ours)
        table.append(
            (
                kind.replace("_", " "),
                len(ours),
                sum(len(o.done) > 1 for o in ours),
                sum(o.survived for o in ours),
                sum(o.resumes for o in ours),
                sum(o.cut for o in ours),
                sum(o.paid_twice for o in ours),
                f"{mean_s:.1f}",
            )
        )
    return table


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the table, and a line on all trials."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows(outcomes)]
    good = sum(o.survived for o in outcomes)
    faults = sum(len(o.done) for o in outcomes)
    bad = len(outcomes) - good
    missed = sum(len(o.missed) for o in outcomes)
    end = f"{len(outcomes)} trials: {good} ended as they must, {bad} not."
    lines += ["", f"{end} {faults} faults came in time, {missed} too late to matter."]
    return "\n".join(lines) + "\n"


def write(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write ``faults.json`` and ``faults.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.json").write_text(json.dumps([asdict(o) for o in outcomes], indent=1))
    (folder / "faults.md").write_text(markdown(outcomes))


def line(outcome: Outcome) -> str:
    """Say in a line what became of a trial."""
    done = "+".join([*outcome.done, *(f"({kind})" for kind in outcome.missed)]) or "nothing"
    verdict = "ok" if outcome.survived else "VIOLATED: " + "; ".join(outcome.violations)
    return (
        f"seed {outcome.plan.seed:4d}  {outcome.wall_s:5.1f} s  {outcome.resumes} resumes  "
        f"{done}: {verdict}"
    )
