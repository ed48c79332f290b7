"""The crystal in the report: the scorecard's own rows, or in words why there are none."""

from __future__ import annotations

from made_cards import whole_card
from made_record import make_card

from ionloop.report.crystal import crystal_tables


def test_a_card_s_numbers_with_their_units_and_doubts():
    card = whole_card("a")
    rows = {row[0]: row for row in crystal_tables(card)["static"].rows}
    assert rows["bulk modulus B₀ (volumes)"][1:3] == ["50.00", "GPa"]
    assert rows["lowest phonon"][1:3] == ["-0.500", "THz"]


def test_what_was_left_out_or_failed_is_said():
    card = make_card()
    card.static.reason = "EvaluateMaker.static is False"
    assert crystal_tables(card)["static"].missing == "Left out: EvaluateMaker.static is False"
    card.static.status, card.static.reason = "missing", "it exploded"
    assert crystal_tables(card)["static"].missing == "It failed: it exploded"
    assert "no scorecard" in crystal_tables(None)["expansion"].missing
