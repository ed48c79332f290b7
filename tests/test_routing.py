"""Each job names the kind of worker that it needs, also those made while a campaign runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jobflow import Flow, Job, JobConfig, JobStore, job
from jobflow.core.job import store_inputs
from jobflow.managers.fireworks import flow_to_workflow
from maggma.stores import MemoryStore

from ionloop.campaign.schema import CampaignState
from ionloop.evaluate.stability import StabilitySettings
from ionloop.frame import Frame
from ionloop.reference.cp2k.reference import Cp2kReference
from ionloop.reference.runs import in_a_new_launch
from ionloop.reference.vasp.reference import VaspReference
from ionloop.routing import KEY, function_name, kind_of, route, stored_name

SUPPORT = Path(__file__).parent / "support"
#: The kind of each job of a campaign, by the first words of its name.
EXPECTED = {
    "start": "light",
    "aimd": "dft",
    "reference band": "dft",
    "collect seeds": "light",
    "label": "light",
    "train": "gpu",
    "calibrate": "gpu",
    "last layers": "gpu",
    "bounds of the committee": "gpu",
    "explore": "gpu",
    "bands": "gpu",
    "bands of found hops": "gpu",
    "select": "light",
    "judge": "light",
    "advance": "light",
    "test": "gpu",
    "choose": "light",
    "reference MD": "dft",
    "accuracy": "gpu",
    "cost": "gpu",
    "stability": "gpu",
    "transport": "light",
    "reference transport": "light",
    "crystal": "gpu",
    "evaluation": "light",
    "scorecard": "light",
}


@pytest.fixture(scope="module")
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SUPPORT))
        import tiny_campaign

        yield tiny_campaign


@pytest.fixture
def store() -> JobStore:
    found = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    found.connect()
    return found


def made(flow: Flow) -> Iterator[Job]:
    for part in flow.jobs:
        yield from made(part) if isinstance(part, Flow) else [part]


def workers(flow: Flow) -> dict[str, str]:
    """What FireWorks writes into the specs, by the name of the job."""
    workflow = flow_to_workflow(flow, allow_external_references=True)
    return {fw.name: fw.spec[KEY] for fw in workflow.fws}


def expected(name: str) -> str:
    return EXPECTED[max((key for key in EXPECTED if name.startswith(key)), key=len)]


def campaign_jobs(tiny) -> tuple[Flow, Flow]:
    """The first flow of a campaign, and the evaluation that ends it."""
    first = tiny.build("c")
    _, _, material, maker = list(made(first))[-1].function_args
    state = CampaignState(
        campaign_id="c", generation=1, members=["m"], calibration="k", band_set="b", seeds="s",
        selection="x",
    )  # fmt: skip
    return first, maker.evaluation(material, state)


@pytest.mark.filterwarnings("ignore:Some jobs are not connected")
def test_each_job_of_a_campaign_names_its_worker(tiny):
    for flow in campaign_jobs(tiny):
        found = workers(flow)
        assert len(found) > 5
        assert found == {name: expected(name) for name in found}


@pytest.mark.filterwarnings("ignore:Some jobs are not connected")
def test_settings_of_stability_are_the_same_on_a_worker(tiny):
    _, evaluation = campaign_jobs(tiny)
    found = []
    for one in made(evaluation):
        again = Job.from_dict(one.as_dict())
        given = [*one.function_args, *one.function_kwargs.values()]
        arrived = [*again.function_args, *again.function_kwargs.values()]
        pairs = [(a, b) for a, b in zip(given, arrived, strict=True)
                 if isinstance(a, StabilitySettings)]  # fmt: skip
        assert all(a == b for a, b in pairs)
        found += pairs
    assert found


@pytest.mark.filterwarnings("ignore:Some jobs are not connected")
def test_a_later_generation_does_too(tiny):
    _, _, material, maker = list(made(tiny.build("c")))[-1].function_args
    found = workers(maker.generation(material, CampaignState(campaign_id="c", generation=1,
                                                             selection="x")))  # fmt: skip
    assert found == {name: expected(name) for name in found}
    assert set(found.values()) == {"gpu", "light"}  # labels come when the batch has run


def test_jobs_that_jobs_add_name_theirs(tiny, store):
    """Of a batch: its labels, what collects them, and what jobflow puts behind the flow."""
    campaign = tiny.maker()
    frame = Frame.from_structure(tiny.structures()[1], origin="rattle", group="g")
    batch = campaign.label.make(
        [frame], campaign.reference, campaign.profile, 0, "train", [], {"campaign_id": "c"}
    )
    route(batch)
    stored = Job.from_dict(batch.as_dict())  # as a worker gets it
    found = workers(stored.run(store=store).replace)
    assert found == {
        "label train 0.0": "dft",
        "collect labels train 0": "light",
        "check labels train 0": "light",
        "store_inputs": "light",
    }


def test_jobflows_own_configuration_stays_as_it_is(tiny, store):
    """All jobs of jobflow's share one object: a change in it would reach other flows."""
    test_jobs_that_jobs_add_name_theirs(tiny, store)
    assert store_inputs(1).config.manager_config == {}
    assert store_inputs(1).config.on_missing_references.value == "none"


@job
def runs_out_of_time(again: bool) -> object:
    """Go on in a new launch, as a label does whose worker has no time left."""
    return in_a_new_launch(runs_out_of_time(again=False)) if again else 1


def test_a_second_attempt_keeps_its_worker(store):
    one = runs_out_of_time(again=True)
    one.config = JobConfig(manager_config={KEY: "dft"})
    assert workers(one.run(store=store).replace) == {one.name: "dft"}


def test_a_job_that_names_a_worker_keeps_it():
    one = runs_out_of_time(again=False)
    one.config = JobConfig(manager_config={KEY: "big-memory", "_priority": 3})
    assert route(one).config.manager_config == {KEY: "big-memory", "_priority": 3}


@pytest.mark.parametrize("reference", [VaspReference, Cp2kReference])
def test_calculations_go_to_dft_workers(reference, tiny):
    bound = reference()
    frame = Frame.from_structure(tiny.structures()[1], origin="rattle", group="g")
    static = bound.static([frame])
    md = bound.md(frame, temperature=600, n_steps=10, time_step=2.0, store_every=1, seed=0,
                  group="g")  # fmt: skip
    assert [kind_of(one).value for one in (static, md)] == ["dft", "dft"]


@pytest.mark.filterwarnings("ignore:Some jobs are not connected")
def test_a_stored_job_has_the_same_name(tiny):
    for flow in campaign_jobs(tiny):
        for one in made(flow):
            assert stored_name(one.as_dict()) == stored_name(one) == function_name(one)


def test_a_stored_makers_job_has_the_makers_name():
    frame = Frame(symbols=["Li"], positions=[[0, 0, 0]], cell=[[5, 0, 0], [0, 5, 0], [0, 0, 5]],
                  origin="hop", group="g")  # fmt: skip
    one = Cp2kReference().static([frame])
    name = "ionloop.reference.cp2k.makers.Cp2kStaticMaker"
    assert stored_name(one.as_dict()) == function_name(one) == name
