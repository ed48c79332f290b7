"""The report: one HTML file that needs no network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ionloop.report import (
    accuracy_tables,
    ledger_table,
    plots,
    stability,
    tables,
    transport_plots,
)
from ionloop.report.bounds import foresights
from ionloop.report.crystal import crystal_tables
from ionloop.report.found_hops import found_counts, found_hops
from ionloop.report.ledger_schema import Ledger
from ionloop.report.outcome import outcome, verdict
from ionloop.report.summary import Record
from ionloop.report.templates import TEMPLATES

#: Title and caption of each figure, in the report's order.
CAPTIONS = {
    "learning": (
        "Learning curve",
        (
            "Force error of the mobile ions on held-out labels of each generation "
            "(bars: RMSE/√2n over n frames), and the labels that each generation added, by origin."
        ),
    ),
    "bands": (
        "Hop barriers",
        (
            "Energy along each distinct hop: the last committee (bold), its predecessors (faint) "
            "and the reference, relaxed by the same method."
        ),
    ),
    "arrhenius": (
        "Diffusion against temperature",
        (
            "Tracer diffusivity with one standard error; hollow points aren't admissible by "
            "themselves, and the shaded band is the fit's own error."
        ),
    ),
    "msd": (
        "Mean squared displacement",
        (
            "Drift-corrected displacement of the mobile ions, averaged over time origins; "
            "the part that was fitted is bold."
        ),
    ),
    "hop_errors": (
        "Error along the hop",
        (
            "Force error of the hopping ion on held-out labels: a model that is good only near "
            "its sites rises in the shaded window, where diffusion is decided."
        ),
    ),
    "parity": (
        "Parity",
        (
            "Model against reference on held-out labels; each set of energies is less its mean, "
            "and charged cells are left out there."
        ),
    ),
    "calibration": (
        "Does the committee know its errors?",
        (
            "Left, calibrated spread against true error (dotted: perfect); right, how many errors "
            "lie below the 90 % bound, with its counting error over frames."
        ),
    ),
    "progress": (
        "Hops and trust",
        (
            "Hops seen in exploration (bars: √n of the count), and the share of judged frames with "
            "uncertainty below the trust limit."
        ),
    ),
}


@dataclass(frozen=True)
class Panel:
    """One figure as HTML, or the reason why there is none."""

    key: str
    title: str
    caption: str
    html: Markup | None
    missing: str


def write_report(record: Record, path: Path, ledger: Ledger | None = None) -> Path:
    """Write a campaign's report, finished or not.

    Parameters
    ----------
    record
        The campaign, as :func:`ionloop.store.queries.campaign_record` reads it.
    path
        File to write; its folder is made.
    ledger
        What it cost; None leaves that out.

    Returns
    -------
    Path
        The file, absolute.
    """
    path = path.expanduser().resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(record, ledger), encoding="utf-8")
    return path


def render(record: Record, ledger: Ledger | None = None) -> str:
    """Return the report as one string of HTML."""
    panels = {p.key: p for p in _panels(record)}
    measured = record.evaluation.accuracy if record.evaluation else None
    return TEMPLATES.get_template("template.html.j2").render(
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - plotly's own file
        record=record,
        verdict=verdict(record),
        outcome=outcome(record),
        advances=sorted(record.advances, key=lambda a: a.generation),
        numbers=tables.key_numbers(record),
        labels=tables.label_counts(record.shards),
        foresights=foresights(record.foresights),
        refused=tables.quarantine(record.shards),
        refusals=tables.refusals(record.shards),
        refused_max=tables.QUARANTINE_MAX,
        accuracy=accuracy_tables.accuracy_tables(record.evaluation),
        energy_words=accuracy_tables.energy_words(measured),
        saddle_words=accuracy_tables.saddle_words(measured),
        crystal=crystal_tables(record.scorecard),
        alarms=stability.alarms(record.evaluation),
        stability=stability.stability_table(record.evaluation),
        stability_words=stability.stability_words(record.evaluation),
        costs=tables.costs(record.evaluation.cost) if record.evaluation else [],
        ledger=ledger_table.sections(ledger) if ledger else [],
        ledger_header=ledger_table.HEADER,
        ledger_said=ledger_table.sentences(ledger) if ledger else [],
        found_hops=found_hops(record.found_bands),
        found_counts=found_counts(record.found_bands),
        stopped=[e for e in record.explorations if e.stopped],
        panels=panels,
        provenance=_provenance(record),
        hyperparameters=record.members[-1].hyperparameters.model_dump(exclude={"schema_version"})
        if record.members
        else {},
        members=[m for m in record.members if m.generation == record.members[-1].generation],
        details=_details(record),
    )


def _panels(record: Record) -> list[Panel]:
    evaluation = record.evaluation
    accuracy = evaluation.accuracy if evaluation else None
    figures = {
        "learning": plots.learning_curve(record.calibrations, record.shards),
        "bands": plots.bands(record.band_sets, record.seeds.bands if record.seeds else []),
        "arrhenius": transport_plots.arrhenius(evaluation),
        "msd": transport_plots.msd(evaluation),
        "hop_errors": plots.hop_coordinate_error(accuracy),
        "parity": plots.parity(accuracy),
        "calibration": plots.calibration(record.calibrations),
        "progress": plots.progress(record.advances),
    }
    return [
        Panel(
            key=key,
            title=CAPTIONS[key][0],
            caption=CAPTIONS[key][1],
            html=None if isinstance(figure, str) else _figure_html(figure, key),
            missing=figure if isinstance(figure, str) else "",
        )
        for key, figure in figures.items()
    ]


def _figure_html(figure: go.Figure, key: str) -> Markup:
    html = plotly.io.to_html(
        figure,
        full_html=False,
        include_plotlyjs=False,
        div_id=f"figure-{key}",
        config={"displaylogo": False, "responsive": True, "displayModeBar": False},
    )
    return Markup(html)  # noqa: S704 - plotly escapes what it writes into its script


def _provenance(record: Record) -> list[tuple[str, str]]:
    """Return what identifies the numbers: seeds, hashes, engines, versions."""
    labels = [x for s in record.shards for x in s.labels]
    rows = [("campaign", record.campaign_id)]
    if record.start:
        rows += [
            ("random seed", str(record.start.random_seed)),
            ("reference", record.start.reference),
            ("settings hash of the reference", record.start.settings_hash),
            ("classes of hops (in the cell)", _listed(record.start.hops)),
            ("classes of hops left out", _listed(record.start.hops_left_out)),
        ]
    rows += [
        ("settings hashes of the labels", ", ".join(sorted({x.settings_hash for x in labels}))),
        ("engines of the labels", ", ".join(sorted({x.engine for x in labels}))),
    ]
    if record.start:
        rows += [(f"version of {k}", v) for k, v in sorted(record.start.versions.items())]
    return [(name, value or tables.DASH) for name, value in rows]


def _listed(found: dict[str, int] | dict[str, str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in found.items())


def _details(record: Record) -> list[tuple[str, str]]:
    """Return the long settings as indented JSON."""
    if record.start is None:
        return []
    parts: dict[str, dict[str, Any]] = {
        "Profile of the material": record.start.profile,
        "Settings of the reference": record.start.settings,
        "Campaign with all its Makers": record.start.campaign,
    }
    return [
        (title, json.dumps(part, indent=2, ensure_ascii=False, default=str))
        for title, part in parts.items()
    ]
