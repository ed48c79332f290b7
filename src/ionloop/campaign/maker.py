"""The campaign: one generation, and generations until the judge is content."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jobflow import Flow, Job, Maker, OutputReference
from pydantic import BaseModel
from pymatgen.core import Structure

from ionloop.campaign.budget import check_budget
from ionloop.campaign.jobs import advance, start_campaign
from ionloop.campaign.schema import CampaignStart, CampaignState, Material
from ionloop.errors import EngineError, ProfileError
from ionloop.evaluate.maker import EvaluateMaker
from ionloop.explore.maker import ExploreMaker
from ionloop.frame import Frame, Origin
from ionloop.judge.maker import JudgeMaker
from ionloop.label.maker import LabelMaker
from ionloop.profile import Profile
from ionloop.randomness import derive_seed
from ionloop.reference.base import Reference
from ionloop.seed.maker import SeedMaker
from ionloop.seed.paths import vacancy_hops
from ionloop.select.maker import SelectMaker
from ionloop.train.maker import CommitteeMaker

#: Packages whose versions decide results.
PACKAGES = (
    "ionloop",
    "ase",
    "atomate2",
    "custodian",
    "FireWorks",
    "jobflow",
    "mace-torch",
    "numpy",
    "pymatgen",
    "torch",
)


@dataclass
class CampaignMaker(Maker):
    """Drive one material to convergence.

    Parameters
    ----------
    profile
        The material and its budget.
    reference
        Who computes the truth.
    seed, label, train, explore, select, judge, evaluate
        The stages.
    imported
        uuids of label shards that ``ionloop import`` stored: they train from the start, are
        judged by this campaign's settings and limits, and cost none of its budget.
    random_seed
        Seed of every random choice of the campaign.
    name
        Name of the flow.
    """

    profile: Profile
    reference: Reference
    seed: SeedMaker = field(default_factory=SeedMaker)
    label: LabelMaker = field(default_factory=LabelMaker)
    train: CommitteeMaker = field(default_factory=CommitteeMaker)
    explore: ExploreMaker = field(default_factory=ExploreMaker)
    select: SelectMaker = field(default_factory=SelectMaker)
    judge: JudgeMaker = field(default_factory=JudgeMaker)
    evaluate: EvaluateMaker = field(default_factory=EvaluateMaker)
    imported: list[str] = field(default_factory=list)
    random_seed: int = 0
    name: str = "campaign"

    def __post_init__(self) -> None:
        """Rebuild the profile from its dictionary, as jobflow stores it."""
        if isinstance(self.profile, dict):
            self.profile = Profile(**self.profile)

    def make(self, host: Structure, structure: Structure, campaign_id: str | None = None) -> Flow:
        """Make the flow of generation 0; later generations add themselves.

        Parameters
        ----------
        host
            The perfect supercell: its mobile-ion sites and symmetry define the hops.
        structure
            The cell to simulate, with its vacancies; the same lattice.
        campaign_id
            Name in the database; made of the profile's name and the time if None.

        Raises
        ------
        ProfileError, StructureError, ReferenceSetupError
            If the input contradicts itself or the reference can't run here.
        """
        self.profile.check(structure)
        self.train.check()
        bound = replace(self, reference=self.reference.bind(structure))
        bound.reference.check(structure)
        campaign_id = campaign_id or new_campaign_id(self.profile.name)
        return bound._flow(host, structure, campaign_id)  # noqa: SLF001

    def _flow(self, host: Structure, structure: Structure, campaign_id: str) -> Flow:
        material = self._material(host, structure)
        check_budget(self.profile, self.seed, len(material.hops), self.evaluate.n_test)
        start = start_campaign(self._start(campaign_id, material))
        start.name = f"start {campaign_id}"
        start.update_metadata({"campaign_id": campaign_id, "generation": 0, "stage": "start"})
        state = CampaignState(campaign_id=campaign_id, generation=0)
        first = self.generation(material, state)
        return Flow([start, first], name=f"{self.name} {campaign_id}")

    def _material(self, host: Structure, structure: Structure) -> Material:
        charge = self.profile.charge
        fields: dict[str, Any] = {"origin": Origin.AIMD, "group": "start", "charge": charge}
        found = vacancy_hops(
            host, structure, self.profile.mobile_ion, self.profile.hop_distance_max, charge=charge
        )
        return Material(
            host=Frame.from_structure(host, **{**fields, "charge": 0}),
            start=Frame.from_structure(structure, **fields),
            hops=found.hops,
            hops_left_out=found.left_out,
        )

    def _start(self, campaign_id: str, material: Material) -> CampaignStart:
        return CampaignStart(
            campaign_id=campaign_id,
            profile=self.profile.model_dump(mode="json"),
            campaign=plain(self.as_dict()),
            reference=self.reference.name,
            settings=plain(self.reference.settings),
            settings_hash=self.reference.settings_hash,
            hops={hop.path_class: hop.multiplicity for hop in material.hops},
            hops_left_out=material.hops_left_out,
            versions={package: _version(package) for package in PACKAGES},
            random_seed=self.random_seed,
        )

    def generation(self, material: Material, state: CampaignState) -> Flow:
        """Make one turn of the loop; its last job adds what comes next."""
        g = state.generation
        metadata = {"campaign_id": state.campaign_id, "generation": g}
        jobs: list[Job | Flow] = []
        frames, seeds = self._frames(material, state, jobs)
        reserve = self.evaluate.n_test
        known, n_imported = self._adopted(state, metadata, jobs)
        label = self.label.make(
            frames, self.reference, self.profile, g, "train", known, metadata, reserve, n_imported
        )
        shards = [*known, label.uuid]
        train = self.train.make(
            g,
            shards,
            state.members,
            self.profile,
            self._e0s(material),
            self.random_seed,
            label.output.n_admitted,
        )
        members = [member.uuid for member in train.output["members"]]
        calibration = train.output["calibration"]
        explore = self.explore.make(
            material.start,
            material.host,
            material.hops,
            members,
            calibration,
            self.profile,
            g,
            self.random_seed,
        )
        select = self.select.make(
            explore.output["explorations"],
            explore.output["bands"],
            calibration,
            shards,
            self.profile,
            g + 1,
            self.random_seed,
            members,
            reserve,
        )
        judge = self.judge.make(
            explore.output["explorations"],
            explore.output["bands"],
            calibration,
            select.output.counts,
            shards,
            state.history,
            self.profile,
            g,
            reserve,
        )
        here = state.model_copy(
            update={
                "shards": shards,
                "members": members,
                "calibration": calibration.uuid,
                "band_set": explore.output["bands"].uuid,
                "selection": select.uuid,
                "seeds": seeds,
            }
        )
        step = advance(judge.output, here, material, self)
        step.name = f"advance generation {g}"
        for part, stage in (
            (label, "label"),
            (train, "train"),
            (explore, "explore"),
            (select, "select"),
            (judge, "judge"),
            (step, "advance"),
        ):
            # Not dynamic for the step: what it adds is another generation.
            part.update_metadata({**metadata, "stage": stage}, dynamic=part is not step)
            jobs.append(part)
        return Flow(jobs, name=f"generation {g}")

    def _adopted(
        self, state: CampaignState, metadata: dict[str, Any], jobs: list[Job | Flow]
    ) -> tuple[list[str], int | OutputReference]:
        """Shards known before a generation labels, and the number of labels to wait for."""
        if state.generation > 0 or not self.imported:
            return state.shards, 0
        adopt = self.label.adopt(self.imported, self.reference, self.profile, metadata)
        jobs.append(adopt)
        return [*state.shards, adopt.uuid], adopt.output.n_admitted

    def _frames(
        self, material: Material, state: CampaignState, jobs: list[Job | Flow]
    ) -> tuple[OutputReference | str, str | None]:
        """Frames to label: fresh seeds in generation 0, the selection's uuid after."""
        if state.generation > 0:
            if state.selection is None:
                msg = f"generation {state.generation}: expected a selection to label, got none"
                raise EngineError(msg)
            return state.selection, state.seeds
        flow = self.seed.make(
            material.start, material.hops, self.reference, self.profile, self.random_seed
        )
        flow.update_metadata({"campaign_id": state.campaign_id, "generation": 0, "stage": "seed"})
        jobs.append(flow)
        return flow.output.frames, flow.output.uuid

    def _e0s(self, material: Material) -> dict[str, float]:
        """Stated isolated-atom energies, or the reference's; zeros where none count."""
        if self.profile.e0s is not None:
            return self.profile.e0s
        symbols = sorted(set(material.start.symbols))
        asked = self.reference.isolated_atom_energies(symbols)
        if asked is None and self.profile.charge != 0:
            return dict.fromkeys(symbols, 0.0)
        if asked is None:
            msg = (
                f"{self.reference.name} can't compute isolated atoms; state their energies "
                "in Profile.e0s, eV"
            )
            raise ProfileError(msg)
        return asked

    def evaluation(self, material: Material, state: CampaignState) -> Flow:
        """Make the evaluation of the last committee, on trajectories of its own."""
        if not (state.calibration and state.band_set and state.seeds):
            msg = f"{state.campaign_id}: expected a finished generation to evaluate, got none"
            raise EngineError(msg)
        metadata = {"campaign_id": state.campaign_id, "generation": state.generation}
        ev = self.evaluate
        runs = self.explore.runs(
            material.start,
            material.host,
            state.members,
            state.calibration,
            self.profile,
            state.generation,
            temperatures=self.profile.transport_temperatures,
            n_steps=ev.md_steps,
            replicas=ev.replicas,
            random_seed=self.random_seed,
            first_member=None,
            prefix="test",
            settings=self.explore.settings.for_properties(),
        )
        pick = ev.test_frames([run.output for run in runs], self.random_seed)
        label = self.label.make(
            pick.output.frames,
            self.reference,
            self.profile,
            state.generation,
            "test",
            state.shards,
            metadata,
        )
        truths = self._reference_runs(material) if self.reference.cheap else []
        measure = ev.make(
            generation=state.generation,
            start=material.start,
            host=material.host,
            members=state.members,
            bands=state.band_set,
            seeds=state.seeds,
            shard=label.output,
            model_runs=[run.output for run in runs],
            reference_runs=[run.output for run in truths],
            reference_name=self.reference.name,
            profile=self.profile,
            hop_distance=max(hop.distance for hop in material.hops),
            random_seed=self.random_seed,
        )
        flow = Flow([*runs, pick, label, *truths, measure], name="evaluation")
        flow.update_metadata({**metadata, "stage": "evaluate"})
        return flow

    def _reference_runs(self, material: Material) -> list[Job]:
        """Make the reference's own MD at the transport temperatures."""
        jobs = []
        for i, temperature in enumerate(self.profile.transport_temperatures):
            run = self.reference.md(
                material.start,
                temperature=temperature,
                n_steps=self.evaluate.reference_md_steps,
                time_step=self.explore.settings.time_step,
                # D needs no finer frames, and these runs are long.
                store_every=5 * self.explore.settings.store_every,
                seed=derive_seed(self.random_seed, "reference", i),
                group=f"reference-{i}-{temperature:g}K",
            )
            run.name = f"reference MD {temperature:g} K"
            jobs.append(run)
        return jobs


def new_campaign_id(name: str) -> str:
    """Make a name that sorts by time, as in ``Li3OCl-20260102-030405-1a2b``."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{name}-{stamp}-{secrets.token_hex(2)}"


def plain(value: Any) -> Any:  # noqa: ANN401
    """Drop what monty rebuilds objects by: this copy is for reading only."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items() if not str(k).startswith("@")}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
