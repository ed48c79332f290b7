"""Rows of a scorecard's accuracy: forces, energies, stress, bands, and the committee's spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ionloop.evaluate.accuracy import bins_of
from ionloop.evaluate.accuracy_schema import Accuracy, Bounded, ErrorBin, FrameErrors
from ionloop.report.quantity import Quantity, say, scaled
from ionloop.units import GPA_EV_PER_A3

#: Intervals of a bootstrap over fewer groups are too narrow.
GROUPS_MIN = 10
#: Why bands are left out.
UNCLEAR = "two labels lie at one place along them, as where files of two campaigns are joined"
#: Names of what is known of a committee's spread, by fields.
SPREAD = {
    "coverage_90": "share of errors within the 90 % bound",
    "miscalibration": "miscalibration area of the spread",
    "spearman": "rank correlation of spread and error",
    "auroc": "spread as a test for the worst tenth, AUROC",
    "error_ratio": "RMS error over calibrated spread",
}


def accuracy_rows(found: Accuracy) -> Iterator[Quantity]:
    """Yield all numbers of a part accuracy."""
    yield Quantity("held-out frames", "", str(found.n_frames), reason=found.grouped or "")
    for what, one in bins_of(found):
        label = one.name if what == "species" else f"{what}, {one.name}"
        yield _of_bin(f"force RMSE, {label}", one)
    if found.saddle_ratio is not None:
        yield from _bounded("force RMSE at the saddle over near equilibrium", found.saddle_ratio)
    yield from _energies(found)
    yield from _stresses(found)
    for band in found.along_bands:
        how = f"{band.n_images} images of {band.n_bands} bands"
        energy = scaled(f"energy RMSE along {band.path_class}", "meV", 1000, band.energy_rmse, None)
        force = scaled(f"force RMSE of the ion along {band.path_class}", "meV/Å", 1000,
                       band.rmse_ion, None)  # fmt: skip
        yield from (replace(one, how=how) for one in (energy, force))
    if found.bands_unclear:
        yield Quantity("bands left out", "", str(found.bands_unclear), reason=UNCLEAR)
    for quality in found.uncertainty:
        for field, name in SPREAD.items():
            one = getattr(quality, field)
            yield from _bounded(f"{name}, {quality.origin}", one, quality.n_groups)
    if found.uncertainty_missing is not None:
        yield Quantity("the committee's spread", "", "", reason=found.uncertainty_missing)


def _energies(found: Accuracy) -> Iterator[Quantity]:
    for name, value, interval in (
        ("energy RMSE", found.energy_rmse, found.energy_interval),
        ("energy RMSE less the mean offset", found.energy_rmse_shifted,
         found.energy_shifted_interval),
        ("mean offset of the energy", found.energy_shift, None),
    ):  # fmt: skip
        if value is not None:
            yield scaled(name, "meV/atom", 1000, value, interval)
    for one in found.energies:
        yield _of_frames("energy RMSE less the mean offset", one, "meV/atom", 1000)


def _stresses(found: Accuracy) -> Iterator[Quantity]:
    factor = 1 / GPA_EV_PER_A3
    if found.stress is not None:
        yield scaled("stress RMSE", "GPa", factor, found.stress.rmse, found.stress.interval)
    for one in found.stresses:
        yield _of_frames("stress RMSE", one, "GPa", factor)


def _of_bin(name: str, found: ErrorBin) -> Quantity:
    frames = f"{found.n_frames} frames"
    if found.n_groups is not None:
        frames += f" of {found.n_groups} groups"
    how = f"{frames}; RMS of the reference {say(1000 * found.rms_reference, 3)} meV/Å"
    made = scaled(name, "meV/Å", 1000, found.rmse_forces, found.interval)
    return replace(made, how=how, reason=_few(found.interval, found.n_groups))


def _of_frames(what: str, found: FrameErrors, unit: str, factor: float) -> Quantity:
    made = scaled(f"{what}, {found.by}, {found.name}", unit, factor, found.rmse, found.interval)
    how = f"{found.n_frames} frames of {found.n_groups} groups"
    return replace(made, how=how, reason=_few(found.interval, found.n_groups))


def _bounded(name: str, found: Bounded, n_groups: int | None = None) -> Iterator[Quantity]:
    if found.value is not None:
        made = scaled(name, "", 1, found.value, found.interval)
        yield replace(made, reason=_few(found.interval, n_groups))


def _few(interval: tuple[float, float] | None, n_groups: int | None) -> str:
    if interval is None:
        return "one group: no interval"
    few = n_groups is not None and n_groups < GROUPS_MIN
    return f"too narrow: {n_groups} groups" if few else ""
