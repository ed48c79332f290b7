"""Errors in the report: in its units, with their intervals, and in words where there are none."""

from __future__ import annotations

from ionloop.evaluate.accuracy_schema import BandErrors, Bounded
from ionloop.report import accuracy_tables


def tables(record):
    return accuracy_tables.accuracy_tables(record.evaluation)


def test_forces_are_in_mev_with_interval_and_counts(record):
    rows = tables(record)["forces"].rows
    first = record.evaluation.accuracy.forces_by_origin[0]
    low, high = first.interval
    assert rows[0][:3] == [first.name, "all atoms", f"{first.n_frames} / {first.n_groups}"]
    assert rows[0][3] == (f"{1000 * first.rmse_forces:.3g} ({1000 * low:.3g} to {1000 * high:.3g})")
    assert {row[1] for row in rows} >= {"all atoms", "species", "hopping ion"}
    first.interval = None
    assert "to" not in tables(record)["forces"].rows[0][3]


def test_energies_and_stress_are_parted(record):
    found = record.evaluation.accuracy
    rows = tables(record)["frames"].rows
    assert {row[0] for row in rows} == {"energy", "stress"}
    assert {row[2] for row in rows} == {"", "origin", "place on a hop"}
    origin = next(one for one in found.stresses if one.by == "origin")
    (row,) = [r for r in rows if r[0] == "stress" and r[1] == origin.name]
    assert float(row[4].split()[0]) == float(f"{origin.rmse * 160.21766:.3g}")
    assert row[5] == "GPa"
    assert "is one offset of all frames" in accuracy_tables.energy_words(found)


def test_charged_cells_have_no_energies(record):
    found = record.evaluation.accuracy
    record.evaluation.accuracy = found.model_copy(
        update={"energy_rmse": None, "energy_rmse_shifted": None, "energies": [], "stress": None,
                "stresses": []}
    )  # fmt: skip
    assert tables(record)["frames"].rows == []
    assert "no held-out cell is neutral" in tables(record)["frames"].missing
    assert accuracy_tables.energy_words(record.evaluation.accuracy) == ""


def test_the_saddle_beside_the_site(record):
    found = record.evaluation.accuracy
    found.saddle_ratio = Bounded(value=1.84, interval=(1.2, 2.5))
    assert "is 1.84 (1.2 to 2.5) times as wrong" in accuracy_tables.saddle_words(found)
    found.saddle_ratio = None
    assert accuracy_tables.saddle_words(found) == ""


def test_bands_and_their_absence(record):
    assert "No band of the reference" in tables(record)["along_bands"].missing
    record.evaluation.accuracy.along_bands = [
        BandErrors(
            path_class="Li-Li 2.76 A #0", n_bands=2, n_images=14, energy_rmse=0.0123,
            energy_max=-0.031, energy_spread=None, rmse_forces=0.05, rmse_ion=0.11,
            rms_reference=0.9,
        )
    ]  # fmt: skip
    assert tables(record)["along_bands"].rows == [
        ["Li-Li 2.76 A #0", "14 / 2", "12.3", "-31", "–", "50", "110", "900"]
    ]


def test_uncertainty_by_origin_or_why_not(record):
    found = record.evaluation.accuracy
    rows = tables(record)["uncertainty"].rows
    assert [row[0] for row in rows] == [one.origin for one in found.uncertainty]
    assert rows[0][0] == "all"
    coverage = found.uncertainty[0].coverage_90
    assert rows[0][3].startswith(f"{100 * coverage.value:.3g} (")
    found.uncertainty, found.uncertainty_missing = [], "one model has no spread"
    assert tables(record)["uncertainty"].missing == "Not known: one model has no spread."


def test_nothing_is_known_before_the_evaluation(unfinished):
    for table in tables(unfinished).values():
        assert table.rows == []
        assert "hasn't been evaluated" in table.missing
