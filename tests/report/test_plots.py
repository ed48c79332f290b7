"""What is drawn must be what the documents say."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.report import plots, transport_plots


def named(figure, name):
    return [t for t in figure.data if t.name == name]


def test_learning_curve_draws_rmse_and_labels(record):
    figure = plots.learning_curve(record.calibrations, record.shards)
    (rmse,) = named(figure, "force RMSE")
    assert rmse.x == (0, 1, 2)
    assert rmse.y == pytest.approx([120.0, 60.0, 40.0])
    assert rmse.error_y.array[0] == pytest.approx(120 / np.sqrt(16))
    drawn = {t.name: dict(zip(t.x, t.y, strict=True)) for t in figure.data if t.type == "bar"}
    for shard in record.shards:
        for origin, n in shard.counts.items():
            assert drawn[origin][shard.generation] == n
    assert sum(sum(t.values()) for t in drawn.values()) == 96


def test_learning_curve_leaves_test_sets_out(record):
    record.shards.append(record.shards[0].model_copy(update={"purpose": "test"}))
    figure = plots.learning_curve(record.calibrations, record.shards)
    assert sum(sum(t.y) for t in figure.data if t.type == "bar") == 96


def test_parity_draws_all_points(record):
    accuracy = record.evaluation.accuracy
    figure = plots.parity(accuracy)
    forces, energies = [t for t in figure.data if t.mode == "markers"]
    assert list(zip(forces.x, forces.y, strict=True)) == accuracy.parity_forces
    assert list(zip(energies.x, energies.y, strict=True)) == accuracy.parity_energies


def test_parity_of_charged_cells_has_no_energy_panel(record):
    accuracy = record.evaluation.accuracy.model_copy(update={"parity_energies": []})
    assert len([t for t in plots.parity(accuracy).data if t.mode == "markers"]) == 1


def test_hop_errors_and_bins_share_one_scale(record):
    accuracy = record.evaluation.accuracy
    figure = plots.hop_coordinate_error(accuracy)
    (points,) = named(figure, "one frame")
    assert points.x == tuple(s for s, _ in accuracy.progress_errors)
    assert points.y == pytest.approx([1000 * e for _, e in accuracy.progress_errors])
    saddle = next(b for b in accuracy.forces_by_hop_bin if b.name == "saddle")
    (line,) = [t for t in named(figure, "RMS of the bin") if t.hovertext.startswith("saddle")]
    inside = [e for s, e in accuracy.progress_errors if abs(s - 0.5) < 0.15]
    assert line.y[0] == pytest.approx(1000 * np.sqrt(np.mean(np.square(inside))))
    assert (line.x[0], line.x[-1]) == (0.35, 0.65)
    assert line.error_y.array[1] == pytest.approx(1000 * np.sqrt(3) * saddle.rmse_error)


def test_calibration_draws_curve_and_coverage(record):
    figure = plots.calibration(record.calibrations)
    (last,) = named(figure, "generation 2")
    assert list(zip(last.x, last.y, strict=True)) == [
        (pytest.approx(1000 * x), pytest.approx(1000 * y)) for x, y in record.calibrations[2].curve
    ]
    assert last.line.width > named(figure, "generation 0")[0].line.width
    (coverage,) = named(figure, "coverage")
    assert coverage.y == pytest.approx([86.0, 88.0, 90.0])


def test_full_coverage_of_few_frames_still_has_an_error(record):
    record.calibrations[0].coverage_90 = 1.0
    (coverage,) = named(plots.calibration(record.calibrations), "coverage")
    assert coverage.error_y.array[0] > 5


def test_bands_draw_last_generation_bold_and_all_others_faint(record):
    figure = plots.bands(record.band_sets, record.seeds.bands)
    bold = named(figure, "committee, generation 2")
    faint = named(figure, "earlier generations")
    reference = named(figure, "reference")
    assert (len(bold), len(faint), len(reference)) == (2, 4, 2)
    assert max(bold[0].y) == pytest.approx(1000 * record.band_sets[2].bands[0].barrier)
    assert max(reference[0].y) == pytest.approx(332.0)
    assert (bold[0].y[0], bold[0].x[0], bold[0].x[-1]) == (0.0, 0.0, 1.0)
    assert bold[0].line.width > 1
    titles = {a.text for a in figure.layout.annotations}
    assert titles == {"Li-Li 2.76 A #0", "Li-Li 3.91 A #1"}


def test_bands_without_a_reference(record):
    assert named(plots.bands(record.band_sets, []), "reference") == []


def test_progress_draws_rates_with_counting_errors(record):
    figure = plots.progress(record.advances)
    (bars,) = named(figure, "900 K")
    n_hops = [a.judgement.metrics.hop_rates[1].n_hops for a in record.advances]
    assert n_hops == [6, 7, 8]
    assert bars.y == pytest.approx([0.6, 0.7, 0.8])
    assert bars.error_y.array == pytest.approx(np.sqrt(n_hops) / 10)
    (trusted,) = named(figure, "trusted frames")
    assert trusted.y == pytest.approx([80.0, 89.0, 98.0])


def test_msd_draws_the_window_bold_where_it_was_fitted(record):
    figure = transport_plots.msd(record.evaluation)
    point = record.evaluation.reference_transport.points[0]
    lines = [t for t in named(figure, "900 K") if t.xaxis == "x2"]
    whole, bold = sorted(lines, key=lambda t: t.line.width)
    assert whole.y == pytest.approx(point.msd[1:])
    assert whole.x == pytest.approx(np.array(point.msd_time_fs[1:]) / 1000)
    assert (bold.x[0], bold.x[-1]) == (4.0, 14.0)
    # The model's run at 900 K gave no number, so nothing of it was fitted.
    assert len([t for t in named(figure, "900 K") if t.xaxis == "x"]) == 1


def test_msd_has_a_band_of_one_standard_error(record):
    point = record.evaluation.reference_transport.points[0]
    point.msd_error[5] = 3 * point.msd[5]
    figure = transport_plots.msd(record.evaluation)
    (band, *_) = [t for t in figure.data if t.fill and t.xaxis == "x2"]
    n = len(point.msd) - 1  # lag 0 has no logarithm
    curve, error = np.array(point.msd[1:]), np.array(point.msd_error[1:])
    assert band.x[:n] == pytest.approx(np.array(point.msd_time_fs[1:]) / 1000)
    assert band.x[n:] == band.x[:n][::-1]
    assert band.y[:n] == pytest.approx(curve + error)
    low = np.array(band.y[n:])[::-1]
    assert low[4] == pytest.approx(0.01 * curve[4])
    assert np.delete(low, 4) == pytest.approx(np.delete(curve - error, 4))
    assert band.fillcolor.startswith("rgba(")
    assert (band.legendgroup, band.showlegend) == ("900", False)


def test_msd_of_older_documents_and_of_no_runs_has_no_band(record):
    transport = record.evaluation.reference_transport
    for point in transport.points:
        point.msd_error = []
    nothing = {"msd": [], "msd_time_fs": [], "window_fs": None, "n_eff": None}
    transport.points[0] = transport.points[0].model_copy(update=nothing)
    figure = transport_plots.msd(record.evaluation)
    assert [t for t in figure.data if t.fill and t.xaxis == "x2"] == []
    assert [t for t in named(figure, "900 K") if t.xaxis == "x2"] == []


def test_arrhenius_draws_points_with_errors_and_the_fit(record):
    record.evaluation.model_transport.points[1].d.admissible = False
    figure = transport_plots.arrhenius(record.evaluation)
    (model,) = named(figure, "model: committee of 3 MACE")
    points = record.evaluation.model_transport.points[1:]
    assert model.x == pytest.approx([1000 / p.temperature for p in points])
    assert model.y == pytest.approx([p.d.value for p in points], rel=1e-12, abs=0)
    assert model.error_y.array == pytest.approx([p.d.error for p in points], rel=1e-12, abs=0)
    assert list(model.marker.symbol) == ["circle-open", "circle", "circle"]
    (fit,) = named(figure, "reference fit")
    slope = np.diff(np.log(fit.y))[0] / np.diff(fit.x)[0]
    assert slope == pytest.approx(-0.33 / 8.617333e-5 / 1000, rel=1e-5)


def test_arrhenius_without_a_reference(record):
    record.evaluation.reference_transport = None
    figure = transport_plots.arrhenius(record.evaluation)
    assert not [t for t in figure.data if t.name and t.name.startswith("reference")]


def test_nothing_to_draw_is_said_in_a_sentence(record):
    missing = [
        plots.learning_curve([], []),
        plots.parity(None),
        plots.hop_coordinate_error(None),
        plots.calibration([]),
        plots.bands([], []),
        plots.progress([]),
        transport_plots.msd(None),
        transport_plots.arrhenius(None),
    ]
    empty = record.evaluation.accuracy.model_copy(
        update={"parity_forces": [], "progress_errors": []}
    )
    missing += [plots.parity(empty), plots.hop_coordinate_error(empty)]
    for point in record.evaluation.model_transport.points:
        point.d.value, point.d.reason = None, "too few hops, D < 1e-6 cm²/s"
    record.evaluation.reference_transport = None
    missing.append(transport_plots.arrhenius(record.evaluation))
    assert all(isinstance(m, str) and m.startswith("No ") for m in missing)
    assert "D < 1e-6" in missing[-1]
