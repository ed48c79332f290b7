"""The picture's data; the picture itself was looked at."""

from __future__ import annotations

import pytest
from made_cards import card, whole_card
from matplotlib.figure import Figure
from matplotlib.image import imread

from ionloop.evaluate.scorecard_schema import CostPart, StabilityPart, StaticPart
from ionloop.report import scorecard_picture
from ionloop.report.scorecard_names import colours_of
from ionloop.report.stability_panel import BAD


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
    assert list(drawn) == ["accuracy", "static", "diffusion", "cost", "stability", "rules"]
    colours = colours_of(cards)
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
    assert drawn["accuracy"].get_title(loc="right") == "not comparable: of different labels"
    assert drawn["static"].get_title(loc="right") == ""


def test_a_model_keeps_its_colour_where_others_have_nothing(panels):
    bare, full = card("a", 0.1), card("b", 0.4)
    bare = bare.model_copy(update={"cost": CostPart(status="not asked")})
    drawn = panels(bare, full)
    colour = colours_of([bare, full])["b (bbbbbb)"]
    assert drawn["cost"].lines[0].get_color() == colour


def words_of(panel):
    return [(text.get_text(), text.get_color()) for text in panel.texts]


def test_an_unstable_model_is_seen_at_once(panels):
    drawn = panels(whole_card("a"), whole_card("b", stopped="atoms at 0.39 of their radii"))
    words = words_of(drawn["stability"])
    assert [text for text, colour in words if colour == BAD] == [
        "✗ ended after 3.2 of 500 ps at 1440 K"
    ]
    said = " ".join(text for text, _ in words)
    for expected in ("✓ 500 ps at 1440 K", "drift 0.020 ± 0.010 meV/atom/ps", "Lindemann 0.090",
                     "atoms at 0.39"):  # fmt: skip
        assert expected in said
    survived = [bar.get_width() for bar in drawn["stability"].patches]
    assert survived == [500, 500, 500, 3.2]
    marks = [text for text, _ in words_of(drawn["rules"]) if text in "✓✗•–"]
    assert marks == ["•", "✓", "–", "•", "✗", "✓", "•", "✓", "–", "•", "✗", "✗"]


def test_parts_that_are_missing_are_told(panels):
    bare = card("a", 0.1).model_copy(
        update={
            "static": StaticPart(status="missing", reason="EvaluationError: it didn't relax"),
            "stability": StabilityPart(status="not asked"),
        }
    )
    drawn = panels(bare)
    assert words_of(drawn["static"])[0][0] == "EvaluationError: it didn't relax"
    assert words_of(drawn["stability"])[0][0] == "not asked"
    assert [text for text, _ in words_of(drawn["rules"])].count("missing") == 2


def test_long_names_and_more_models_than_colours_fit(panels, tmp_path):
    cards = [whole_card("a_long_name_" * 20 + str(i)) for i in range(9)]
    drawn = panels(*cards)
    figure = drawn["rules"].figure
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == len(set(legend)) == 9
    width = figure.get_window_extent().width
    assert figure.legends[0].get_window_extent().x1 < width
    assert imread(tmp_path / "card.png").shape[1] > 1000


def test_settings_that_differ_are_told(panels):
    drawn = panels(whole_card("a"), whole_card("b", picoseconds=5.0))
    for part in ("diffusion", "stability"):
        assert drawn[part].get_title(loc="right") == "of different picoseconds"
