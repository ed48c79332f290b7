"""Pictures after Figs. 2 and 3 of the paper: their data, and what the literature says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from made_record import make_card

from ionloop.errors import EvaluationError
from ionloop.evaluate.arrhenius import arrhenius
from ionloop.evaluate.schema import Conduction, Diffusivity, Estimate
from ionloop.report.arrhenius_picture import (
    conductivity_line,
    draw_literature,
    draw_model,
    write_arrhenius,
)
from ionloop.report.hop_error_picture import rms_along, write_hop_errors
from ionloop.report.literature import known_values, obelix_values

ROOT = Path(__file__).resolve().parents[2]
HEADER = "ID,True Composition,Ionic conductivity (S cm-1),Space group,DOI\n"


def estimate(value: float, unit: str, **fields: object) -> Estimate:
    own = {"value": value, "error": 0.1 * value, "interval": (0.8 * value, 1.2 * value)}
    return Estimate(**{**own, "unit": unit, "estimator": "made", "admissible": True, **fields})


def point(temperature: float, sigma: float = 10.0) -> Diffusivity:
    """E_a of 0.3 eV, and Nernst and Einstein's factor of one kind of ion."""
    d = 1e-3 * np.exp(-0.3 / (8.617333e-5 * temperature))
    value = sigma * d / 1e-5 * 1000 / temperature
    nothing = estimate(1.0, "", admissible=False)
    return Diffusivity(
        temperature=temperature, d=estimate(d, "cm²/s"), n_eff=100.0, window_fs=(1.0, 2.0),
        msd_time_fs=[], msd=[], framework_msd=0.0, time_ps=10.0,
        conduction=Conduction(
            collective=nothing, sigma=estimate(value, "mS/cm"), sigma_collective=nothing,
            haven_ratio=nothing,
        ),
    )  # fmt: skip


# ---------------------------------------------------------------- literature


def test_values_have_their_sources_and_unknown_ones_are_left_out():
    found = known_values("Li56La24Zr16O96")
    assert {value.phase for value in found} == {"cubic", "tetragonal"}
    assert all(value.doi.startswith("10.") for value in found)
    # Whose the review's AIMD and classical MD energies are isn't known.
    assert {value.method for value in found} == {"experiment"}
    assert known_values("Li2S") == []


def test_obelix_gives_measured_conductivities(tmp_path):
    table = tmp_path / "all.csv"
    table.write_text(
        HEADER
        + "a,Li56.0La24.0Zr16.0O96.0,5.11e-4,Ia-3d ,10.1002/anie.200701144\n"
        + "b,Li56.0La24.0Zr16.0O96.0,<1E-10,Ia-3d,10.1000/x\n"
        + "c,Li6.0P1.0S5.0Cl1.0,1e-3,F-43m,10.1000/y\n"
        + "d,Li(x),1e-3,,10.1000/z\n"
    )
    (found,) = obelix_values(table, "Li7La3Zr2O12")
    assert (found.conductivity, found.phase) == (pytest.approx(0.511), "Ia-3d")
    assert (found.temperature, found.doi) == (298.0, "10.1002/anie.200701144")


def test_another_table_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(EvaluationError, match="no column True Composition"):
        obelix_values(tmp_path / "x.csv", "Li2S")
    with pytest.raises(EvaluationError, match="FileNotFoundError"):
        obelix_values(tmp_path / "none.csv", "Li2S")


def test_the_real_table():
    folder = Path(os.environ.get("IONLOOP_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "obelix").is_dir():
        pytest.skip(f"no OBELiX in {folder}; IONLOOP_TEST_DATA names the folder of real data")
    found = obelix_values(folder / "obelix" / "all.csv", "Li7La3Zr2O12")
    assert {"10.1002/anie.200701144", "10.1016/j.jssc.2009.05.020"} <= {v.doi for v in found}
    ours = {v.doi: v.conductivity for v in known_values("Li7La3Zr2O12") if v.conductivity}
    assert {v.doi: v.conductivity for v in found if v.doi in ours} == pytest.approx(ours)


# ---------------------------------------------------------------- Fig. 3


def test_the_line_is_nernst_and_einstein_s_on_the_fit():
    points = [point(t) for t in (900.0, 1000.0, 1100.0, 1200.0)]
    transport = arrhenius(points, "made")
    assert transport.activation_energy.value == pytest.approx(0.3, abs=1e-6)
    inverse, sigma = conductivity_line(transport)
    assert inverse[[0, -1]] == pytest.approx([1000 / 1200, 1000 / 300])
    measured = np.array([p.conduction.sigma.value for p in points])
    at = np.interp([1000 / p.temperature for p in points], inverse, np.log(sigma))
    ratio = np.exp(at) / measured
    assert ratio == pytest.approx(1, abs=0.03)  # the fit allows for the skew of ln D
    assert ratio == pytest.approx(ratio[0], rel=1e-3)


def test_the_line_of_the_cold_phase_stays_below_the_transition():
    points = [point(t) for t in (800.0, 900.0, 1000.0, 1100.0)]
    whole = arrhenius(points, "made")
    cut = whole.model_copy(update={"transition": "between 900 and 1000 K"})
    assert conductivity_line(whole)[0][0] == pytest.approx(1000 / 1100)
    assert conductivity_line(cut)[0][0] == pytest.approx(1000 / 900)


def test_a_bound_is_drawn_as_an_arrow_and_makes_no_line_solid():
    from matplotlib.figure import Figure

    points = [point(t) for t in (900.0, 1000.0, 1100.0)]
    cold = point(500.0)
    unknown = {"value": None, "error": None, "interval": None, "admissible": False}
    cold.d = cold.d.model_copy(update={**unknown, "upper_bound": 1e-7})
    cold.conduction.sigma = cold.conduction.sigma.model_copy(update={**unknown, "upper_bound": 0.3})
    panel = Figure().subplots()
    draw_model(panel, arrhenius([cold, *points], "made"), "made", "black")
    (arrow,) = [bars for bars in panel.containers if bars.lines[0].get_xdata()[0] == 2.0]
    assert arrow.lines[0].get_ydata() == pytest.approx([0.3])
    assert arrow.lines[1]  # its cap, which errorbar turns into the arrow's head
    solid = [line for line in panel.lines if line.get_linestyle() == "-" and len(line.get_xdata())]
    assert max(line.get_xdata().max() for line in solid) <= 1000 / 900 + 0.05


def test_without_a_fit_there_is_no_line():
    transport = arrhenius([point(900.0)], "made")
    assert [len(x) for x in conductivity_line(transport)] == [0, 0]


# ---------------------------------------------------------------- Fig. 2


def test_errors_along_a_hop_are_binned():
    points = [(0.01, 1.0), (0.02, 1.0), (0.09, 2.0), (0.51, 3.0), (1.0, 4.0), (0.95, 4.0),
              (0.91, 4.0), (1.2, 99.0)]  # fmt: skip
    s, rms = rms_along(points)
    assert s == pytest.approx([0.05, 0.95])  # one point is no bin, and 1.2 is no hop
    assert rms == pytest.approx([np.sqrt(2.0), 4.0])


def test_cards_without_hops_are_refused(tmp_path):
    with pytest.raises(EvaluationError, match="labels lie on known hops, got none"):
        write_hop_errors([], tmp_path / "x.png")


def test_points_line_and_literature_are_drawn(tmp_path):
    """The picture's own data: four points, the line that leads to 300 K, and two experiments."""
    from matplotlib.figure import Figure

    panel = Figure().subplots()
    draw_model(panel, arrhenius([point(t) for t in (900.0, 1000.0, 1100.0)], "made"), "m", "red")
    draw_literature(panel, known_values("Li7La3Zr2O12"))
    lines = [line.get_xydata() for line in panel.lines if len(line.get_xydata())]
    at_room = [xy for xy in lines if len(xy) == 1 and abs(xy[0, 0] - 1000 / 298) < 1e-9]
    assert sorted(float(xy[0, 1]) for xy in at_room) == [0.00163, 0.511]
    ends = [xy[-1, 0] for xy in lines if len(xy) > 10]
    assert max(ends) == pytest.approx(1000 / 300)
    names = [text for text in panel.get_legend_handles_labels()[1] if "2007" in text]
    assert names == ["Murugan 2007: experiment, cubic"]


def test_a_picture_without_diffusion_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match="the part diffusion, got none"):
        write_arrhenius([make_card(b"weights")], [], tmp_path / "arrhenius.png")
