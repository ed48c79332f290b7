"""A campaign's evaluation as a scorecard: what was measured, under the names that pages expect."""

from __future__ import annotations

import numpy as np
import pytest
from made_cards import static
from made_record import make_calibration, make_card, make_evaluation, make_shard, make_stability
from pymatgen.core import Lattice, Structure

from ionloop.evaluate.campaign_card import CHARGED, Asked, campaign_card, conventional
from ionloop.evaluate.cost import cost_of
from ionloop.evaluate.scorecard_schema import Crystal, ExpansionPart, StaticPart
from ionloop.frame import Frame, Origin
from ionloop.profile import Profile
from ionloop.report.scorecard_picture import picture_svg
from ionloop.report.scorecard_rows import quantities
from ionloop.report.scorecard_summary import in_a_line, stability

PROFILE = Profile(
    name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1}, r_max=3.8,
    small_cell_reason="a test", transport_temperatures=[600, 900, 1200],
)  # fmt: skip
ASKED = Asked(
    picoseconds=100.0, replicas=2, frame_interval_fs=20.0, skip_fs=500.0, hop_distance=3.6,
    stability={"picoseconds": 500.0, "time_step": 2.0}, random_seed=7,
)  # fmt: skip
CRYSTAL = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.1), ["Li", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
)


def frame(structure: Structure, **fields) -> Frame:
    return Frame.from_structure(structure, origin=Origin.AIMD, group="start", **fields)


def crystal(**parts) -> Crystal:
    fields = {
        "model": make_card(b"0", b"1").model,
        "static": StaticPart(status="not asked"),
        "expansion": ExpansionPart(status="not asked"),
    }
    return Crystal(**(fields | parts))


def costs(n_atoms: int = 8):
    own = cost_of([0.02] * 5, n_atoms=n_atoms, name="committee of 2", cores=4)
    return [
        cost_of([0.01] * 5, n_atoms=n_atoms, name="one MACE model", cores=4),
        own.model_copy(update={"hardware": "a fast one"}),
        cost_of([60.0] * 5, n_atoms=n_atoms, name="reference (cp2k 2023.1)", cores=16),
    ]


def made(
    *, profile: Profile = PROFILE, asked: Asked = ASKED, given: Crystal | None = None, **found
):
    rng = np.random.default_rng(0)
    shard = make_shard(rng, 0)
    evaluation = make_evaluation(rng, [shard]).model_copy(update={"cost": costs(), **found})
    return campaign_card(
        evaluation, given or crystal(), shard.labels, make_calibration(2), frame(CRYSTAL), profile,
        asked,
    )  # fmt: skip


def test_it_is_the_model_that_evaluate_would_name_by_hand():
    assert made().model == make_card(b"0", b"1").model


def test_parts_that_ran_are_done_and_say_how():
    card = made()
    for name in ("accuracy", "cost", "diffusion", "stability"):
        part = getattr(card, name)
        assert part.status == "done"
        assert len(part.key) == 16
        assert part.wall_s is None
    assert card.diffusion.settings["replicas"] == 2
    assert card.diffusion.result.repeats == [1, 1, 1]
    assert card.diffusion.result.n_atoms == 8
    assert card.diffusion.result.transport.frame_interval_fs == 20.0
    assert card.stability.settings["picoseconds"] == 500.0


def test_other_settings_are_another_key():
    one, other = made(), made(asked=Asked(**{**ASKED.__dict__, "random_seed": 8}))
    assert one.accuracy.key != other.accuracy.key
    assert one.diffusion.key == other.diffusion.key


def test_the_cost_is_that_of_the_committee_on_the_machine_that_measured_it():
    found = made().cost.result
    assert [one.calculator for one in found.costs] == ["one MACE model", "model", "reference"]
    assert (found.cores, found.hardware) == (4, "a fast one")
    assert found.speed_up == [(8, pytest.approx(3000.0))]
    assert found.exponents == {}
    said = {one.name: one.value for one in quantities(made(), "cost")}
    assert said["measured on"] == "4 cores, a fast one"


def test_a_machine_that_is_not_known_is_not_made_up():
    unknown = [one.model_copy(update={"hardware": None, "cores": None}) for one in costs()]
    card = made(cost=unknown)
    assert (card.cost.result.cores, card.cost.result.hardware) == (None, None)
    said = {one.name: one.value for one in quantities(card, "cost")}
    assert said["measured on"] == "cores not known, or a GPU, hardware not known"


def test_the_worst_member_stands_for_stability():
    short = make_stability(1, stopped="it burst")
    card = made(stability=[make_stability(0), short, make_stability(2)])
    assert card.stability.result == short
    assert card.stability.result.steered_by == short.steered_by
    assert card.stability.settings["members"] == 3
    assert stability(card).kind == "bad"


def test_of_two_that_fail_the_one_that_ended_first():
    runs = [make_stability(i, stopped="it burst") for i in range(2)]
    runs[1] = runs[1].model_copy(update={"survived_ps": 3.0})
    assert made(stability=runs).stability.result == runs[1]


def test_parts_that_were_not_asked_for_say_how_to_ask():
    none = Asked(**{**ASKED.__dict__, "stability": None})
    card = made(asked=none, stability=[])
    for name, field in (("static", "static"), ("expansion", "expansion_ps"),
                        ("stability", "stability_ps")):  # fmt: skip
        assert getattr(card, name).status == "not asked"
        assert f"EvaluateMaker.{field}" in getattr(card, name).reason


def test_charged_cells_say_why_there_is_no_crystal():
    card = made(profile=PROFILE.model_copy(update={"charge": 1}))
    assert (card.static.reason, card.expansion.reason) == (CHARGED, CHARGED)


def test_parts_of_the_crystal_stay_as_they_are():
    failed = ExpansionPart(status="missing", reason="it burst", key="k")
    done = StaticPart(status="done", result=static(0.5), key="s")
    card = made(given=crystal(static=done, expansion=failed))
    assert (card.static, card.expansion) == (done, failed)


def test_lists_and_pictures_take_it():
    card = made()
    assert in_a_line(card)[3].endswith("(8 atoms)")
    assert picture_svg([card])


def test_a_supercell_is_reduced_to_the_conventional_cell():
    cell = conventional(frame(CRYSTAL.make_supercell(2, in_place=False)))
    assert len(cell) == 8
    assert cell.lattice.abc == pytest.approx((5.1, 5.1, 5.1))


def test_a_cell_without_symmetry_is_taken_as_it_is():
    """Two atoms on one place: spglib refuses such a cell."""
    bad = Structure(Lattice.cubic(3), ["Li", "Li"], [[0, 0, 0], [0, 0, 0]])
    assert conventional(frame(bad)) == frame(bad).to_structure()
