"""The ready campaigns build, say what they will do, and refuse what can't work."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk, molecule
from ase.io import write
from jobflow import Flow, Job
from pydantic import ValidationError

from ionloop.campaign.schema import CampaignStart
from ionloop.engine import campaign_id_of, load_flow
from ionloop.errors import EngineError, IonloopError, ReferenceSetupError, StructureError
from ionloop.seed.schema import Hop

FLOWS = Path(__file__).parents[2] / "flows"
QUICKSTART = FLOWS / "quickstart.py"
CP2K = FLOWS / "li3ocl_cp2k.py"


def jobs_of(flow: Flow | Job) -> list[Job]:
    if isinstance(flow, Job):
        return [flow]
    return [job for part in flow.jobs for job in jobs_of(part)]


def start_of(flow: Flow) -> CampaignStart:
    return jobs_of(flow)[0].function_args[0]


def hops_of(flow: Flow) -> list[Hop]:
    """Hops that reference bands are asked for."""
    found = [job for job in jobs_of(flow) if job.name.startswith("reference band")]
    return [a for job in found for a in job.function_args if isinstance(a, Hop)]


@pytest.fixture(scope="module")
def quickstart() -> Flow:
    return load_flow(QUICKSTART)


def test_quickstart_is_a_campaign_of_a_neutral_cell(quickstart: Flow) -> None:
    start = start_of(quickstart)
    assert start.campaign_id == campaign_id_of(quickstart)
    assert start.campaign_id.startswith("Li3OCl-")
    assert (start.profile["mobile_ion"], start.profile["charge"]) == ("Li", 0)
    assert start.profile["formal_charges"] == {"Li": 1, "O": -2, "Cl": -1}
    assert start.settings["teacher"] == "buckingham"
    (hop,) = hops_of(quickstart)
    symbols = hop.start.symbols
    assert {s: symbols.count(s) for s in symbols} == {"Li": 23, "O": 8, "Cl": 7}
    assert hop.distance == pytest.approx(3.90 / 2**0.5, abs=1e-6)


def test_every_job_says_where_it_belongs(quickstart: Flow) -> None:
    jobs = jobs_of(quickstart)
    campaign_id = campaign_id_of(quickstart)
    assert len(jobs) > 10
    for job in jobs:
        assert job.metadata["campaign_id"] == campaign_id
        assert job.metadata["generation"] == 0
        assert job.metadata["stage"]
    stages = list(dict.fromkeys(job.metadata["stage"] for job in jobs))
    assert stages == [
        "start", "seed", "label", "train", "explore", "select", "judge", "advance"
    ]  # fmt: skip


def test_parameters_arrive() -> None:
    flow = load_flow(QUICKSTART, random_seed=7, max_generations=5)
    start = start_of(flow)
    assert start.random_seed == 7
    assert start.profile["budget"]["generations_max"] == 5
    assert start.campaign_id != campaign_id_of(load_flow(QUICKSTART, random_seed=7))


def test_another_crystal_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "salt.xyz", bulk("LiCl", "rocksalt", a=5.14, cubic=True), "extxyz")
    flow = load_flow(QUICKSTART, structure=str(tmp_path / "salt.xyz"))
    assert start_of(flow).profile["name"] == "LiCl"
    hop = hops_of(flow)[0]
    assert sorted(set(hop.start.symbols)) == ["Cl", "Li"]
    assert len(hop.start.symbols) == 8 * 8 - 2


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (
            {"teacher": "vasp"},
            ReferenceSetupError,
            r"\['buckingham', 'chgnet'\], a NEP .* 'vasp'",
        ),
        ({"mobile_ion": "Na"}, StructureError, "expected a charged mobile ion .* got Na"),
        ({"mobile_ion": "Xx"}, StructureError, "got Xx"),
        ({"structure": "gone.cif"}, StructureError, "no structure file gone.cif; expected a CIF"),
        ({"structure": 5}, StructureError, "no structure file 5"),
        ({"teachers": "chgnet"}, EngineError, "refuses the parameters.*teachers.*--set"),
        ({"max_generations": 0}, ValidationError, "generations_max"),
        ({"max_generations": "many"}, ValidationError, "generations_max"),
        ({"random_seed": -1}, ValidationError, "random_seed"),
        ({"random_seed": "x"}, ValidationError, "random_seed"),
    ],
)
def test_bad_parameters_are_told(params: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_flow(QUICKSTART, **params)


def test_bad_structures_are_told(tmp_path: Path) -> None:
    write(tmp_path / "water.xyz", molecule("H2O"), "extxyz")
    write(tmp_path / "salt.cif", bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    write(tmp_path / "metal.cif", bulk("Li", cubic=True))
    (tmp_path / "text.cif").write_text("hello\n")
    for name, ion, message in (
        ("water.xyz", "H", "periodic cell"),
        ("salt.cif", "Na", r"teacher buckingham knows \['Cl', 'Li', 'O'\], got \['Na'\]"),
        ("metal.cif", "Li", "counter-ions"),
        ("text.cif", "Li", "can't be read"),
    ):
        with pytest.raises(IonloopError, match=message):
            load_flow(QUICKSTART, structure=str(tmp_path / name), mobile_ion=ion)


def test_cp2k_campaign_is_of_a_charged_cell() -> None:
    flow = load_flow(CP2K, random_seed=2, max_generations=2)
    start = start_of(flow)
    assert (start.profile["charge"], start.random_seed) == (-1, 2)
    assert start.profile["budget"]["generations_max"] == 2
    assert "cp2k" in str(start.settings).lower()
    (band,) = (job for job in jobs_of(flow) if job.name.startswith("reference band"))
    assert band.metadata["stage"] == "seed"
    hop = next(a for a in (*band.function_args, *band.function_kwargs.values()) if _is_hop(a))
    assert (len(hop.start.symbols), hop.start.charge, hop.end.charge) == (39, -1, -1)


def _is_hop(value: object) -> bool:
    return isinstance(value, Hop)


def test_a_missing_cp2k_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONLOOP_CP2K_CMD", "/nowhere/cp2k.psmp")
    with pytest.raises(ReferenceSetupError, match=r"/nowhere/cp2k\.psmp"):
        load_flow(CP2K)
