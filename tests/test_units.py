"""Conversions against tables and against SI, never against themselves."""

from __future__ import annotations

import pytest

from ionloop import units


@pytest.mark.parametrize(
    ("found", "table"),
    [
        (units.KB_EV_PER_K, 8.617333e-5),
        (units.HARTREE_EV, 27.211386),
        (units.BOHR_ANGSTROM, 0.5291772),
        (units.HARTREE_PER_BOHR_EV_PER_ANGSTROM, 51.42207),
        (1 / units.GPA_EV_PER_A3, 160.21766),
    ],
)
def test_constants_are_the_tables(found: float, table: float) -> None:
    assert found == pytest.approx(table, rel=1e-6, abs=0)


def test_diffusivity_of_water() -> None:
    """2.3e-5 cm²/s is 2.3e-9 m²/s, and 1 Å²/fs is 1e-20 m² in 1e-15 s."""
    internal = 2.3e-9 / (1e-20 / 1e-15)
    assert units.diffusivity_to_cm2_per_s(internal) == pytest.approx(2.3e-5, rel=1e-12, abs=0)
