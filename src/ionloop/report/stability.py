"""What a report says of stability: a verdict that nobody overlooks, and a table of the runs."""

from __future__ import annotations

from ionloop.evaluate.schema import Evaluation, Stability
from ionloop.report.accuracy_tables import DASH, Table

#: A shorter run shows gross faults alone, ps.
LONG_PS = 500.0
#: What to do about a potential that isn't stable.
REMEDY = (
    "Longer and hotter exploration can bring labels of what it met there: ExploreMaker.md_steps, "
    "Profile.temperatures."
)
#: Closest contacts that are shown.
CONTACTS = 3


def stability_table(evaluation: Evaluation | None) -> Table:
    """Return one row a member, or why there is none."""
    if evaluation is None:
        return Table([], [], "The campaign hasn't been evaluated yet.")
    header = ["model", "run", "verdict", "Lindemann ratio", "atoms beyond it / %",
              "closest contacts", "drift / meV atom⁻¹ ps⁻¹"]  # fmt: skip
    return Table(header, [_row(run) for run in evaluation.stability], _left_out(evaluation))


def _row(run: Stability) -> list[str]:
    near = ", ".join(f"{'–'.join(c.pair)} {c.distance:.2f} Å" for c in run.contacts[:CONTACTS])
    length = f"{run.survived_ps:g} of {run.picoseconds:g} ps"
    drift = DASH
    if run.drift is not None and run.drift.value is not None:
        drift = f"{run.drift.value:+.2g} ± {run.drift.error or 0:.1g} in {run.nve_ps:g} ps"
    return [
        run.steered_by or DASH,
        f"{length}, {run.n_atoms} atoms, {run.temperature:g} K",
        verdict_of(run),
        f"{run.lindemann:.3f}",
        f"{100 * run.wandering:.2g}",
        near or DASH,
        drift,
    ]


def verdict_of(run: Stability) -> str:
    """Say whether a run held, and which rules it broke."""
    if not run.failures:
        return "stable"
    return "UNSTABLE: " + "; ".join(f"not “{c.name}”: {c.detail}" for c in run.failures)


def stability_words(evaluation: Evaluation | None) -> str:
    """Say how long the runs are, and what a short one is worth."""
    if evaluation is None or not evaluation.stability:
        return ""
    asked = min(run.picoseconds for run in evaluation.stability)
    short = (
        f" These runs of {asked:g} ps are short: they show gross faults alone; "
        f"EvaluateMaker.stability_ps of {LONG_PS:g} is what a potential for use deserves."
        if asked < LONG_PS
        else ""
    )
    return (
        "Each member steers molecular dynamics at 1.2 times the highest transport temperature in "
        f"the campaign's own cell, then without a bath.{short}"
    )


def alarms(evaluation: Evaluation | None) -> list[str]:
    """Return what must not be overlooked: members that explode, melt or heat up by themselves."""
    if evaluation is None:
        return []
    return [
        f"Unstable potential: {run.steered_by or 'a member'} at {run.temperature:g} K. "
        + " ".join(f"{c.name[0].upper()}{c.name[1:]}: no, {c.detail}." for c in run.failures)
        + f" {REMEDY}"
        for run in evaluation.stability
        if run.failures
    ]


def stability_line(evaluation: Evaluation) -> str:
    """Sum up in one line for a terminal: who held, and for how long."""
    runs = evaluation.stability
    if not runs:
        return f"stability: not tried. {_left_out(evaluation)}"
    held = sum(not run.failures for run in runs)
    alarm = "" if held == len(runs) else "UNSTABLE: "
    asked, hottest = min(run.picoseconds for run in runs), max(run.temperature for run in runs)
    return (
        f"stability: {alarm}{held} of {len(runs)} members keep the solid for {asked:g} ps at "
        f"{hottest:g} K"
    )


def _left_out(evaluation: Evaluation) -> str:
    if evaluation.stability_ps is None:
        return "This evaluation is from before stability was tried."
    return "Left out: EvaluateMaker.stability_ps is 0."
