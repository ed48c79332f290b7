"""The page of scorecards: every number with its interval, what fails and what isn't comparable."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_cards import card, error_bin, whole_card
from made_record import make_card
from pydantic import Field

from ionloop.document import Document
from ionloop.evaluate import stability as run_stability_module
from ionloop.evaluate.accuracy_schema import BandErrors, Bounded, FrameErrors, UncertaintyQuality
from ionloop.evaluate.schema import Check, Estimate
from ionloop.evaluate.scorecard_schema import (
    PARTS,
    CostPart,
    Part,
    PolarModes,
    Scorecard,
    StabilityPart,
)
from ionloop.report.digits import written
from ionloop.report.scorecard_differences import all_differences, differences, warning
from ionloop.report.scorecard_names import shortened
from ionloop.report.scorecard_page import render_page, write_page
from ionloop.report.scorecard_rows import of_estimate, quantities
from ionloop.report.scorecard_summary import Shown, in_a_line, stability
from ionloop.report.scorecard_walk import FRAMEWORK, verdict_of, walk


class Page(HTMLParser):
    """Collects text and what the page loads; complains of tags that don't close."""

    VOID = ("meta", "img")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.loaded, self.words = [], [], []
        self.feed(html)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.loaded += [v for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


@pytest.mark.parametrize(
    ("value", "interval", "said"),
    [
        (71.3349, (69.12, 73.2), ("71.3", "69.1 to 73.2")),
        (2.04e-6, (1.71e-6, 2.4e-6), ("2.04 × 10⁻⁶", "(1.71 to 2.40) × 10⁻⁶")),
        (-3.2, (-4.0, 1.0), ("-3.20", "-4.00 to 1.00")),
        (0.0, (-0.02, 0.02), ("0.000", "-0.020 to 0.020")),
        (1234567.0, None, ("1.235 × 10⁶", "")),
        (5.0, (5.0, 5.0), ("5.000", "5.000 to 5.000")),
        (1.8e-5, (6.3e-6, 2.8e-4), ("1.8 × 10⁻⁵", "(0.6 to 28.0) × 10⁻⁵")),
        (float("inf"), None, ("inf", "")),
        (0.0, None, ("0", "")),
    ],
)
def test_numbers_have_the_digits_that_their_interval_allows(value, interval, said):
    assert written(value, interval) == said


def test_long_names_keep_both_ends():
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 50 + "b" * 50, 11) == "aaaaa…bbbbb"


def by_name(found, part):
    return {one.name: one for one in quantities(found, part)}


def test_every_part_has_its_numbers_with_unit_and_interval():
    found = whole_card("a")
    forces = by_name(found, "accuracy")["force RMSE, Li"]
    assert (forces.value, forces.interval, forces.unit) == ("100", "90 to 110", "meV/Å")
    assert forces.reason == "too narrow: 5 groups"
    assert by_name(found, "static")["bulk modulus B₀ (volumes)"].value == "50.00"
    cost = by_name(found, "cost")["step and atom, 400 atoms"]
    assert (cost.value, cost.unit) == ("10.00", "µs")
    assert by_name(found, "cost")["step and atom, 400 atoms (reference)"].value == "1000"
    rows = by_name(found, "diffusion")
    energy = rows["activation energy E_a"]
    assert (energy.value, energy.interval, energy.admissible) == ("0.300", "0.267 to 0.333", True)
    bound = rows["tracer D, 600 K"]
    assert (bound.value, bound.interval) == ("< 3.0 × 10⁻⁷", "95 % upper bound")
    assert (bound.admissible, bound.reason) == (False, "too few hops")
    assert "one standard error" in rows["tracer D, 900 K"].interval
    survived = by_name(whole_card("a", stopped="it burst"), "stability")["survived"]
    assert (survived.value, survived.interval) == ("3.200", "of 500.0 asked")
    assert (survived.admissible, survived.reason) == (False, "it burst")
    assert "Lindemann ratio of the framework" in by_name(found, "stability")
    assert "Lindemann ratio of the framework" not in by_name(
        whole_card("a", stopped="it burst"), "stability"
    )
    assert quantities(make_card(b"x"), "accuracy") == []


def test_a_long_reason_is_said_once_and_what_only_checks_is_left_out():
    why = "the MSD passes 0.5 a² too late or never, so that the cage still counts"
    one = Estimate(value=1.0, error=0.2, unit="1", estimator="x", admissible=False, reason=why)
    found = whole_card("a")
    analysis = found.diffusion.result.transport
    points = [p.model_copy(update={"d": one, "second": one}) for p in analysis.transport.points]
    transport = analysis.transport.model_copy(update={"points": points})
    result = found.diffusion.result.model_copy(
        update={"transport": analysis.model_copy(update={"transport": transport})}
    )
    part = found.diffusion.model_copy(update={"result": result})
    rows = by_name(found.model_copy(update={"diffusion": part}), "diffusion")
    reasons = [row.reason for row in rows.values() if row.reason]
    assert reasons == [why, "as tracer D, 600 K"]
    assert (rows["tracer D, 600 K"].value, rows["tracer D, 600 K"].unit) == ("1.00", "")


def test_energies_stress_bands_and_spread_have_rows():
    bounded = Bounded(value=0.8, interval=(0.7, 0.9))
    frames = FrameErrors(by="origin", name="aimd", n_frames=9, n_groups=12, rmse=0.002,
                         interval=(0.001, 0.003))  # fmt: skip
    band = BandErrors(
        path_class="Li-Li", n_bands=1, n_images=5, energy_rmse=0.02, energy_max=0.03,
        energy_spread=None, rmse_forces=0.1, rmse_ion=0.2, rms_reference=1.0,
    )  # fmt: skip
    spread = UncertaintyQuality(
        origin="all", n_frames=9, n_groups=3, n_ions=90, coverage_90=bounded,
        miscalibration=bounded, spearman=Bounded(value=None), auroc=bounded, error_ratio=bounded,
    )  # fmt: skip
    found = whole_card("a")
    new = {"energies": [frames], "stresses": [frames], "along_bands": [band],
           "uncertainty": [spread], "saddle_ratio": bounded,
           "uncertainty_missing": "one model"}  # fmt: skip
    result = found.accuracy.result.model_copy(update=new)
    part = found.accuracy.model_copy(update={"result": result})
    rows = by_name(found.model_copy(update={"accuracy": part}), "accuracy")
    energy = rows["energy RMSE less the mean offset, origin, aimd"]
    assert (energy.value, energy.interval, energy.reason) == ("2.0", "1.0 to 3.0", "")
    assert rows["stress RMSE, origin, aimd"].unit == "GPa"
    assert rows["energy RMSE along Li-Li"].value == "20.00"
    assert rows["force RMSE of the ion along Li-Li"].value == "200.0"
    assert rows["force RMSE at the saddle over near equilibrium"].value == "0.80"
    bound = rows["share of errors within the 90 % bound, all"]
    assert (bound.interval, bound.reason) == ("0.70 to 0.90", "too narrow: 3 groups")
    assert rows["the committee's spread"].reason == "one model"
    assert not any("rank correlation" in name for name in rows)  # it isn't defined


def test_modes_with_the_field_of_long_waves_have_rows():
    found = card("model.model", 0.1)
    assert "with field along a* b* c*" not in by_name(found, "static")
    polar = PolarModes(
        born_sha256="0123456789abcdef", dielectric=[[3, 0, 0], [0, 3, 0], [0, 0, 3]],
        highest_without_field=17.3866, highest_with_field=(26.775, 26.775, 20.0),
    )  # fmt: skip
    found.static.result.phonons.polar = polar
    rows = by_name(found, "static")
    assert rows["highest phonon at Γ without field"].value == "17.387"
    assert rows["with field along a* b* c*"].value == "26.775 26.775 20.000"
    assert "0123456789ab" in rows["with field along a* b* c*"].how


def test_one_group_has_no_interval():
    one = error_bin("Li", 0.1).model_copy(update={"interval": None, "n_groups": 1})
    found = whole_card("a")
    accuracy = found.accuracy.result.model_copy(update={"forces_by_species": [one]})
    part = found.accuracy.model_copy(update={"result": accuracy})
    row = by_name(found.model_copy(update={"accuracy": part}), "accuracy")["force RMSE, Li"]
    assert (row.interval, row.reason) == ("", "one group: no interval")


class Hardness(Document):
    """A result that no code of the report knows."""

    steps: int = Field(description="Steps of the run.")
    highest: float = Field(description="Highest temperature, K.")
    linear: Estimate
    by_axis: list[Estimate]
    checks: list[Check]


class HardnessPart(Part):
    """Its part."""

    result: Hardness | None = None


class NewCard(Scorecard):
    """A scorecard of the next version."""

    hardness: HardnessPart


def test_a_part_that_is_new_is_shown_with_no_more_code(monkeypatch):
    for module in ("scorecard_page", "scorecard_walk", "scorecard_differences", "stability_panel"):
        monkeypatch.setattr(f"ionloop.report.{module}.PARTS", (*PARTS, "hardness"))
    one = Estimate(value=2e-5, unit="1/K", estimator="a line", admissible=True)
    result = Hardness(
        steps=10, highest=900.0, linear=one, by_axis=[one],
        checks=[Check(name="steady", passed=False, detail="it drifts")],
    )  # fmt: skip
    part = HardnessPart(status="done", result=result)
    assert verdict_of(part).text == "1 of 1 rules fail: steady"
    assert [place for place, _ in walk(result, Estimate)] == [("linear",), ("by_axis", "1")]
    known = NewCard(**dict(whole_card("a")), hardness=part)
    found = by_name(known, "hardness")
    assert list(found) == ["steps", "highest", "linear", "by axis 1"]
    assert (found["highest"].value, found["highest"].unit) == ("900.0", "K")
    page = Page(render_page([Shown(known)])).text
    for expected in ("Hardness", "by axis 1", "it drifts", "2.000 × 10⁻⁵"):
        assert expected in page


def test_an_estimate_that_is_missing_says_why():
    none = Estimate(value=None, unit="GPa", estimator="x", admissible=False, reason="it broke")
    row = of_estimate(("shear_vrh",), none)
    assert (row.value, row.reason, row.admissible) == ("", "it broke", False)


@pytest.mark.parametrize(
    ("found", "kind", "text"),
    [
        (whole_card("a"), "good", "500 ps at 1440 K"),
        (whole_card("a", stopped="x"), "bad", "ended after 3.2 of 500 ps at 1440 K"),
        (card("a", 0.1), "not asked", ""),
        (
            card("a", 0.1).model_copy(
                update={"stability": StabilityPart(status="missing", reason="why")}
            ),
            "missing",
            "why",
        ),
    ],
)
def test_stability_in_a_line(found, kind, text):
    assert (stability(found).kind, stability(found).text) == (kind, text)


def test_the_rule_on_the_framework_has_the_name_that_is_looked_for():
    assert f'"{FRAMEWORK}"' in Path(run_stability_module.__file__).read_text(encoding="utf-8")


def test_a_solid_that_melts_is_unstable_though_its_run_goes_on():
    found = whole_card("a")
    check = Check(name="the framework stays solid", passed=False, detail="0.3")
    result = found.stability.result.model_copy(update={"checks": [check]})
    part = found.stability.model_copy(update={"result": result})
    assert verdict_of(part).kind == "bad"
    assert verdict_of(part).text == "500 ps at 1440 K, but not: the framework stays solid"


def test_parts_without_rules_are_judged_by_their_estimates():
    found = whole_card("a")
    assert (verdict_of(found.cost).kind, verdict_of(found.cost).text) == ("done", "")
    analysis = found.diffusion.result.transport
    bad = analysis.transport.activation_energy.model_copy(update={"admissible": False})
    transport = analysis.transport.model_copy(update={"points": [], "activation_energy": bad})
    dynamics = found.diffusion.result.model_copy(
        update={"transport": analysis.model_copy(update={"transport": transport})}
    )
    part = found.diffusion.model_copy(update={"result": dynamics})
    assert verdict_of(part).text == "none of 1 estimates is admissible"
    assert verdict_of(part).kind == "bad"


def test_a_line_has_a_dash_where_nothing_is_known():
    assert in_a_line(make_card(b"x")) == ("–", "–", "–", "–")
    forces, modulus, d, time = in_a_line(whole_card("a"))
    assert forces == "100 (90 to 110)"
    assert modulus == "50"
    assert d.endswith("(900 K)")
    assert time == "10 (400 atoms)"


def test_what_differs_is_told_and_what_does_not_is_not():
    one, other = whole_card("a"), whole_card("b", labels="y", picoseconds=5.0)
    assert all_differences([one, one]) == []
    assert [(d.part, d.what, d.serious) for d in all_differences([one, other])] == [
        ("accuracy", "labels", True),
        ("diffusion", "picoseconds", False),
        ("stability", "picoseconds", False),
    ]
    assert differences([one, other], "accuracy")[0].values == (("a (aaaaaa)", "x"),
                                                               ("b (bbbbbb)", "y"))  # fmt: skip
    assert warning([one, other], "accuracy") == "not comparable: of different labels"
    assert warning([one, other], "stability") == "of different picoseconds"


def test_the_same_model_asked_twice_is_not_taken_for_one():
    twice = [whole_card("a"), whole_card("a", picoseconds=5.0)]
    assert [d.what for d in differences(twice, "stability")] == ["picoseconds"]


def test_other_materials_machines_and_versions():
    one = whole_card("a")
    on = [
        CostPart(status="done", result=one.cost.result, settings={"hardware": name, "cores": 2},
                 versions={"ase": name})
        for name in ("fast", "slow")
    ]  # fmt: skip
    cards = [one.model_copy(update={"cost": part, "material": part.settings["hardware"]})
             for part in on]  # fmt: skip
    found = [(d.part, d.what, d.serious) for d in all_differences(cards)]
    assert found == [("", "materials", True), ("cost", "hardware", True),
                     ("cost", "version of ase", False)]  # fmt: skip
    assert warning(cards, "cost") == "not comparable: of different hardware"
    assert differences([one, make_card(b"x")], "cost") == []  # the other has none


def test_the_page_says_all_and_loads_nothing(tmp_path):
    shown = [
        Shown(whole_card("a"), "0" * 16, "li3ocl-1", 3, "2026-01-01 10:00 UTC by me"),
        Shown(whole_card("b", labels="y", stopped="atoms at 0.39 of their radii")),
    ]
    write_page(shown, tmp_path / "page.html")
    found = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    for words in (
        "Li3N: 2 scorecards", "a (aaaaaa)", "b (bbbbbb)", "a" * 32, "li3ocl-1, generation 3",
        "2026-01-01 10:00 UTC by me", "Not everything here may be compared",
        "accuracy : of different labels: x (a (aaaaaa)), y (b (bbbbbb))",
        "Accuracy", "Static", "Diffusion", "Cost", "Stability", "0.300 ✓ 0.267 to 0.333",
        "not admissible", "too few hops", "What fails, and why",
        "ended after 3.2 of 500 ps at 1440 K", "atoms at 0.39 of their radii",
    ):  # fmt: skip
        assert words in found.text, words
    assert all(re.match(r"#part-|data:image/svg\+xml;base64,", one) for one in found.loaded)


def test_one_card_with_nothing_done_has_a_page():
    text = Page(render_page([Shown(make_card(b"x"))])).text
    assert "Li3OCl: m" in text
    assert "missing a test" in text
    assert "may be compared" not in text
    assert "Static" not in text.partition("Who was evaluated")[2]


def test_what_a_card_says_is_escaped():
    evil = "<script>alert(1)</script>"
    found = whole_card("a", stopped=evil)
    facts = found.model.model_copy(update={"name": evil, "versions": {evil: evil}})
    html = render_page([Shown(found.model_copy(update={"model": facts, "material": evil}))])
    assert evil not in html
    assert "alert(1)" in html
