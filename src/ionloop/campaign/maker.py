"""The campaign: one generation, and generations until the judge is content."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jobflow import Flow, Job, Maker, OutputReference
from pymatgen.core import Structure

from ionloop.campaign.budget import check_budget
from ionloop.campaign.evaluation import evaluation_flow
from ionloop.campaign.jobs import advance, start_campaign
from ionloop.campaign.schema import CampaignState, Material
from ionloop.campaign.start import material_of, new_campaign_id, start_document
from ionloop.errors import EngineError, ProfileError
from ionloop.evaluate.maker import EvaluateMaker
from ionloop.explore.maker import ExploreMaker
from ionloop.judge.maker import JudgeMaker
from ionloop.label.maker import LabelMaker
from ionloop.profile import Profile
from ionloop.reference.base import Reference
from ionloop.routing import route
from ionloop.seed.maker import SeedMaker
from ionloop.select.maker import SelectMaker
from ionloop.train.maker import CommitteeMaker


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
        ProfileError, StructureError, ReferenceSetupError, EvaluationError
            If the input contradicts itself or the reference can't run here.
        """
        self.profile.check(structure)
        self.train.check()
        self.evaluate.stability(self.explore.settings.time_step, self.random_seed)  # or say why not
        bound = replace(self, reference=self.reference.bind(structure), train=self.train.pinned())
        bound.reference.check(structure)
        campaign_id = campaign_id or new_campaign_id(self.profile.name)
        return bound._flow(host, structure, campaign_id)  # noqa: SLF001

    def _flow(self, host: Structure, structure: Structure, campaign_id: str) -> Flow:
        material = material_of(self.profile, host, structure)
        check_budget(self.profile, self.seed, len(material.hops), self.evaluate.n_test)
        start = start_campaign(start_document(self, campaign_id, material))
        start.name = f"start {campaign_id}"
        start.update_metadata({"campaign_id": campaign_id, "generation": 0, "stage": "start"})
        state = CampaignState(campaign_id=campaign_id, generation=0)
        first = self.generation(material, state)
        return route(Flow([start, first], name=f"{self.name} {campaign_id}"))

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
            train.output.get("last_layers"),  # another train stage may have none
            state.found,
        )
        select = self.select.make(
            explore.output["explorations"],
            explore.output["bands"],
            explore.output["found"],
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
            explore.output["found"],
        )
        here = state.model_copy(
            update={
                "shards": shards,
                "members": members,
                "calibration": calibration.uuid,
                "band_set": explore.output["bands"].uuid,
                "found": explore.output["found"].uuid,
                "selection": select.uuid,
                "seeds": seeds,
            }
        )
        step = advance(judge.output, here, material, self)
        step.name = f"advance generation {g}"
        parts: list[tuple[Job | Flow, str]] = [
            (label, "label"),
            *((check, "train") for check in self._checks(state, label)),
            (train, "train"),
            (explore, "explore"),
            (select, "select"),
            (judge, "judge"),
            (step, "advance"),
        ]
        for part, stage in parts:
            # Not dynamic for the step: what it adds is another generation.
            part.update_metadata({**metadata, "stage": stage}, dynamic=part is not step)
            jobs.append(part)
        return route(Flow(jobs, name=f"generation {g}"))

    def _checks(self, state: CampaignState, label: Flow) -> list[Job]:
        """Hold new labels to the committee that chose them, where there was one."""
        if not (state.members and state.calibration):
            return []
        check = self.train.foresight(
            state.generation,
            label.uuid,
            state.members,
            state.calibration,
            self.profile,
            self.random_seed,
            label.output.n_admitted,
        )
        return [check]

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
        return evaluation_flow(self, material, state)
