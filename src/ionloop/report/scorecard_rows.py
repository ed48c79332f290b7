"""The numbers of a scorecard as rows: one a quantity, with interval, unit and whether it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from ionloop.document import Document
from ionloop.evaluate.accuracy_schema import Accuracy
from ionloop.evaluate.schema import Estimate
from ionloop.evaluate.scorecard_schema import (
    Dynamics,
    Part,
    Phonons,
    Scaling,
    Scorecard,
    Stability,
    StaticProperties,
)
from ionloop.report.digits import written
from ionloop.report.quantity import Quantity, say, scaled
from ionloop.report.scorecard_accuracy import accuracy_rows
from ionloop.report.scorecard_summary import measured_on
from ionloop.report.scorecard_walk import knows_framework, result_of, walk

#: Names of estimates, by their fields; other fields are named by their words.
LABELS = {
    "activation_energy": "activation energy E_a",
    "axes": "D along axis",
    "bulk_modulus": "bulk modulus B₀ (volumes)",
    "bulk_vrh": "bulk modulus (elastic tensor)",
    "collective": "collective D",
    "d": "tracer D",
    "drift": "drift of the energy without a bath",
    "haven_ratio": "Haven ratio",
    "alpha_axes": "thermal expansion along axis",
    "lengths": "length along axis",
    "hop_activation_energy": "activation energy of the hop rate",
    "shear_vrh": "shear modulus (elastic tensor)",
    "sigma": "conductivity, Nernst-Einstein",
    "sigma_collective": "conductivity, collective",
    "alpha_volume": "thermal expansion of the volume",
}
#: Fields of a place that say nothing.
_SILENT = frozenset({"transport", "conduction", "result"})
#: Estimates that only check others.
_LEFT_OUT = frozenset({"second"})
#: Reasons up to this length are said again.
_SHORT = 40
_SAID = {"room": "300 K", "smaller_cells": "smaller cell"}


def quantities(card: Scorecard, part: str) -> list[Quantity]:
    """Return the numbers of a part, in the order in which they are read; none if it isn't done."""
    found: Part = getattr(card, part)
    result = result_of(found)
    if result is None:
        return []
    own = _OWN.get(type(result))
    places = sorted(walk(result, Estimate), key=lambda found: len(found[0]))  # what matters first
    estimates = [of_estimate(place, one) for place, one in places if place[-1] not in _LEFT_OUT]
    return _once([*(own(result) if own else _plain(result)), *estimates])


def _once(found: list[Quantity]) -> list[Quantity]:
    """Say a reason that many share once."""
    first: dict[str, str] = {}
    for one in found:
        first.setdefault(one.reason, one.name)
    return [
        replace(one, reason=f"as {first[one.reason]}")
        if len(one.reason) > _SHORT and first[one.reason] != one.name
        else one
        for one in found
    ]


def of_estimate(place: tuple[str, ...], found: Estimate) -> Quantity:
    """Write an estimate; an upper bound where there is no value."""
    interval = found.interval
    if found.value is not None:
        error = found.error or 0.0
        value, ends = written(
            found.value, interval or ((found.value - error, found.value + error) if error else None)
        )
        if interval is None and error:
            ends = f"± {written(error, digits=2)[0]}, one standard error"
    elif found.upper_bound is not None:
        value, ends = f"< {written(found.upper_bound, digits=2)[0]}", "95 % upper bound"
    else:
        value, ends = "", ""
    return Quantity(
        name=name_of_place(place),
        unit="" if found.unit == "1" else found.unit,
        value=value,
        interval=ends,
        how=found.estimator,
        admissible=found.admissible,
        reason=found.reason or "",
    )


def name_of_place(place: tuple[str, ...]) -> str:
    """Name what stands at a place of a document.

    >>> name_of_place(("transport", "transport", "900 K", "conduction", "haven_ratio"))
    'Haven ratio, 900 K'
    >>> name_of_place(("linear_expansion",))
    'linear expansion'
    """
    *before, last = place
    name = LABELS.get(last) or last.replace("_", " ")
    if last.isdigit() and before:  # an element without a name
        name = f"{LABELS.get(before[-1]) or before[-1].replace('_', ' ')} {last}"
        before = before[:-1]
    where = [_SAID.get(word, word.replace("_", " ")) for word in before if word not in _SILENT]
    return ", ".join([name, *where])


def _plain(result: Document) -> Iterator[Quantity]:
    """Show the plain numbers of a part that has no rows of its own, by names of fields."""
    for name, field in type(result).model_fields.items():
        value = getattr(result, name)
        if name != "schema_version" and type(value) in (int, float):
            unit = re.search(r"(?:^|, )([^\s,]+)\.$", field.description or "")
            yield Quantity(name.replace("_", " "), unit[1] if unit else "", say(value),
                           how=field.description or "")  # fmt: skip


def _static(found: StaticProperties) -> Iterator[Quantity]:
    yield Quantity("cell", "Å, °", " ".join(f"{x:.3f}" for x in found.lengths) + "; "
                   + " ".join(f"{x:.2f}" for x in found.angles))  # fmt: skip
    yield Quantity("volume", "Å³/atom", say(found.volume_per_atom))
    yield Quantity("volume against the given one", "%", f"{100 * found.volume_change:+.2f}")
    yield Quantity("density", "g/cm³", say(found.density))
    if (c := found.elastic) is not None:
        for name, places in (
            ("C₁₁ C₂₂ C₃₃", ((0, 0), (1, 1), (2, 2))),
            ("C₁₂ C₁₃ C₂₃", ((0, 1), (0, 2), (1, 2))),
            ("C₄₄ C₅₅ C₆₆", ((3, 3), (4, 4), (5, 5))),
        ):
            yield Quantity(name, "GPa", " ".join(f"{c[i][j]:.1f}" for i, j in places))
    if found.phonons is not None:
        yield from _phonons(found.phonons)


def _phonons(found: Phonons) -> Iterator[Quantity]:
    size = "×".join(map(str, found.supercell))
    how = f"{found.n_q} q points of a {size} cell, {found.n_displacements} displacements"
    stable = found.n_imaginary == 0
    yield Quantity("lowest phonon", "THz", f"{round(found.lowest, 3) + 0.0:.3f}", "", how, stable,
                   "" if stable else found.meaning)  # fmt: skip
    yield Quantity("highest phonon", "THz", f"{found.highest:.3f}", "", how)
    if (polar := found.polar) is not None:
        how = f"Born charges of the file {polar.born_sha256[:12]}"
        along = " ".join(f"{x:.3f}" for x in polar.highest_with_field)
        without = f"{polar.highest_without_field:.3f}"
        yield Quantity("highest phonon at Γ without field", "THz", without)
        yield Quantity("with field along a* b* c*", "THz", along, "", how)


def _diffusion(found: Dynamics) -> Iterator[Quantity]:
    yield Quantity("atoms", "", str(found.n_atoms))
    for point in found.transport.transport.points:
        at = f"{point.temperature:g} K"
        yield Quantity(f"time analysed, {at}", "ps", say(point.time_ps, 3))
        if point.n_eff is not None:
            yield Quantity(f"effective hops, {at}", "", say(point.n_eff, 3))


def _cost(found: Scaling) -> Iterator[Quantity]:
    yield Quantity("measured on", "", measured_on(found))
    for one in found.costs:
        whose = "" if one.calculator == "model" else f" ({one.calculator})"
        made = scaled(f"step and atom, {one.n_atoms} atoms{whose}", "µs", 1e6 / one.n_atoms,
                       one.seconds_per_step, None)  # fmt: skip
        ends = _quartiles(one.quartiles, 1e6 / one.n_atoms)
        how = f"median of {one.n_timed} steps" + (f"; {one.note}" if one.note else "")
        yield Quantity(made.name, made.unit, made.value, ends, how)
    for whose, power in found.exponents.items():
        yield Quantity(f"exponent of time against atoms ({whose})", "", say(power, 3))
    for whose, atoms in found.atoms_per_gb.items():
        yield Quantity(f"atoms a GB ({whose})", "", say(atoms, 3))
    peaks = [one for one in found.costs if one.calculator == "model" and one.peak_mb is not None]
    for one in peaks[-1:]:
        yield Quantity(f"peak memory, {one.n_atoms} atoms", "MB", say(one.peak_mb or 0.0, 3))
    for n, ratio in found.speed_up[-1:]:
        yield Quantity(f"reference's over the model's wall time, {n} atoms", "", say(ratio, 3))
    for faster in found.speed_ups[-1:]:
        name = "reference's over the model's CPU time"
        if faster.ratio is None:
            yield Quantity(name, "", "", reason=faster.missing or "")
        else:
            yield Quantity(f"{name}, {faster.n_atoms} atoms", "", say(faster.ratio, 3),
                           _quartiles(faster.quartiles, 1))  # fmt: skip


def _quartiles(found: tuple[float, float] | None, factor: float) -> str:
    if found is None:
        return ""
    low, high = (say(factor * x, 3) for x in found)
    return f"quartiles {low} to {high}"


def _stability(found: Stability) -> Iterator[Quantity]:
    yield Quantity("survived", "ps", say(found.survived_ps),
                   f"of {say(found.picoseconds)} asked",
                   f"{found.n_atoms} atoms at {found.temperature:g} K",
                   found.stopped is None, found.stopped or "")  # fmt: skip
    if knows_framework(found):
        yield Quantity("Lindemann ratio of the framework", "", say(found.lindemann, 3),
                       how="median over the framework's atoms")  # fmt: skip
        yield Quantity("framework's atoms beyond its limit", "%", say(100 * found.wandering, 2))
    for one in found.contacts[:6]:
        yield Quantity(f"closest {'-'.join(one.pair)}", "Å", say(one.distance, 3))
    if found.scatter is not None:
        yield Quantity("scatter of the energy without a bath", "meV/atom", say(found.scatter, 2))


_OWN: dict[type[Document], Callable[..., Iterator[Quantity]]] = {
    Accuracy: accuracy_rows,
    StaticProperties: _static,
    Dynamics: _diffusion,
    Scaling: _cost,
    Stability: _stability,
}
