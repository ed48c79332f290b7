"""Numbers for people: rounded to their errors, and never without a reason."""

from __future__ import annotations

import pytest

from ionloop.label.schema import Readmission
from ionloop.report import tables
from ionloop.report.found_hops import found_hops


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.32514, 0.0213, "0.325 ± 0.021"),
        (331.6, 4.4, "331.6 ± 4.4"),
        (331.6, 44.0, "332 ± 44"),
        (2.04e-5, 3.1e-6, "(2.04 ± 0.31) × 10⁻⁵"),
        (3.0e-5, 6.0e-5, "(3.0 ± 6.0) × 10⁻⁵"),
        (0.3251, None, "0.325"),
        (None, None, "–"),
    ],
)
def test_a_value_is_rounded_to_its_error(value, error, text):
    assert tables.with_error(value, error) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0213, "21 ms"), (3e-6, "3 µs"), (75, "75 s"), (1234.5, "1234 s")]
)
def test_durations_have_a_fitting_unit(seconds, text):
    assert tables.duration(seconds) == text


def test_hops_that_nobody_measured_are_left_out(record):
    def shown():
        (row,) = [r for r in tables.key_numbers(record) if r.value == "(4.26 ± 0.43) × 10⁻⁵"]
        return str(row)

    assert "N_eff 150" in shown()
    record.evaluation.reference_transport.points[0].n_eff = None
    assert "N_eff" not in shown().replace("√N_eff", "")


def test_key_numbers_hold_every_barrier_energy_and_diffusivity(record):
    rows = tables.key_numbers(record)
    assert [(r.calculator, r.value) for r in rows if r.quantity.endswith("#0")] == [
        ("committee", "318.7 ± 4.4"),
        ("reference (LAMMPS)", "332"),
    ]
    assert [r.quantity for r in rows].count("Activation energy E_a") == 2
    cold = [r for r in rows if r.quantity == "D at 900 K"]
    assert [r.value for r in cold] == ["–", "(4.26 ± 0.43) × 10⁻⁵"]
    assert not cold[0].admissible
    assert "3.1 effective hops" in cold[0].reason
    assert all(r.unit and r.estimator for r in rows)


@pytest.mark.parametrize(
    ("converged", "words"), [(False, "ends didn't reach its force limit"), (None, "isn't known")]
)
@pytest.mark.parametrize("whose", ["model", "reference"])
def test_a_band_that_did_not_converge_is_not_admissible(record, whose, converged, words):
    setattr(record.evaluation.barriers[0], f"{whose}_converged", converged)
    path = record.evaluation.barriers[0].path_class
    rows = {r.calculator: r for r in tables.key_numbers(record) if path in r.quantity}
    doubted, other = rows["committee"], rows["reference (LAMMPS)"]
    if whose == "reference":
        doubted, other = other, doubted
    assert not doubted.admissible
    assert words in doubted.reason
    assert other.admissible
    assert "images, fmax 0.05 eV/Å (reference)" in doubted.estimator


def test_label_counts_add_up(record):
    record.shards[1].left_out = {"strain": 2, "random": 1}
    header, rows = tables.label_counts(record.shards)
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert [t["admitted"] for t in table] == ["36", "30", "30"]
    assert (table[0]["hop"], table[1]["hop"], table[1]["quarantined"]) == ("0", "6", "1")
    assert [t["beyond the budget"] for t in table] == ["0", "3", "0"]


def test_quarantine_lists_labels_or_counts_of_reasons(record):
    whole = tables.quarantine(record.shards)
    assert [(r.generation, r.origin) for r in whole] == [(1, "hop"), (2, "hop")]
    assert "above the ceiling" in whole[0].reason
    assert whole[0].folder == "/scratch/label"
    for shard in record.shards:
        shard.quarantined = []
    counted = tables.quarantine(record.shards)
    assert [(r.generation, r.frame) for r in counted] == [(1, "1 frame"), (2, "1 frame")]
    assert counted[0].reason == whole[0].reason


def test_refusals_are_counted_by_kind_over_all_batches(record):
    """Readmitted labels count by what had spoken against them."""
    shards = record.shards
    header, rows = tables.refusals(shards)
    assert header == ["reason", "quarantined", "of all labels", "readmitted by hand"]
    (only,) = rows
    asked = sum(s.n_admitted + s.n_quarantined for s in shards)
    assert only == [shards[1].quarantined[0].reasons[0], "2", f"{2 / asked:.1%}", "0"]
    shards[0].reasons = {"SCF not converged": 3, "SCF not converged: after 60 steps": 1}
    trace = Readmission(
        frame_hash="h", generation=1, reason="r", by="me", at="now",
        overruled=["atoms too close: 0.5", "atoms too close: 0.4", "no stress"],
    )  # fmt: skip
    shards[1].labels[0].readmitted = trace
    assert [[row[0], row[1], row[3]] for row in tables.refusals(shards)[1]] == [
        ["SCF not converged", "4", "0"], [only[0], "2", "0"], ["atoms too close", "0", "1"],
        ["no stress", "0", "1"],
    ]  # fmt: skip
    assert tables.refusals([]) == (header, [])


def test_costs_compare_with_the_cheapest(record):
    rows = tables.costs(record.evaluation.cost)
    assert rows[0][0] == "Buckingham-Coulomb"
    assert rows[0][2:6] == ["90 µs", "–", "2.4 µs", "1"]
    assert rows[1][2:6] == ["50 ms", "48 ms to 61 ms", "1.3 ms", "556"]


def test_a_found_hop_has_its_refined_barrier_or_says_why_not(record):
    (row,) = found_hops(record.found_bands)
    since = "since generation 0, moved by -12 meV"
    assert row == ["2 ions: <b> + a", "251", "0", "1", "yes", "yes, 0.08 Å away", since]
    last = record.found_bands[-1]
    slid = last.saddles[0].model_copy(update={"rejected": "another saddle"})
    barrier = f"{1000 * last.bands[0].barrier:.0f}"
    for saddles, word in (([slid], "another saddle"), ([], "no")):
        (row,) = found_hops([last.model_copy(update={"saddles": saddles})])
        assert (row[1], row[-2]) == (barrier, word)
    assert barrier == "274"
