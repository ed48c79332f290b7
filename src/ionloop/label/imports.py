"""Existing calculations through the gate: one settings hash, the same reasons, no frame twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ionloop.errors import ImportLabelsError
from ionloop.frame import Origin
from ionloop.label.schema import IMPORTED, Label, LabelShard, Refusal
from ionloop.label.shards import counted, example
from ionloop.profile import Profile
from ionloop.reference.base import hash_settings
from ionloop.reference.importers.compare import Comparison, Stated, compare, merge
from ionloop.reference.importers.reading import Reading
from ionloop.reference.quality import judge_point, refuse_jumps

#: Settings of files that say nothing of theirs, and for which nobody else does.
NOBODY = {"code": "unknown", "stated": "by nobody, imported on trust"}


@dataclass(frozen=True)
class Terms:
    """On which terms files become labels.

    Parameters
    ----------
    profile
        Limits of the gate.
    settings
        Settings that all labels must have; None takes those of the files.
    trust
        Whether to believe that files have them where they don't say.
    origin
        Origin of frames that name none.
    """

    profile: Profile
    settings: Mapping[str, Any] | None = None
    trust: bool = False
    origin: Origin = Origin.AIMD


@dataclass(frozen=True)
class Imported:
    """What became of a batch of files.

    Parameters
    ----------
    labels
        Judged, in the order of files and steps, no frame twice.
    settings
        What the hash was made of; None where files carry a hash only.
    settings_hash
        The one hash of the batch.
    differing
        How the settings of refused files differ, by file.
    skipped
        Steps, or parts of steps, that are no labels, by reason.
    duplicates
        Frames that had been there already.
    """

    labels: list[Label]
    settings: dict[str, Any] | None
    settings_hash: str
    differing: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0


def judge_readings(readings: Sequence[Reading], terms: Terms) -> Imported:
    """Judge all steps of all files.

    Parameters
    ----------
    readings
        The files; one file is one group.
    terms
        Limits, expected settings, and what may be believed.

    Raises
    ------
    ImportLabelsError
        If a file doesn't say with which settings it was computed, and isn't trusted.
    """
    expected = dict(terms.settings) if terms.settings is not None else _first(readings)
    differing: dict[str, list[str]] = {}
    for reading in readings:
        if expected is None or not reading.settings:
            _check_silent(reading, terms)
            continue
        found = _compare(reading, expected)
        if found.differing:
            differing[str(reading.path)] = found.differing
        elif found.unproven and not terms.trust:
            msg = (
                f"{reading.path} doesn't prove its settings: {', '.join(found.unproven[:6])}; if "
                "you know that they are as expected, say so with --trust"
            )
            raise ImportLabelsError(msg)
        else:
            expected = merge(expected, reading.settings)
    settings_hash = hash_settings(expected) if expected is not None else _own_hash(readings)
    labels = [
        label
        for reading in readings
        for label in _labels(reading, settings_hash, differing.get(str(reading.path)), terms)
    ]
    if terms.settings is not None and terms.settings.get("stress") is False:
        labels = [without_stress(label) for label in labels]
    kept = refuse_jumps(without_duplicates(labels))
    return Imported(
        labels=kept,
        settings=expected,
        settings_hash=settings_hash,
        differing=differing,
        skipped=dict(sum((Counter(reading.skipped) for reading in readings), Counter())),
        duplicates=len(labels) - len(kept),
    )


def without_stress(label: Label) -> Label:
    """Drop a stress that the settings don't vouch for."""
    return label.model_copy(update={"stress": None})


def _first(readings: Sequence[Reading]) -> dict[str, Any] | None:
    """Return the settings that all files must have: those of the file that says most.

    None if all files carry a hash of ours and no settings.
    """
    stating = [reading for reading in readings if reading.settings]
    if stating:
        return dict(min(stating, key=lambda reading: len(reading.unknown)).settings)
    answers = [step for r in readings for step in r.steps if step.failure is None]
    if answers and all("settings_hash" in step.own for step in answers):
        return None
    return dict(NOBODY)  # on trust, or refused before the hash is made


def _compare(reading: Reading, expected: Mapping[str, Any]) -> Comparison:
    cell = reading.steps[0].cell if reading.steps else None
    stated = Stated(reading.settings, reading.unknown, reading.mesh, cell)
    found = compare(expected, stated)
    # Where nothing was expected from outside, what no file states can't be expected.
    return Comparison(found.differing, [*dict.fromkeys([*found.unproven, *reading.unknown])])


def _check_silent(reading: Reading, terms: Terms) -> None:
    """Refuse a file that says nothing of its settings, unless its frames carry a hash."""
    answers = [step for step in reading.steps if step.failure is None]
    if terms.trust or all("settings_hash" in step.own for step in answers):
        return
    msg = (
        f"{reading.path} says nothing of the settings that it was computed with; state them with "
        "--settings FILE (JSON or YAML), or vouch with --trust that they are the expected ones"
    )
    raise ImportLabelsError(msg)


def _own_hash(readings: Sequence[Reading]) -> str:
    """Return the hash that the first labelled frame carries."""
    return next(str(s.own["settings_hash"]) for r in readings for s in r.steps if s.failure is None)


def _labels(
    reading: Reading, settings_hash: str, differing: list[str] | None, terms: Terms
) -> list[Label]:
    """Judge the steps of one file."""
    labels = []
    for i, step in enumerate(reading.steps):
        own = settings_hash if differing is None else hash_settings(reading.settings)
        if not reading.settings and "settings_hash" in step.own:
            own = str(step.own["settings_hash"])
        frame = reading.frame(i, terms.origin, str(reading.path))
        label = judge_point(frame, reading.point(i, own), settings_hash, terms.profile)
        if differing:
            told = Refusal.SETTINGS.because("; ".join(differing[:5]))
            reasons = [told if r == Refusal.SETTINGS else r for r in label.reasons]
            label = label.model_copy(update={"reasons": reasons})
        labels.append(label)
    return labels


def without_duplicates(labels: Sequence[Label]) -> list[Label]:
    """Keep each frame once: its first admitted label, or its first one."""
    chosen: dict[str, Label] = {}
    for label in labels:
        known = chosen.get(label.frame_hash)
        if known is None or (known.reasons and not label.reasons):
            chosen[label.frame_hash] = label
    keep = {id(label) for label in chosen.values()}
    return [label for label in labels if id(label) in keep]


def imported_shard(imported: Imported) -> LabelShard:
    """Put what was imported into the form that campaigns take.

    Of its frames only the admitted ones count as known: a campaign may ask its reference for
    a refused one.
    """
    admitted = [label for label in imported.labels if not label.reasons]
    return counted(
        imported.labels,
        generation=0,
        purpose=IMPORTED,
        frame_hashes=[label.frame_hash for label in admitted],
        settings_hash=imported.settings_hash,
        settings=imported.settings,
        wall_s=sum(label.wall_s for label in admitted),
    )


def check_share(shard: LabelShard, minimum: float, skipped: Mapping[str, int]) -> None:
    """Refuse a batch of which too little was admitted.

    Raises
    ------
    ImportLabelsError
        If the share is below ``minimum``, or nothing was admitted.
    """
    n = shard.n_admitted + shard.n_quarantined
    if n and shard.n_admitted and shard.n_admitted / n >= minimum:
        return
    frequent = [*Counter(shard.reasons).most_common(), *Counter(skipped).most_common()][:3]
    why = "; ".join(
        f"{count} times: {example(shard.quarantined, kind)[0]}" for kind, count in frequent
    )
    msg = (
        f"{shard.n_admitted} of {n} labels admitted, expected a share of at least {minimum:g}; "
        f"{why or 'the files hold none'}; leave out the files that are to blame, or lower "
        "--min-success"
    )
    raise ImportLabelsError(msg)
