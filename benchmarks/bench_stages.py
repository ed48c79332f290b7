"""Where a campaign's time went: wall time of each stage, from MongoDB.

    python benchmarks/bench_stages.py [CAMPAIGN]

Read after a run, as after `make demo`. A stage's span runs from its first job's start
to its last job's end; jobs of a stage run side by side, so their sum is larger.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from datetime import datetime

from rich.console import Console
from rich.table import Table

from ionloop.engine.launchpad import campaign_query, launchpad
from ionloop.store.queries import resolve_campaign


def main() -> None:
    """Print a table of one campaign."""
    campaign = resolve_campaign(sys.argv[1] if len(sys.argv) > 1 else None)
    lp = launchpad()
    spans: dict[tuple[int, str], list[tuple[datetime, datetime]]] = defaultdict(list)
    query = campaign_query(campaign) | {"state": "COMPLETED"}
    for fw in lp.fireworks.find(query, {"spec.generation": 1, "spec.stage": 1, "launches": 1}):
        for launch in lp.launches.find({"launch_id": {"$in": fw["launches"]}}):
            times = {s["state"]: s["created_on"] for s in launch["state_history"]}
            if "RUNNING" in times and "COMPLETED" in times:
                key = (fw["spec"]["generation"], fw["spec"]["stage"])
                spans[key].append((parse(times["RUNNING"]), parse(times["COMPLETED"])))
    table = Table(title=f"{campaign}: wall seconds")
    for name in ("generation", "stage", "jobs", "span", "sum over jobs"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for (generation, stage), found in sorted(spans.items(), key=lambda x: min(x[1])):
        span = max(e for _, e in found) - min(b for b, _ in found)
        total = sum((e - b).total_seconds() for b, e in found)
        row = (
            str(generation),
            stage,
            str(len(found)),
            f"{span.total_seconds():.1f}",
            f"{total:.1f}",
        )
        table.add_row(*row)
    everything = [x for found in spans.values() for x in found]
    whole = max(e for _, e in everything) - min(b for b, _ in everything)
    table.add_row("", "all", str(len(everything)), f"{whole.total_seconds():.1f}", "")
    Console().print(table)


def parse(value: datetime | str) -> datetime:
    """Read a time as FireWorks stores it."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


if __name__ == "__main__":
    main()
