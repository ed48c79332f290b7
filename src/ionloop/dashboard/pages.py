"""The pages as HTML, made of what the store says; everything is escaped by the templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ionloop.dashboard.assets import address
from ionloop.dashboard.source import View
from ionloop.report import ledger_table
from ionloop.report.tables import DASH
from ionloop.report.templates import LOADER
from ionloop.store.overview import Generation, Overview
from ionloop.store.schema import CampaignStatus

#: Parts of a progress bar, and the FireWorks states that each counts.
PARTS = {
    "done": ("COMPLETED",),
    "running": ("RUNNING",),
    "queued": ("RESERVED",),  # chosen by a worker or sent to a batch system, and not begun
    "ready": ("READY",),
    "waiting": ("WAITING", "PAUSED"),
    "failed": ("FIZZLED", "DEFUSED"),
}
#: States of campaigns that change by themselves: their pages are loaded again and again.
LIVE = frozenset({"running", "waiting"})
_FAILURES_SHOWN = 20
_STAGES_SHOWN = 40


def campaigns_page(rows: list[CampaignStatus], total: int, page: int, size: int) -> str:
    """Return the list of campaigns."""
    return render("campaigns", rows=rows, total=total, page=page, last=max(1, -(-total // size)))


def campaign_page(view: View) -> str:
    """Return the page of one campaign."""
    found = view.overview
    status = found.status
    judged = [g.judgement for g in found.generations if g.judgement]
    return render(
        "campaign",
        found=found,
        status=status,
        failures=status.failures[:_FAILURES_SHOWN],
        failures_left=len(status.failures) - _FAILURES_SHOWN,
        facts=_facts(found),
        metrics=[one.metrics for one in judged],
        barriers=sorted({name for one in judged for name in one.metrics.barriers}),
        stage_rows=status.stages[::-1],
        stages_shown=_STAGES_SHOWN,
        latest=judged[-1] if judged else None,
        figures=view.figures,
        ledger=view.ledger,
        ledger_header=ledger_table.HEADER,
        ledger_rows=ledger_table.sections(view.ledger),
        ledger_said=ledger_table.sentences(view.ledger),
    )


def error_page(code: int, message: str) -> str:
    """Return a page that says what is wrong."""
    return render("error", code=code, message=message)


def _facts(found: Overview) -> list[tuple[str, str, str]]:
    """Return the campaign in numbers: value, what it is, and more of it."""
    status = found.status
    n, all_jobs = parts(status.jobs), sum(status.jobs.values())
    at_work = f"{n['running']} running" + (f", {n['queued']} queued" if n["queued"] else "")
    refused = sum(shard.n_quarantined for shard in found.shards)
    took = [g.took for g in found.generations if g.took]
    generation = DASH if status.generation is None else str(status.generation)
    judged = sum(g.judgement is not None for g in found.generations)
    return [
        (generation, "generation", f"{judged} judged"),
        (str(status.n_labels), "labels", f"{refused} quarantined" if refused else ""),
        (f"{n['done']} / {all_jobs}", "jobs done", at_work),
        (duration(took[-1]) if took else DASH, "last generation", _typical(took)),
        (ago(status.updated_on), "last change", f"{status.updated_on:%Y-%m-%d %H:%M} UTC"),
        (ago(status.created_on), "submitted", f"{status.created_on:%Y-%m-%d %H:%M} UTC"),
    ]


def _typical(took: list[timedelta]) -> str:
    if len(took) < 2:
        return "from verdict to verdict"
    return f"median of {len(took)}: {duration(sorted(took)[len(took) // 2])}"


def parts(jobs: dict[str, int]) -> dict[str, int]:
    """Count jobs by the parts of a progress bar.

    >>> parts({"COMPLETED": 3, "RESERVED": 1, "RUNNING": 1})
    {'done': 3, 'running': 1, 'queued': 1, 'ready': 0, 'waiting': 0, 'failed': 0}
    """
    return {name: sum(jobs.get(state, 0) for state in states) for name, states in PARTS.items()}


def duration(span: timedelta) -> str:
    """Write a time span in its two largest units.

    >>> duration(timedelta(hours=30)), duration(timedelta(seconds=75)), duration(timedelta(0))
    ('1 d 6 h', '1 min 15 s', '0 s')
    """
    left = max(0, round(span.total_seconds()))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next((i for i, (_, size) in enumerate(units) if left >= size), len(units) - 1)
    words: list[str] = []
    for unit, size in units[first : first + 2]:
        if left >= size or not words:
            words.append(f"{left // size} {unit}")
        left %= size
    return " ".join(words)


def ago(then: datetime) -> str:
    """Write roughly how long ago; a time without a zone is UTC, as FireWorks writes it."""
    aware = then if then.tzinfo else then.replace(tzinfo=UTC)
    number, unit, *_ = duration(datetime.now(UTC) - aware).split()
    return f"{number} {unit} ago"


def verdict(one: Generation) -> str:
    """Name what the judge decided, in a word."""
    if one.judgement is None:
        return "not judged yet"
    if one.judgement.converged:
        return "converged"
    return "stopped" if one.judgement.stop else "go on"


def _environment() -> Environment:
    made = Environment(
        loader=ChoiceLoader([PackageLoader("ionloop.dashboard"), LOADER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"ago": ago, "parts": parts, "duration": duration, "verdict": verdict}
    made.globals |= {"DASH": DASH, "LIVE": LIVE, "address": address}
    return made


_TEMPLATES = _environment()


def render(name: str, **values: Any) -> str:  # noqa: ANN401
    """Fill in a template of this folder."""
    return _TEMPLATES.get_template(f"{name}.html.j2").render(values)
