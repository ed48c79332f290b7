"""``ionloop labels``: what was labelled, what was refused and why, and taking labels back."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from ionloop.cli.console import out
from ionloop.cli.driving import ensure_database

if TYPE_CHECKING:
    from ionloop.store.labels import StoredShard

#: Digits of a hash that people see; they suffice to name a label.
SHORT = 10


class ListByDefault(TyperGroup):
    """``ionloop labels CAMPAIGN`` is ``ionloop labels list CAMPAIGN``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own
        """Put the name of the command in front where none is given."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


labels_app = typer.Typer(
    cls=ListByDefault,
    help=(
        "Count a campaign's labels: ionloop labels [CAMPAIGN]. With --quarantined, list what was "
        "refused and why; with --json, all of it."
    ),
)


@labels_app.command("list")
def list_labels(
    campaign: Annotated[
        str | None, typer.Argument(help="Campaign id; the latest if left out.", show_default=False)
    ] = None,
    *,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="List refused labels, one a line.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count a campaign's labels batch by batch; `ionloop labels` alone does the same."""
    from ionloop.store.labels import decisions, stored_shards
    from ionloop.store.queries import resolve_campaign

    campaign_id = resolve_campaign(campaign)
    shards = stored_shards(campaign_id, heavy=["quarantined"] if quarantined or as_json else [])
    refused = [row for one in shards for row in _refused(one)]
    if as_json:
        found = {
            "campaign_id": campaign_id,
            "batches": [_counts(one) for one in shards],
            "quarantined": refused,
            "decisions": decisions(campaign_id).model_dump(mode="json"),
        }
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif quarantined:
        for row in refused:
            out.print(_line(row), markup=False, highlight=False)
        if not refused:
            out.print(f"{campaign_id} has no quarantined labels", highlight=False)
    else:
        out.print(_table(campaign_id, [one.shard for one in shards]))
        for kind, n in _kinds(shards).items():
            out.print(f"quarantined, {n} times: {kind}", markup=False, highlight=False)


@labels_app.command("readmit")
def readmit(
    campaign: Annotated[str, typer.Argument(help="Campaign id.")],
    hashes: Annotated[
        list[str], typer.Argument(help="Labels, as `ionloop labels --quarantined` names them.")
    ],
    *,
    reason: Annotated[
        str, typer.Option(help="Why they are good; kept with each label.")
    ] = "no reason given",
) -> None:
    """Take labels out of quarantine; they train from the next generation on."""
    from ionloop.store.labels import readmit_labels
    from ionloop.store.queries import resolve_campaign

    ensure_database()
    for label in readmit_labels(resolve_campaign(campaign), hashes, reason):
        trace = label.readmitted
        if trace is not None:
            out.print(
                f"readmitted {label.frame_hash[:SHORT]}, trains from generation "
                f"{trace.generation} on; overruled: {'; '.join(trace.overruled)}",
                markup=False,
                highlight=False,
            )


def _counts(one: StoredShard) -> dict[str, Any]:
    shard = one.shard
    names = {"generation", "purpose", "n_admitted", "n_quarantined", "n_readmitted", "counts",
             "reasons", "left_out", "settings_hash", "wall_s"}  # fmt: skip
    return shard.model_dump(mode="json", include=names)


def _refused(one: StoredShard) -> list[dict[str, Any]]:
    """Describe the quarantined labels of a batch."""
    from ionloop.label.decisions import objection

    return [
        {
            "frame_hash": label.frame_hash,
            "generation": one.shard.generation,
            "purpose": one.shard.purpose,
            "origin": label.frame.origin.value,
            "reasons": label.reasons,
            "directory": label.directory,
            "objection": objection(label, one.shard.settings_hash),
        }
        for label in one.shard.quarantined
    ]


def _line(row: dict[str, Any]) -> str:
    reasons = " ".join("; ".join(row["reasons"]).split())
    objection = row["objection"]
    verdict = f"can't be readmitted: {objection}" if objection else "can be readmitted"
    return (
        f"{row['frame_hash'][:SHORT]}  {row['purpose']} {row['generation']}  {row['origin']}  "
        f"{reasons}  {row['directory'] or 'no folder'}  {verdict}"
    )


def _kinds(shards: Sequence[StoredShard]) -> dict[str, int]:
    return dict(sum((Counter(one.shard.reasons) for one in shards), Counter()).most_common())


def _table(campaign_id: str, shards: Sequence[Any]) -> Table:
    origins = sorted({origin for shard in shards for origin in shard.counts})
    n = sum(shard.n_admitted for shard in shards)
    table = Table(title=f"{campaign_id}: {n} labels", title_justify="left")
    for name in ("generation", "purpose", *origins, "admitted", "readmitted", "quarantined"):
        table.add_column(name, justify="left" if name == "purpose" else "right")
    for shard in shards:
        counts = (shard.counts.get(origin, 0) for origin in origins)
        numbers = (*counts, shard.n_admitted, shard.n_readmitted, shard.n_quarantined)
        cells = [str(number) if number else "" for number in numbers]
        table.add_row(str(shard.generation), shard.purpose, *cells)
    return table
