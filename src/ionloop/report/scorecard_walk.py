"""Every rule and every estimate of a scorecard, found by walking its documents.

So a part that is added to the scorecard is shown with no more code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from ionloop.document import Document
from ionloop.evaluate.schema import Check, Estimate
from ionloop.evaluate.scorecard_schema import PARTS, Part, Scorecard, Stability

D = TypeVar("D", bound=Document)

#: Words that say what an element of a list is of, by the field that has them.
_NAMES = {"temperature": "{:g} K", "name": "{}", "path_class": "{}"}
#: Name of the rule on the Lindemann ratio, which isn't asked of runs that ended at once.
FRAMEWORK = "the framework stays solid"
#: What becomes of a part: ``good`` and ``bad`` by its rules, ``done`` where it has none.
Kind = Literal["good", "bad", "done", "missing", "not asked"]


@dataclass(frozen=True)
class Verdict:
    """A part in a word, and why."""

    kind: Kind
    text: str


def walk(
    found: object, wanted: type[D], place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], D]]:
    """Yield all documents of a class inside a document, each with its place in words.

    Elements of a list are told apart by their temperature or name, where they have one.
    """
    if isinstance(found, wanted):
        yield place, found
    elif isinstance(found, Document):
        for name in type(found).model_fields:
            yield from walk(getattr(found, name), wanted, (*place, name))
    elif isinstance(found, list):
        for i, one in enumerate(found):
            named = _named(one)
            at = (*place[:-1], named) if named else (*place, str(i + 1))
            yield from walk(one, wanted, at)
    elif isinstance(found, dict):
        for name, one in found.items():
            yield from walk(one, wanted, (*place, str(name)))


def _named(one: object) -> str | None:
    if isinstance(one, Check):
        return one.name
    fields = type(one).model_fields if isinstance(one, Document) else {}
    return next((form.format(getattr(one, f)) for f, form in _NAMES.items() if f in fields), None)


def result_of(part: Part) -> Document | None:
    """Return what a part found."""
    return getattr(part, "result", None)


def parts_of(card: Scorecard) -> dict[str, Part]:
    """Return the parts by name, in the order of the schema."""
    return {name: getattr(card, name) for name in PARTS}


def verdict_of(part: Part) -> Verdict:
    """Say what became of a part: by its rules, if it has some."""
    if part.status != "done":
        return Verdict(part.status, part.reason or "")
    result = result_of(part)
    checks = [check for _, check in walk(result, Check)]
    failed = list(dict.fromkeys(check.name for check in checks if not check.passed))
    if isinstance(result, Stability):
        return _stability(result, failed)
    if not checks:
        return _admissible(result)
    n = sum(not check.passed for check in checks)
    text = (
        f"{n} of {len(checks)} rules fail: {', '.join(failed)}"
        if failed
        else (f"all {len(checks)} rules hold")
    )
    return Verdict("bad" if failed else "good", text)


def _stability(found: Stability, failed: list[str]) -> Verdict:
    """Say how long it was tried too: a short run shows little."""
    if found.stopped is not None:
        survived = f"{found.survived_ps:.3g} of {found.picoseconds:.3g} ps"
        return Verdict("bad", f"ended after {survived} at {found.temperature:.0f} K")
    text = f"{found.picoseconds:.3g} ps at {found.temperature:.0f} K"
    if failed:
        return Verdict("bad", f"{text}, but not: {', '.join(failed)}")
    return Verdict("good", text)


def knows_framework(found: Stability) -> bool:
    """Tell whether a run lasted long enough to be judged by its Lindemann ratio."""
    return any(check.name == FRAMEWORK for check in found.checks)


def _admissible(result: Document | None) -> Verdict:
    """Judge a part without rules by whether its estimates are admissible."""
    estimates = [estimate for _, estimate in walk(result, Estimate)]
    good = sum(estimate.admissible for estimate in estimates)
    if estimates and not good:
        return Verdict("bad", f"none of {len(estimates)} estimates is admissible")
    return Verdict("done", f"{good} of {len(estimates)} estimates admissible" if estimates else "")
