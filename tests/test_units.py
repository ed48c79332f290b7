"""Conversions against tables and against SI, never against themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop import units

positive = st.floats(1e-30, 1e30)


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
    assert units.diffusivity_from_cm2_per_s(2.3e-5) == pytest.approx(
        2.3e-9 / (1e-20 / 1e-15), rel=1e-12, abs=0
    )


@given(positive)
def test_diffusivities_come_back(d: float) -> None:
    there = units.diffusivity_to_cm2_per_s(d)
    assert units.diffusivity_from_cm2_per_s(there) == pytest.approx(d, rel=1e-12, abs=0)
    assert there < d


def test_conductivity_by_nernst_and_einstein() -> None:
    """One ion in 100 Å³, D = 1e-8 cm²/s, 300 K; all in SI on one side."""
    e, kt = 1.602176634e-19, 1.380649e-23 * 300
    si = 1e28 * e**2 * 1e-12 / kt  # S/m
    d = units.diffusivity_from_cm2_per_s(1e-8)
    internal = 0.01 * d / (units.KB_EV_PER_K * 300)
    found = units.conductivity_to_mS_per_cm(internal)
    assert found == pytest.approx(si * 1000 / 100, rel=1e-9, abs=0)
    assert found == pytest.approx(0.6196, rel=1e-3, abs=0)
