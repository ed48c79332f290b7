"""A scorecard on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from ionloop.cli.console import out
from ionloop.cli.transport import show_transport
from ionloop.report.scorecard_accuracy import UNCLEAR
from ionloop.report.scorecard_summary import measured_on

if TYPE_CHECKING:
    from ionloop.evaluate.accuracy_schema import Accuracy, Bounded
    from ionloop.evaluate.schema import Check, Estimate, Stability
    from ionloop.evaluate.scorecard_schema import (
        Expansion,
        Part,
        Scaling,
        Scorecard,
        SpeedUp,
        StaticProperties,
    )


def show_card(card: Scorecard) -> None:
    """Print all parts that are done, and why others aren't."""
    from ionloop.evaluate.scorecard_schema import PARTS

    facts = card.model
    out.print(f"{facts.name} ({facts.kind}, {facts.sha256[:12]}) on {card.material}", markup=False)
    for name in PARTS:
        part: Part = getattr(card, name)
        if part.status != "done":
            reason = f": {part.reason}" if part.reason else ""
            out.print(f"{name}: {part.status}{reason}", markup=False, highlight=False)
    if card.accuracy.result is not None:
        _show_accuracy(card.accuracy.result, card.mobile_ion)
    if card.static.result is not None:
        _show_static(card.static.result)
    if card.expansion.result is not None:
        _show_expansion(card.expansion.result)
    if card.diffusion.result is not None:
        show_transport(card.diffusion.result.transport)
    if card.cost.result is not None:
        _show_cost(card.cost.result)
    if card.stability.result is not None:
        _show_stability(card.stability.result)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left")
    return table


def _show_accuracy(found: Accuracy, mobile_ion: str) -> None:
    from ionloop.evaluate.accuracy import bins_of
    from ionloop.units import GPA_EV_PER_A3

    columns = ("forces of", "frames", "groups", "RMSE, meV/Å", "90 % interval", "reference's RMS")
    table = _table(f"accuracy on {found.n_frames} held-out frames", *columns)
    for what, b in bins_of(found):
        table.add_row(
            f"{what}: {escape(b.name)}", str(b.n_frames), str(b.n_groups or ""),
            f"{1000 * b.rmse_forces:.4g}", _interval(b.interval, 1000),
            f"{1000 * b.rms_reference:.4g}",
        )  # fmt: skip
    out.print(table)
    if found.grouped is not None:
        out.print(found.grouped, markup=False, highlight=False)
    _show_uncertainty(found)
    _show_bands(found)
    if found.openness_missing:
        out.print(f"{mobile_ion} by openness: {found.openness_missing}", markup=False)
    if found.energy_rmse is not None and found.energy_rmse_shifted is not None:
        out.print(
            f"energies: RMSE {1000 * found.energy_rmse:.3g} meV/atom "
            f"({_interval(found.energy_interval, 1000)}), less their mean offset "
            f"{1000 * found.energy_rmse_shifted:.3g} meV/atom "
            f"({_interval(found.energy_shifted_interval, 1000)})",
            markup=False,
            highlight=False,
        )
    if found.stress is not None:
        out.print(
            f"stress: RMSE {found.stress.rmse / GPA_EV_PER_A3:.3g} GPa on {found.stress.n_frames} "
            f"frames ({_interval(found.stress.interval, 1 / GPA_EV_PER_A3)})",
            markup=False,
            highlight=False,
        )


def _show_uncertainty(found: Accuracy) -> None:
    if not found.uncertainty:
        if found.uncertainty_missing:
            out.print(f"uncertainty: not known, {found.uncertainty_missing}", markup=False)
        return
    columns = ("origin", "frames", "ions", "within 90 % bound", "miscalibration", "Spearman",
               "AUROC, worst tenth")  # fmt: skip
    table = _table("calibrated spread against errors of mobile ions (90 % intervals)", *columns)
    for one in found.uncertainty:
        numbers = (one.coverage_90, one.miscalibration, one.spearman, one.auroc)
        table.add_row(
            escape(one.origin), str(one.n_frames), str(one.n_ions), *map(_bounded, numbers)
        )
    out.print(table)


def _show_bands(found: Accuracy) -> None:
    if found.bands_unclear:
        out.print(f"{found.bands_unclear} bands left out: {UNCLEAR}", highlight=False)
    if not found.along_bands:
        return
    columns = ("hop", "images", "energy RMSE, meV", "largest, meV", "force RMSE, meV/Å",
               "of the hopping ion")  # fmt: skip
    table = _table("along bands (origin neb)", *columns)
    for b in found.along_bands:
        table.add_row(
            escape(b.path_class), str(b.n_images), f"{1000 * b.energy_rmse:.3g}",
            f"{1000 * b.energy_max:+.3g}", f"{1000 * b.rmse_forces:.3g}",
            f"{1000 * b.rmse_ion:.3g}",
        )  # fmt: skip
    out.print(table)


def _bounded(found: Bounded) -> str:
    if found.value is None:
        return ""
    text = f"{found.value:.3g}"
    return text if found.interval is None else f"{text} ({_interval(found.interval, 1)})"


def _interval(found: tuple[float, float] | None, factor: float) -> str:
    if found is None:
        return "one group: none"
    return f"{factor * found[0]:.3g} to {factor * found[1]:.3g}"


def _show_static(found: StaticProperties) -> None:
    table = _table(f"static properties of {found.formula}", "property", "value")
    a, b, c = found.lengths
    table.add_row("a, b, c, Å", f"{a:.4f}, {b:.4f}, {c:.4f}")
    table.add_row("α, β, γ, °", ", ".join(f"{x:.2f}" for x in found.angles))
    table.add_row("density, g/cm³", f"{found.density:.4f}")
    table.add_row("volume against the given one", f"{100 * found.volume_change:+.2f} %")
    moduli = (("B0 (volumes)", found.bulk_modulus), ("B (elastic)", found.bulk_vrh),
              ("G (elastic)", found.shear_vrh))  # fmt: skip
    for name, estimate in moduli:
        doubt = "" if estimate.admissible else f" (doubtful: {estimate.reason})"
        value = "none" if estimate.value is None else f"{estimate.value:.4g}"
        value += "" if estimate.error is None else f" ± {estimate.error:.2g}"
        table.add_row(f"{name}, GPa", escape(f"{value}{doubt}"))
    for i, row in enumerate(found.elastic or []):
        table.add_row(f"C{i + 1}j, GPa", " ".join(f"{x:6.1f}" for x in row))
    if found.phonons is not None:
        table.add_row("lowest phonon, THz", f"{found.phonons.lowest:.3f}")
        table.add_row("highest phonon, THz", f"{found.phonons.highest:.3f}")
        if (polar := found.phonons.polar) is not None:
            along = ", ".join(f"{x:.3f}" for x in polar.highest_with_field)
            table.add_row("highest at Γ without field, THz", f"{polar.highest_without_field:.3f}")
            table.add_row("with field along a*, b*, c*, THz", along)
    out.print(table)
    if found.phonons is not None:
        out.print(found.phonons.meaning, markup=False)
    _show_checks(found.checks)


def _show_expansion(found: Expansion) -> None:
    size = f"{found.n_atoms} atoms, {found.picoseconds:g} ps a temperature, 0 GPa"
    columns = ("T, K", "volume, Å³/atom", "B, GPa", "Lindemann ratio")
    table = _table(f"thermal expansion: {size}", *columns)
    for point in found.points:
        ratio = "" if point.lindemann is None else f"{point.lindemann:.3f}"
        table.add_row(
            f"{point.temperature:g}", _estimate(point.volume), _estimate(point.bulk_modulus), ratio
        )
    out.print(table)
    for name, one in (("volume", found.alpha_volume), *zip("abc", found.alpha_axes, strict=True)):
        doubt = "" if one.admissible else f"; doubtful: {one.reason}"
        text = f"expansion of {name}: {_estimate(one)} {one.unit}{doubt}"
        out.print(text, markup=False, highlight=False)
    _show_checks(found.checks)


def _estimate(found: Estimate) -> str:
    from ionloop.report.digits import written

    if found.value is None:
        return "none"
    value, ends = written(found.value, found.interval)
    return f"{value}{'' if found.admissible else '?'}" + (f" ({ends})" if ends else "")


def _show_checks(checks: Sequence[Check]) -> None:
    for check in checks:
        out.print("[green]ok  [/]" if check.passed else "[red]no  [/]", end=" ")
        out.print(f"{check.name}: {check.detail}", markup=False, highlight=False)


def _show_stability(found: Stability) -> None:
    near = ", ".join(f"{'-'.join(c.pair)} {c.distance:.2f} Å" for c in found.contacts[:5])
    out.print(
        f"stability: {found.survived_ps:g} of {found.picoseconds:g} ps of {found.n_atoms} atoms "
        f"at {found.temperature:g} K; closest: {near or 'nothing within 3 Å'}",
        markup=False,
        highlight=False,
    )
    _show_checks(found.checks)


def _less_cpu(one: SpeedUp) -> str:
    if one.ratio is None:
        return f"CPU time less than the reference's: not known, {one.missing}"
    spread = ""
    if one.quartiles is not None:
        spread = f" (quartiles {one.quartiles[0]:.3g} to {one.quartiles[1]:.3g})"
    return f"{one.ratio:.3g}{spread} times less CPU time than the reference at {one.n_atoms} atoms"


def _show_cost(found: Scaling) -> None:
    columns = ("calculator", "atoms", "s a step", "µs a step and atom", "cores in use",
               "peak memory, MB")  # fmt: skip
    table = _table(f"cost on {measured_on(found)}", *columns)
    for cost in found.costs:
        table.add_row(
            cost.calculator, str(cost.n_atoms), f"{cost.seconds_per_step:.3g}",
            f"{1e6 * cost.seconds_per_step / cost.n_atoms:.3g}",
            "" if cost.cpu_seconds is None else f"{cost.cpu_seconds / cost.seconds_per_step:.1f}",
            "" if cost.peak_mb is None else f"{cost.peak_mb:.0f}",
        )  # fmt: skip
    out.print(table)
    for name, power in found.exponents.items():
        memory = (
            f", {found.atoms_per_gb[name]:.3g} atoms a GB" if name in found.atoms_per_gb else ""
        )
        out.print(f"{name}: time grows as atoms^{power:.2f}{memory}", highlight=False, markup=False)
    for n, ratio in found.speed_up[-1:]:
        words = f"{ratio:.3g} times less wall time than the reference at {n} atoms"
        out.print(words, highlight=False)
    for one in found.speed_ups[-1:]:
        out.print(_less_cpu(one), highlight=False, markup=False)
    out.print(f"no larger size: {found.stopped}", highlight=False, markup=False)
