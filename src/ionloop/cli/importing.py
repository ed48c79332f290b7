"""``ionloop import``: labels out of calculations that were paid for already."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ionloop.cli.console import err, out
from ionloop.cli.driving import ensure_database
from ionloop.cli.inputs import document
from ionloop.errors import ImportLabelsError
from ionloop.frame import Origin

if TYPE_CHECKING:
    from ionloop.label.imports import Imported
    from ionloop.label.schema import LabelShard
    from ionloop.profile import Profile
    from ionloop.reference.importers.reading import Reading


@dataclass(frozen=True)
class Read:
    """All files that could be read, and why others couldn't."""

    readings: list[Reading]
    unreadable: dict[str, str]


def import_labels(  # noqa: PLR0913
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="vasprun.xml, OUTCAR, CP2K output, extxyz, XDATCAR, DeePMD folder, or folders "
            "to search; gzipped or not."
        ),
    ],
    *,
    file: Annotated[
        Path | None,
        typer.Option("--out", help="Write extended xyz; without it the database gets the labels."),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(help="State the settings, JSON or YAML; what files say is held to it."),
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="Take the expected settings of this campaign's reference.")
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Believe what files don't say of their settings."),
    ] = False,
    stride: Annotated[int, typer.Option(min=1, help="Take every n-th step of each file.")] = 1,
    origin: Annotated[Origin, typer.Option(help="Origin of frames that name none.")] = Origin.AIMD,
    profile: Annotated[
        Path | None, typer.Option(help="Profile with the gate's limits, JSON or YAML.")
    ] = None,
    min_success: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share that must be admitted; the profile's if left out."),
    ] = None,
    type_map: Annotated[
        str | None, typer.Option(help="Elements of DeePMD's types, as Li,Ge,P,S.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take existing calculations as labels, through the same gate as a campaign's own."""
    from ionloop.label.imports import Terms, check_share, imported_shard, judge_readings

    expected = _expected(settings, campaign)
    read = _read_all(paths, stride, type_map.split(",") if type_map else None)
    limits = _profile(profile, read.readings)
    # Who states the settings vouches for them where a file keeps silent.
    terms = Terms(limits, expected, trust or settings is not None, origin)
    imported = judge_readings(read.readings, terms)
    shard = imported_shard(imported)
    minimum = limits.min_success_fraction if min_success is None else min_success
    check_share(shard, minimum, imported.skipped)
    summary = _summary(read, imported, shard)
    if file is not None:
        summary |= _write(shard, file, paths)
    else:
        summary["uuid"] = _store(shard, paths)
    if as_json:
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    else:
        _report(summary)


def _read_all(paths: list[Path], stride: int, type_map: list[str] | None) -> Read:
    """Read all sources; those that can't be read are passed over where others can.

    Raises
    ------
    ImportLabelsError
        If none can be read.
    """
    from ionloop.reference.importers.sources import find_sources

    sources = find_sources(paths)
    readings, unreadable = [], {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("reading", total=len(sources))
        for source in sources:
            progress.update(task, description=source.path.name)
            try:
                readings.append(source.read(type_map).every(stride))
            except ImportLabelsError as error:
                if len(sources) == 1:
                    raise
                unreadable[str(source.path)] = str(error)
            progress.advance(task)
    if not readings:
        first = next(iter(unreadable.values()))
        msg = f"none of {len(sources)} files could be read; the first: {first}"
        raise ImportLabelsError(msg)
    return Read(readings, unreadable)


def _expected(file: Path | None, campaign: str | None) -> dict[str, Any] | None:
    """Return the settings that all labels must have; None leaves it to the files.

    Raises
    ------
    ImportLabelsError
        If two sources name them.
    """
    if file is not None and campaign is not None:
        msg = "expected --settings or --campaign, got both; give one of them"
        raise ImportLabelsError(msg)
    if file is not None:
        return document(file, "settings")
    if campaign is None:
        return None
    from ionloop.store.queries import campaign_record, resolve_campaign

    ensure_database()
    start = campaign_record(resolve_campaign(campaign)).start
    if start is None:
        msg = f"campaign {campaign} has not begun: expected its first document, got none"
        raise ImportLabelsError(msg)
    return dict(start.settings)


def _profile(file: Path | None, readings: list[Reading]) -> Profile:
    """Return the gate's limits: a profile's, or the default ones."""
    from ionloop.profile import Profile

    if file is not None:
        return Profile.model_validate(document(file, "a profile"))
    symbols = sorted({s for r in readings for step in r.steps for s in step.symbols})
    # Only its limits are used here; charges are the frames' own.
    return Profile(name="import", mobile_ion=symbols[0], formal_charges=dict.fromkeys(symbols, 0))


def _write(shard: LabelShard, file: Path, paths: list[Path]) -> dict[str, str]:
    """Write the labels, and beside them what their hash is made of.

    Raises
    ------
    ImportLabelsError
        If that would overwrite what is imported, or isn't possible.
    """
    from ionloop.label.extxyz import write_extxyz

    if file.resolve() in {path.resolve() for path in paths}:
        msg = f"--out {file}: expected another file than the imported one"
        raise ImportLabelsError(msg)
    written = {"out": str(file)}
    try:
        write_extxyz(shard.labels, file)
        if shard.settings is not None:
            beside = file.with_suffix(".settings.json")
            beside.write_text(json.dumps(shard.settings, indent=2) + "\n", encoding="utf-8")
            written["settings_file"] = str(beside)
    except OSError as error:
        msg = f"--out {file}: {error.strerror or error}; give a file in a folder that you may write"
        raise ImportLabelsError(msg) from error
    return written


def _store(shard: LabelShard, paths: list[Path]) -> str:
    from ionloop.store.imports import store_shard

    ensure_database()
    return store_shard(shard, f"import {' '.join(str(path) for path in paths)}"[:200])


def _summary(read: Read, imported: Imported, shard: LabelShard) -> dict[str, Any]:
    admitted = Counter(label.directory for label in shard.labels)
    return {
        "n_admitted": shard.n_admitted,
        "n_quarantined": shard.n_quarantined,
        "n_duplicates": imported.duplicates,
        "reasons": shard.reasons,
        "skipped": imported.skipped,
        "unreadable": read.unreadable,
        "differing": imported.differing,
        "settings_hash": shard.settings_hash,
        "settings": shard.settings,
        "files": [
            {
                "path": str(r.path),
                "engine": r.engine,
                "n_steps": len(r.steps),
                "n_admitted": admitted[str(r.path.resolve())],
            }
            for r in read.readings
        ],
    }


def _report(summary: dict[str, Any]) -> None:
    """Say what was imported, and what wasn't and why."""
    total = summary["n_admitted"] + summary["n_quarantined"]
    out.print(
        f"{summary['n_admitted']} of {total} labels admitted from {len(summary['files'])} files, "
        f"settings {summary['settings_hash']}",
        highlight=False,
    )
    lines = [f"quarantined, {n} times: {reason}" for reason, n in summary["reasons"].items()]
    for path, keys in summary["differing"].items():
        lines.append(f"other settings in {path}: {'; '.join(keys)}")
    lines += [f"passed over, {n} times: {reason}" for reason, n in summary["skipped"].items()]
    if summary["n_duplicates"]:
        lines.append(f"passed over, {summary['n_duplicates']} times: frame that was there already")
    lines += [f"not read: {message}" for message in summary["unreadable"].values()]
    for line in lines:
        out.print(line, markup=False, highlight=False)
    if "out" in summary:
        out.print(summary["out"], markup=False, highlight=False)
    else:
        uuid = summary["uuid"]
        out.print(f"stored as {uuid}; give it to CampaignMaker(imported=[...])", highlight=False)
