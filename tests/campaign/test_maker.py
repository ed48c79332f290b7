"""The wiring of a generation, and the step to the next one; no job of it runs here but that."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from jobflow import Flow, Job, JobStore
from jobflow.core.flow import get_flow
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize

from ionloop.campaign.maker import CampaignMaker
from ionloop.campaign.schema import Advance, CampaignStart, CampaignState
from ionloop.campaign.start import new_campaign_id, plain
from ionloop.errors import EngineError, ProfileError, StructureError
from ionloop.judge.schema import HopRate, Judgement, Metrics

STAGES = ["seed", "label", "train", "explore", "select", "judge", "advance"]


@pytest.fixture(scope="module")
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "support"))
        import tiny_campaign

        yield tiny_campaign


@pytest.fixture(scope="module")
def flow(tiny) -> Flow:
    return tiny.build("c")


@pytest.fixture
def step(flow) -> Job:
    """The advance job of a generation 0, freshly made."""
    _, _, material, maker = made(flow)[-1].function_args
    return made(maker.generation(material, CampaignState(campaign_id="c", generation=0)))[-1]


def made(flow: Flow) -> list[Job]:
    """All jobs in the order that they were made in."""
    return [j for part in flow.jobs for j in (made(part) if isinstance(part, Flow) else [part])]


def jobs(flow: Flow) -> dict[str, Job]:
    return {job.name: job for job in made(flow)}


def judgement(generation: int, *, stop: bool) -> Judgement:
    metrics = Metrics(
        generation=generation,
        n_labels=30,
        barriers={"Li-Li 2.76 A #0": 0.3},
        barrier_spread={"Li-Li 2.76 A #0": 0.01},
        hop_rates=[HopRate(temperature=1000.0, n_hops=3, ion_time_ps=10.0)],
        trusted_share=0.9,
        unphysical_events=0,
        rmse_forces=0.1,
        coverage_90=0.9,
        n_selected=10,
    )
    return Judgement(
        generation=generation, converged=False, stop=stop, reasons=["because"], criteria=[],
        metrics=metrics,
    )  # fmt: skip


def memory() -> JobStore:
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    return store


def run_step(step: Job, *, stop: bool) -> tuple[Advance, Flow]:
    """Run the advance job as a worker does, with the judge's verdict put in."""
    _, state, material, maker = step.function_args
    step.function_args = (judgement(state.generation, stop=stop), state, material, maker)
    response = step.run(store=memory())
    return response.output, response.addition


def test_generation_0_has_every_stage_in_order(flow):
    ordered = made(flow)
    seen = list(dict.fromkeys(job.metadata["stage"] for job in ordered))
    assert seen == ["start", *STAGES]
    names = {job.name for job in ordered}
    assert {
        "start c", "aimd 800 K", "aimd 1700 K", "collect seeds", "label train generation 0",
        "train member 0 generation 0", "train member 1 generation 0", "calibrate generation 0",
        "last layers generation 0",
        "explore-0 1100 K", "explore-0 1500 K", "bands generation 0",
        "bands of found hops generation 0", "select for generation 1",
        "judge generation 0", "advance generation 0",
    } <= names  # fmt: skip
    assert sum(name.startswith("reference band") for name in names) == 1  # SeedMaker.max_bands
    assert len(names) == len(ordered) == 19
    for job in ordered:
        assert (job.metadata["campaign_id"], job.metadata["generation"]) == ("c", 0)


def test_the_first_document_makes_the_campaign_reproducible(flow):
    start = jobs(flow)["start c"].function_args[0]
    assert isinstance(start, CampaignStart)
    assert start.profile["budget"]["labels_max"] == 100
    assert start.campaign["train"]["hyperparameters"]["hidden_irreps"] == "8x0e"
    assert start.settings["model"]["charges"] == {"Li": 1.0, "O": -2.0, "Cl": -1.0}
    assert re.fullmatch(r"\d+\.\d+.*", start.versions["mace-torch"])
    assert start.campaign["profile"]["budget"]["shares"]["hop"] == 0.4
    assert "@class" not in json.dumps(start.model_dump())


def test_jobs_wait_for_the_right_jobs(flow):
    by_name = jobs(flow)
    uuid = {job.uuid: name for name, job in by_name.items()}

    def waits_for(name: str) -> set[str]:
        return {uuid[u] for u in by_name[name].input_uuids}

    members = {f"train member {i} generation 0" for i in range(2)}
    assert waits_for("label train generation 0") == {"collect seeds"}
    assert waits_for("train member 1 generation 0") == {"label train generation 0"}
    assert waits_for("calibrate generation 0") == members
    known = {"calibrate generation 0", "last layers generation 0"}
    assert waits_for("last layers generation 0") == members
    assert waits_for("explore-0 1500 K") == known
    assert waits_for("bands generation 0") == {"calibrate generation 0"}
    explored = {"explore-0 1100 K", "explore-0 1500 K", "bands generation 0"}
    seen = "bands of found hops generation 0"
    assert waits_for(seen) == {"explore-0 1100 K", "explore-0 1500 K", "calibrate generation 0"}
    assert waits_for("select for generation 1") == {*explored, seen, "calibrate generation 0"}
    # Labels that chose themselves have nobody to be held to.
    assert not any(name.startswith("bounds of the committee") for name in by_name)
    assert waits_for("judge generation 0") == {
        *explored, seen, "calibrate generation 0", "select for generation 1",
    }  # fmt: skip
    assert waits_for("advance generation 0") == {"judge generation 0"}


def test_the_step_adds_the_next_generation(step, flow):
    output, added = run_step(step, stop=False)
    assert (output.next_step, output.generation, output.state.generation) == ("generation", 0, 1)
    assert [m.generation for m in output.state.history] == [0]
    get_flow(added)  # jobflow refuses references to jobs that ran before
    ordered = made(added)
    assert list(dict.fromkeys(job.metadata["stage"] for job in ordered)) == STAGES[1:]
    assert {job.metadata["generation"] for job in ordered} == {1}
    assert {job.metadata["campaign_id"] for job in ordered} == {"c"}
    by_name = jobs(added)
    state = output.state
    label = by_name["label train generation 1"]
    assert label.function_args[0] == state.selection
    assert label.function_args[5] == state.shards
    members = [by_name[f"train member {i} generation 1"] for i in range(2)]
    assert [m.function_args[3] for m in members] == state.members
    assert members[0].function_args[2] == [*state.shards, label.uuid]
    bounds = by_name["bounds of the committee on labels of generation 1"]
    assert bounds.function_args[:3] == (state.members, state.calibration, label.uuid)
    following = by_name["advance generation 1"].function_args[1]
    assert following.members == [m.uuid for m in members]
    assert following.shards == [*state.shards, label.uuid]
    assert following.seeds == state.seeds
    assert following.selection == by_name["select for generation 2"].uuid


def test_the_step_after_that_has_its_own_generation_too(step):
    _, added = run_step(step, stop=False)
    output, added = run_step(jobs(added)["advance generation 1"], stop=False)
    assert {job.metadata["generation"] for job in made(added)} == {2}
    assert output.state.generation == 2
    assert len(output.state.shards) == 2
    assert [m.generation for m in output.state.history] == [0, 1]


def test_the_step_evaluates_where_the_judge_stops(step):
    output, added = run_step(step, stop=True)
    assert (output.next_step, output.state.generation) == ("evaluate", 0)
    get_flow(added)
    ordered = made(added)
    assert {job.metadata["stage"] for job in ordered} == {"evaluate"}
    assert {job.metadata["generation"] for job in ordered} == {0}
    names = {job.name for job in ordered}
    assert {
        "test 900 K", "test 1000 K", "test 1100 K", "choose test frames",
        "label test generation 0", "reference MD 1100 K", "accuracy", "transport",
        "reference transport", "cost", "crystal", "evaluation", "scorecard",
    } <= names  # fmt: skip


@pytest.mark.parametrize(("charge", "asked"), [(0, True), (1, False)])
def test_charged_cells_have_no_crystal_since_no_stress_is_trained_on(step, charge, asked):
    _, _, material, maker = step.function_args
    state = CampaignState(
        campaign_id="c", generation=0, members=["m"], calibration="k", band_set="b", seeds="s"
    )
    campaign = replace(
        maker,
        profile=maker.profile.model_copy(update={"charge": charge}),
        evaluate=replace(maker.evaluate, expansion_ps=3.0),
    )
    _, _, _, static, expansion = jobs(campaign.evaluation(material, state))["crystal"].function_args
    assert (static, expansion is not None) == (asked, asked)
    if expansion is not None:
        assert expansion.picoseconds == 3.0
        assert expansion.time_step == campaign.explore.settings.time_step


def test_dynamic_jobs_get_their_generation_and_stage(step):
    """What a label job spreads over new jobs belongs to the campaign as well."""
    _, added = run_step(step, stop=False)
    label = jobs(added)["label train generation 1"]
    frame = label.function_args[1], jobs(added)["advance generation 1"].function_args[2].start
    label.function_args = ([frame[1]], *label.function_args[1:5], [], label.function_args[6])
    replacement = label.run(store=memory()).replace
    found = made(replacement)
    assert len(found) >= 2
    for job in found:
        assert job.metadata == {"campaign_id": "c", "generation": 1, "stage": "label"}


def stored(job: Job) -> Job:
    """The job as FireWorks writes it into MongoDB and reads it back."""
    text = json.dumps(jsanitize(job.as_dict(), strict=True, enum_values=True))
    return MontyDecoder().process_decoded(json.loads(text))


def test_a_campaign_survives_fireworks(step):
    again = stored(step)
    _, state, material, maker = again.function_args
    assert isinstance(maker, CampaignMaker)
    assert maker == step.function_args[3]
    assert isinstance(state, CampaignState)
    flow = maker.generation(material, state.model_copy(update={"generation": 1}))
    assert "advance generation 1" in jobs(flow)
    # What was made of what was stored can be stored again, for ever.
    output, added = run_step(again, stop=False)
    assert output.next_step == "generation"
    twice = stored(jobs(added)["advance generation 1"])
    output, added = run_step(twice, stop=True)
    assert output.next_step == "evaluate"
    assert {job.metadata["generation"] for job in made(added)} == {1}


def test_every_job_of_a_generation_survives_fireworks(flow):
    for job in made(flow):
        again = stored(job)
        assert again.uuid == job.uuid
        assert again.function.__name__ == job.function.__name__


def test_state_stays_small_over_generations(step):
    """Frames, labels and models pass by uuid: a state grows by metrics and uuids alone."""
    sizes = []
    for _ in range(3):
        output, added = run_step(step, stop=False)
        sizes.append(len(json.dumps(output.state.model_dump(mode="json"))))
        step = made(added)[-1]
    assert sizes[2] - sizes[1] < 1500
    assert sizes[2] < 6000


def test_no_job_names_the_launch_folders(flow):
    """MongoDB stores where code lives; workers can't import flows/ or tests/."""
    document = jsanitize(flow.as_dict(), strict=True, enum_values=True)
    modules = {item["@module"] for item in find_key_value_all(document)}
    assert modules
    assert {m.split(".")[0] for m in modules} <= {"ionloop", "jobflow", "pymatgen", "uuid"}


def find_key_value_all(value):
    if isinstance(value, dict):
        if "@module" in value:
            yield value
        for item in value.values():
            yield from find_key_value_all(item)
    elif isinstance(value, list):
        for item in value:
            yield from find_key_value_all(item)


# ---------------------------------------------------------------- refused


def test_a_campaign_without_a_finished_generation_cannot_be_evaluated(step):
    _, _, material, maker = step.function_args
    with pytest.raises(EngineError, match="finished generation"):
        maker.evaluation(material, CampaignState(campaign_id="c", generation=0))


def test_a_later_generation_needs_its_selection(step):
    _, _, material, maker = step.function_args
    with pytest.raises(EngineError, match="expected a selection"):
        maker.generation(material, CampaignState(campaign_id="c", generation=1))


def test_input_is_checked_before_anything_is_made(tiny):
    host, start = tiny.structures()
    charged, campaign = tiny.maker(), tiny.maker()
    charged.profile = charged.profile.model_copy(update={"charge": -1})
    with pytest.raises(ProfileError, match=r"add up to \+0, expected -1"):
        charged.make(host, start)
    other = start.copy().replace_species({"Cl": "Br"})
    with pytest.raises(ProfileError, match="no formal charge for"):
        campaign.make(host, other)
    disordered = start.copy()
    disordered.replace(0, {"Li": 0.5})
    with pytest.raises(StructureError, match="partly occupied"):
        campaign.make(host, disordered)


def test_a_budget_below_seeds_and_test_set_is_refused(tiny):
    host, start = tiny.structures()
    campaign = tiny.maker()
    budget = campaign.profile.budget.model_copy(update={"labels_max": 20})
    campaign.profile = campaign.profile.model_copy(update={"budget": budget})
    with pytest.raises(ProfileError, match=r"labels_max: expected at least \d+ .*, got 20; raise"):
        campaign.make(host, start)


def test_the_test_set_is_kept_back_until_it_is_asked(step):
    """Label, select and judge stage leave the test set's labels; its own batch takes them."""
    output, added = run_step(step, stop=False)
    maker = step.function_args[3]
    by_name = jobs(added)
    kept = maker.evaluate.n_test
    for name in ("label train generation 1", "select for generation 2"):
        assert by_name[name].function_args[-1] == kept == 6
    assert by_name["judge generation 1"].function_args[-2] == kept
    select = by_name["select for generation 2"].function_args
    assert select[-2] == [by_name[f"train member {i} generation 1"].uuid for i in range(2)]
    _, _, material, _ = step.function_args
    evaluation = jobs(maker.evaluation(material, output.state))
    assert evaluation["label test generation 1"].function_args[-1] == 0


def test_isolated_atoms_are_stated_asked_or_zero_where_none_count(step):
    _, state, material, maker = step.function_args
    stated = maker.profile.model_copy(update={"e0s": {"Li": -1.0, "O": -2.0, "Cl": -3.0}})
    assert energies(maker, stated, material, state) == {"Li": -1.0, "O": -2.0, "Cl": -3.0}
    assert energies(maker, maker.profile, material, state) == {"Li": 0.0, "O": 0.0, "Cl": 0.0}


def energies(maker, profile, material, state) -> dict[str, float]:
    campaign = CampaignMaker(**{**vars(maker), "profile": profile})
    return jobs(campaign.generation(material, state))["train member 0 generation 0"].function_args[
        6
    ]


def test_campaign_ids_sort_by_time_and_differ():
    one, two = new_campaign_id("Li3OCl"), new_campaign_id("Li3OCl")
    assert one != two
    assert re.fullmatch(r"Li3OCl-\d{8}-\d{6}-[0-9a-f]{4}", one)


def test_plain_drops_what_monty_would_rebuild():
    assert plain({"@module": "m", "a": [{"@class": "c", "b": (1, 2)}], 3: None}) == {
        "a": [{"b": [1, 2]}], "3": None,
    }  # fmt: skip


def test_imported_labels_are_adopted_before_generation_0_labels(tiny, step):
    """Their shard leads the list; later generations find it there and adopt nothing again."""
    maker = tiny.maker()
    maker.imported = ["uuid-of-import"]
    built = maker.make(*tiny.structures(), campaign_id="c")
    by_name = jobs(built)
    adopt, label = by_name["label imported"], by_name["label train generation 0"]
    assert adopt.function_args[0] == ["uuid-of-import"]
    assert adopt.function_args[2] == maker.reference.settings_hash
    assert adopt.metadata == {"campaign_id": "c", "generation": 0, "stage": "label"}
    assert adopt.uuid in label.input_uuids
    assert label.function_args[5] == [adopt.uuid]
    assert by_name["train member 0 generation 0"].function_args[2] == [adopt.uuid, label.uuid]
    advance = by_name["advance generation 0"]
    assert advance.function_args[1].shards == [adopt.uuid, label.uuid]
    assert stored(advance).function_args[3].imported == ["uuid-of-import"]
    _, added = run_step(advance, stop=False)
    assert "label imported" not in jobs(added)
    assert jobs(added)["label train generation 1"].function_args[5] == [adopt.uuid, label.uuid]
