"""Tables of errors on held-out labels, along bands, and of what the committee knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ionloop.evaluate.accuracy import bins_of
from ionloop.evaluate.accuracy_schema import Accuracy, Bounded, FrameErrors
from ionloop.evaluate.schema import Evaluation
from ionloop.units import GPA_EV_PER_A3

DASH = "–"
#: A number with its 90 % interval is written with so many digits.
DIGITS = 3
_PARTS = {"origin": "origin", "temperature": "temperature", "hop": "place on a hop"}


@dataclass(frozen=True)
class Table:
    """A table, or in words why there is none."""

    header: list[str]
    rows: list[list[str]]
    missing: str = ""


def accuracy_tables(evaluation: Evaluation | None) -> dict[str, Table]:
    """Return the tables ``forces``, ``frames``, ``along_bands`` and ``uncertainty``."""
    if evaluation is None:
        empty = Table([], [], "The campaign hasn't been evaluated yet.")
        return dict.fromkeys(("forces", "frames", "along_bands", "uncertainty"), empty)
    found = evaluation.accuracy
    return {
        "forces": force_errors(found),
        "frames": frame_errors(found),
        "along_bands": along_bands(found),
        "uncertainty": uncertainty(found),
    }


def force_errors(found: Accuracy) -> Table:
    """Return force errors by origin, species, temperature and place, meV/Å."""
    rows = [
        [
            b.name,
            what,
            f"{b.n_frames} / {_count(b.n_groups)}",
            _interval(b.rmse_forces, b.interval, 1000),
            f"{1000 * b.mae_forces:.{DIGITS}g}",
            f"{1000 * b.rms_reference:.{DIGITS}g}",
        ]
        for what, b in bins_of(found)
    ]
    header = ["part", "forces of", "frames / trajectories", "RMSE", "MAE", "RMS of the reference"]
    return Table(header, rows, "There are no held-out labels.")


def frame_errors(found: Accuracy) -> Table:
    """Return errors of energies, less their mean offset, and of stress, by part of the frames."""
    rows = []
    if found.energy_rmse_shifted is not None:
        rows.append(
            [
                "energy", "all", "", "",
                _interval(found.energy_rmse_shifted, found.energy_shifted_interval, 1000),
                "meV/atom",
            ]
        )  # fmt: skip
    rows += [_frame_row("energy", one, 1000, "meV/atom") for one in found.energies]
    if found.stress is not None:
        rows.append(
            [
                "stress", "all", "", str(found.stress.n_frames),
                _interval(found.stress.rmse, found.stress.interval, 1 / GPA_EV_PER_A3),
                "GPa",
            ]
        )  # fmt: skip
    rows += [_frame_row("stress", one, 1 / GPA_EV_PER_A3, "GPa") for one in found.stresses]
    header = ["of", "part", "by", "frames / trajectories", "RMSE", "unit"]
    return Table(header, rows, "No energy or stress error: no held-out cell is neutral.")


def _frame_row(what: str, one: FrameErrors, factor: float, unit: str) -> list[str]:
    counts = f"{one.n_frames} / {one.n_groups}"
    return [
        what, one.name, _PARTS[one.by], counts, _interval(one.rmse, one.interval, factor), unit,
    ]  # fmt: skip


def energy_words(found: Accuracy | None) -> str:
    """Say how large energy errors are, and their offset."""
    if found is None or found.energy_rmse is None or found.energy_mae is None:
        return ""
    rmse = _interval(found.energy_rmse, found.energy_interval, 1000)
    shift = 1000 * (found.energy_shift or 0.0)
    return (
        f"Energies as they are: RMSE {rmse}, MAE {1000 * found.energy_mae:.{DIGITS}g} meV/atom; "
        f"of that {shift:+.{DIGITS}g} meV/atom is one offset of all frames, which moves no ion and "
        "is left out below."
    )


def saddle_words(found: Accuracy | None) -> str:
    """Say how much worse the hopping ion's force is at the saddle than near its sites."""
    if found is None or found.saddle_ratio is None or found.saddle_ratio.value is None:
        return ""
    ratio = _interval(found.saddle_ratio.value, found.saddle_ratio.interval, 1)
    return f"At the saddle the hopping ion's force is {ratio} times as wrong as near its sites."


def along_bands(found: Accuracy) -> Table:
    """Return errors at the images of the reference's bands, by class of the hop."""
    rows = [
        [
            b.path_class,
            f"{b.n_images} / {b.n_bands}",
            f"{1000 * b.energy_rmse:.{DIGITS}g}",
            f"{1000 * b.energy_max:+.{DIGITS}g}",
            DASH if b.energy_spread is None else f"{1000 * b.energy_spread:.{DIGITS}g}",
            f"{1000 * b.rmse_forces:.{DIGITS}g}",
            f"{1000 * b.rmse_ion:.{DIGITS}g}",
            f"{1000 * b.rms_reference:.{DIGITS}g}",
        ]
        for b in found.along_bands
    ]
    header = ["hop", "images / bands", "energy RMSE / meV", "largest / meV",
              "spread over members / meV", "force RMSE / meV Å⁻¹", "of the hopping ion",
              "RMS of the reference"]  # fmt: skip
    return Table(header, rows, "No band of the reference has two labelled images or more.")


def uncertainty(found: Accuracy) -> Table:
    """Return what the committee's spread says of errors on mobile ions, by origin."""
    rows = [
        [
            one.origin,
            f"{one.n_frames} / {one.n_groups}",
            str(one.n_ions),
            _bounded(one.coverage_90, 100),
            _bounded(one.miscalibration, 1),
            _bounded(one.spearman, 1),
            _bounded(one.auroc, 1),
            _bounded(one.error_ratio, 1),
        ]
        for one in found.uncertainty
    ]
    header = ["origin", "frames / trajectories", "mobile ions", "within the 90 % bound / %",
              "miscalibration area", "Spearman", "AUROC, worst tenth",
              "RMS error over spread"]  # fmt: skip
    reason = found.uncertainty_missing or "this evaluation is from before it was measured"
    return Table(header, rows, f"Not known: {reason}.")


def _count(number: int | None) -> str:
    return DASH if number is None else str(number)


def _bounded(number: Bounded, factor: float) -> str:
    return DASH if number.value is None else _interval(number.value, number.interval, factor)


def _interval(value: float, interval: Sequence[float] | None, factor: float) -> str:
    """Write a number with its 90 % interval, which one group doesn't have.

    >>> _interval(0.1234, (0.1, 0.15), 1000), _interval(2.0, None, 1)
    ('123 (100 to 150)', '2')
    """
    text = f"{factor * value:.{DIGITS}g}"
    if interval is None:
        return text
    low, high = (factor * x for x in interval)
    return f"{text} ({low:.{DIGITS}g} to {high:.{DIGITS}g})"
