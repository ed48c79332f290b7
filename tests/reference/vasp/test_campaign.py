"""A campaign whose reference is VASP: it builds, its seeds and labels run on the stand-in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from jobflow import Flow, Job, JobStore, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Structure

from ionloop.campaign.maker import CampaignMaker
from ionloop.campaign.schema import CampaignStart
from ionloop.engine import load_flow
from ionloop.errors import LabelError, ReferenceSetupError
from ionloop.frame import Frame
from ionloop.label.maker import LabelMaker
from ionloop.label.schema import LabelShard
from ionloop.profile import Profile
from ionloop.reference.vasp import VaspReference
from ionloop.reference.vasp.settings import VaspSettings
from ionloop.seed.maker import SeedMaker
from ionloop.seed.schema import Displacements, Hop
from ionloop.testing import vasp_std

pytestmark = [
    pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:POTCAR data with symbol"),
    pytest.mark.filterwarnings("ignore:.*is an unconverged VASP run"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FLOW = Path(__file__).parents[3] / "flows" / "li3ocl_vasp.py"
CHARGES = {"Li": 1, "O": -2, "Cl": -1}


def profile(**fields: object) -> Profile:
    own = {"r_max": 3.8, "hop_distance_max": 2.8, "seed_temperatures": [600], **fields}
    return Profile(name="Li3OCl", mobile_ion="Li", formal_charges=CHARGES, **own)


def jobs_of(part: Flow | Job) -> list[Job]:
    return [part] if isinstance(part, Job) else [j for p in part.jobs for j in jobs_of(p)]


class Runner:
    """Runs flows one after another in one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        self.store.connect()

    def run(self, part: Flow | Job, *, strict: bool = True) -> None:
        options = {"create_folders": True, "log": False, "raise_immediately": strict}
        run_locally(part, store=self.store, root_dir=self.folder, **options)

    def label(self, frames: object, reference: VaspReference, **fields: object) -> Job:
        tags = {"campaign_id": "c"}
        shards = fields.pop("shards", [])
        return LabelMaker().make(frames, reference, profile(**fields), 0, "train", shards, tags)

    def shard(self, job: Job) -> LabelShard:
        return self.store.get_output(job.uuid, load=True)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def frames_of(frame: Frame, n: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    shape = np.shape(frame.positions)
    moved = [np.array(frame.positions) + rng.normal(0, 0.03, shape) for _ in range(n)]
    return [frame.model_copy(update={"positions": x.tolist()}) for x in moved]


def test_a_campaign_with_vasp_builds(vasp, li3ocl: Structure, li3ocl_vacancies: Structure) -> None:
    maker = CampaignMaker(profile=profile(), reference=VaspReference())
    flow = maker.make(li3ocl, li3ocl_vacancies, campaign_id="c")
    start: CampaignStart = jobs_of(flow)[0].function_args[0]
    assert start.reference == "vasp"
    assert {el: p["symbol"] for el, p in start.settings["potcars"].items()} == {
        "Li": "Li_sv", "O": "O", "Cl": "Cl"
    }  # fmt: skip
    assert all(len(p["sha256"]) == 64 for p in start.settings["potcars"].values())
    assert start.settings["k_points"] == {"spacing": 0.5, "mesh": [2, 2, 2]}
    bound = VaspReference().bind(li3ocl_vacancies)
    assert start.settings_hash == bound.settings_hash
    (label,) = (job for job in jobs_of(flow) if job.name.startswith("label train"))
    assert label.function_args[1] == bound
    assert maker.reference.dft.potcars == {}  # a Maker is a value
    vasp.patch.setenv("IONLOOP_VASP_CMD", "/nowhere/vasp_std")
    with pytest.raises(ReferenceSetupError, match="IONLOOP_VASP_CMD"):
        maker.make(li3ocl, li3ocl_vacancies)


def test_the_ready_flow_builds(vasp) -> None:
    flow = load_flow(FLOW, random_seed=3, max_generations=2)
    start: CampaignStart = jobs_of(flow)[0].function_args[0]
    assert (start.reference, start.random_seed, start.profile["charge"]) == ("vasp", 3, 0)
    assert start.profile["budget"]["generations_max"] == 2
    assert start.settings["incar"]["ENCUT"] == 520
    assert start.settings["k_points"]["mesh"] == [2, 2, 2]


def test_seeds_and_labels_run(vasp, runner: Runner, li3ocl_frame: Frame, li3ocl_hop: Hop) -> None:
    reference = VaspReference().bind(li3ocl_frame.to_structure())
    seed = SeedMaker(
        md_steps=4, store_every=1, stride=2, skip=1, n_images=1, max_steps=3, max_bands=1,
        displacements=Displacements(n_rattle=1, n_strain=1),
    ).make(li3ocl_frame, [li3ocl_hop], reference, profile(), 0)  # fmt: skip
    label = runner.label(seed.output.frames, reference)
    runner.run(Flow([seed, label]))
    shard = runner.shard(label)
    assert {"aimd", "neb", "rattle", "strain"} <= set(shard.counts)
    assert (shard.n_quarantined, shard.settings_hash) == (0, reference.settings_hash)
    assert shard.settings == reference.settings
    for found in shard.labels:  # those of AIMD too: computed again with the labels' settings
        atoms = found.frame.to_atoms()
        atoms.calc = vasp_std.Pairs()
        assert found.energy == pytest.approx(vasp_std.total_energy(atoms, 520.0), abs=1e-6)
        assert found.stress is not None


def test_a_batch_goes_on_without_the_failed_and_stops_below_the_share(
    vasp, runner: Runner, li3ocl_frame: Frame
) -> None:
    reference = VaspReference().bind(li3ocl_frame.to_structure())
    vasp.fail("edited:1")
    label = runner.label(frames_of(li3ocl_frame, 2), reference, min_success_fraction=0.5)
    runner.run(label)
    shard = runner.shard(label)
    assert shard.reasons == {"other settings": 1}
    reason = "other settings: incar.ALGO: expected normal, got fast"
    assert shard.quarantined[0].reasons == [reason]
    assert (shard.n_admitted, shard.n_quarantined) == (1, 1)
    assert "vasp_" in shard.quarantined[0].directory
    vasp.fail("unconverged")
    failing = runner.label(frames_of(li3ocl_frame, 2), reference)
    with pytest.raises(LabelError, match=r"0 of 2 labels.*SCF not converged"):
        runner.run(failing)


def test_labels_of_two_settings_are_never_mixed(vasp, runner: Runner, li3ocl_frame: Frame) -> None:
    structure = li3ocl_frame.to_structure()
    frames = frames_of(li3ocl_frame, 2)
    first = runner.label(frames[:1], VaspReference().bind(structure))
    runner.run(first)
    other = VaspReference(dft=VaspSettings(encut=600, functional="PBEsol")).bind(structure)
    second = runner.label(frames[1:], other, shards=[first.uuid])
    keys = r"functional: expected PBE, got PBEsol; incar\.ENCUT: expected 520, got 600; incar\.GGA"
    with pytest.raises(LabelError, match=keys):
        runner.run(second)
    assert vasp.n_runs == 1
