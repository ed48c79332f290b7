"""The picture's data; the picture itself was looked at."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ionloop.evaluate.accuracy_schema import Accuracy, ErrorBin
from ionloop.evaluate.cost import cost_of
from ionloop.evaluate.hop_bins import HOP_BINS
from ionloop.evaluate.schema import Check, Estimate
from ionloop.evaluate.scorecard_schema import (
    AccuracyPart,
    CostPart,
    DiffusionPart,
    ModelFacts,
    Phonons,
    Scaling,
    Scorecard,
    StaticPart,
    StaticProperties,
)
from ionloop.report import scorecard_picture


def error_bin(name, rmse):
    return ErrorBin(
        name=name, n_frames=10, n_groups=5, n_forces=90, rmse_forces=rmse, mae_forces=rmse,
        rmse_error=0.1 * rmse, interval=(0.9 * rmse, 1.1 * rmse), rms_reference=1.0,
    )  # fmt: skip


def accuracy(scale):
    return Accuracy(
        n_frames=10,
        forces_by_origin=[error_bin("aimd", scale)],
        forces_by_hop_bin=[error_bin(n, scale * (i + 1)) for i, n in enumerate(HOP_BINS)],
        forces_by_species=[error_bin("Li", scale), error_bin("O", 1e-14)],
        parity_forces=[],
        parity_energies=[],
        progress_errors=[],
    )


def static(lowest):
    modulus = Estimate(value=50.0, unit="GPa", estimator="made up", admissible=lowest > -1)
    counts = [1, 5, 10, 4]
    return StaticProperties(
        formula="Li3 N1", n_atoms=4, cell=np.eye(3).tolist(), lengths=(3.6, 3.6, 3.9),
        angles=(90.0, 90.0, 120.0), volume_per_atom=11.0, volume_change=0.01, density=1.3,
        bulk_modulus=modulus, bulk_vrh=modulus, shear_vrh=modulus,
        phonons=Phonons(
            supercell=[2, 2, 2], n_displacements=4, n_q=8, lowest=lowest, highest=20.0, n_modes=20,
            n_imaginary=int(lowest < -1), tolerance=0.1, meaning="made up",
            frequencies=np.linspace(lowest, 20, 5).tolist(), counts=counts,
        ),
        checks=[Check(name="relaxed", passed=True, detail="")],
    )  # fmt: skip


def scaling(factor):
    costs = [
        cost_of([law * factor * n], n_atoms=n, name=name)
        for n in (100, 200, 400)
        for name, law in (("model", 1e-4), ("reference", 1e-2))
    ]
    return Scaling(costs=costs, exponents={}, speed_up=[(100, 100.0)], stopped="", cores=2,
                   hardware="a made-up processor")  # fmt: skip


def card(name, scale, labels="x"):
    facts = ModelFacts(name=name, kind="mace", sha256=name * 32, hashed="", versions={})
    return Scorecard(
        material="Li3N",
        mobile_ion="Li",
        model=facts,
        reference=facts.model_copy(update={"name": "slow"}),
        accuracy=AccuracyPart(status="done", result=accuracy(scale), settings={"labels": labels}),
        static=StaticPart(status="done", result=static(-5.0 * scale)),
        cost=CostPart(status="done", result=scaling(scale)),
        diffusion=DiffusionPart(status="missing", reason="no dynamics were run"),
    )


@pytest.fixture
def panels(monkeypatch, tmp_path):
    """Write a picture and return its panels by their titles."""
    kept = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (kept.append(f), save(f, *a, **k)))

    def draw(*cards):
        scorecard_picture.write_picture(cards, tmp_path / "card.png")
        assert imread(tmp_path / "card.png").std() > 0.05
        return {ax.get_title(loc="left"): ax for ax in kept[-1].axes}

    return draw


def test_every_number_is_drawn_in_its_models_colour(panels):
    cards = [card("a", 0.1), card("b", 0.4)]
    drawn = panels(*cards)
    assert list(drawn) == ["accuracy", "static", "diffusion", "cost"]
    colours = scorecard_picture.colours_of(cards)
    assert list(colours) == ["a (aaaaaa)", "b (bbbbbb)"]
    points = {
        (line.get_color(), float(line.get_xdata()[0]))
        for line in drawn["accuracy"].lines
        if len(line.get_xdata()) == 1
    }
    for colour, scale in zip(colours.values(), (100, 400), strict=True):
        drawn_at = sorted(x for c, x in points if c == colour and x > 1)
        assert drawn_at == pytest.approx([scale, 2 * scale, 3 * scale])
    names = [label.get_text() for label in drawn["accuracy"].get_yticklabels()]
    assert names == ["Li", "O", "hop near equilibrium", "hop shoulder", "hop saddle"]
    assert drawn["accuracy"].get_xlim()[0] > 1  # forces that symmetry makes zero are left out


def test_static_says_what_is_doubtful_and_cost_has_model_and_reference(panels):
    drawn = panels(card("a", 0.1), card("b", 0.4))
    words = [text.get_text() for text in drawn["static"].texts]
    assert words[0].endswith("B₀ 50 GPa, G 50 GPa")
    assert words[1].endswith("B₀ 50? GPa, G 50? GPa")
    lines = drawn["cost"].lines
    assert len(lines) == 4
    assert lines[0].get_ydata().tolist() == pytest.approx([1e-3, 2e-3, 4e-3])
    assert lines[1].get_label() == "slow"
    assert "no dynamics were run" in drawn["diffusion"].texts[0].get_text()


def test_models_on_different_labels_are_not_compared_silently(panels):
    drawn = panels(card("a", 0.1), card("b", 0.4, labels="y"))
    assert "accuracy (not comparable: of different labels)" in drawn
    assert "static" in drawn


def test_a_model_keeps_its_colour_where_others_have_nothing(panels):
    bare, full = card("a", 0.1), card("b", 0.4)
    bare = bare.model_copy(update={"cost": CostPart(status="not asked")})
    drawn = panels(bare, full)
    colour = scorecard_picture.colours_of([bare, full])["b (bbbbbb)"]
    assert drawn["cost"].lines[0].get_color() == colour
