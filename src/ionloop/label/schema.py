"""Documents of the label stage."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from pydantic import Field

from ionloop.document import Document
from ionloop.frame import Frame

#: Purpose of a shard that the campaign's reference didn't compute.
IMPORTED = "imported"
#: Purpose of a shard that is for the evaluation, and isn't held to a share of success.
TEST = "test"


class Refusal(StrEnum):
    """Kinds of reasons against a label; a reason is its kind, or the kind, a colon and more."""

    JOB_FAILED = "job failed"
    FAILED = "calculation failed"
    UNCONVERGED = "SCF not converged"
    STEPS = "electronic steps at the limit"
    SETTINGS = "other settings"
    SPECIES = "species in another order"
    CHARGE = "another charge than the frame's"
    NO_RESULT = "no energy or forces"
    SHAPE = "forces of another number of atoms"
    NOT_A_NUMBER = "not a number"
    NO_STRESS = "no stress"
    CEILING = "force above the ceiling"
    CONTACT = "atoms too close"
    MAGNETIZATION = "magnetization jump"
    ELEMENTS = "elements that the profile doesn't know"
    CELL_CHARGE = "another charge than the campaign's cells"

    def because(self, detail: str = "") -> str:
        """Write a reason of this kind."""
        return f"{self}: {detail}" if detail else str(self)


#: What a second run may mend: it died, didn't converge, or ran in a wrong environment.
RETRIED = frozenset(
    {
        Refusal.JOB_FAILED,
        Refusal.FAILED,
        Refusal.UNCONVERGED,
        Refusal.STEPS,
        Refusal.SETTINGS,
        Refusal.NO_RESULT,
        Refusal.NO_STRESS,
    }
)
#: Reasons that a person may overrule: the numbers are sound, a limit of ours spoke.
OVERRULED = frozenset({Refusal.NO_STRESS, Refusal.CEILING, Refusal.CONTACT, Refusal.MAGNETIZATION})


def kind_of(reason: str) -> str:
    """Return what a reason is counted under.

    >>> kind_of("other settings: cutoff: expected 520, got 400")
    'other settings'
    """
    return reason.partition(":")[0]


class Readmission(Document):
    """Someone's decision that a quarantined label is good."""

    frame_hash: str = Field(description="The label, by its frame.")
    generation: int = Field(description="First generation that may train on it.")
    reason: str = Field(description="Why, in the words of who decided.")
    by: str = Field(description="Who decided.")
    at: str = Field(description="When, UTC.")
    overruled: list[str] = Field(description="The gate's reasons against it, when it was decided.")

    def covers(self, label: Label) -> bool:
        """Whether nothing speaks against a label but kinds of reasons that were overruled."""
        return set(label.kinds) <= {kind_of(reason) for reason in self.overruled}


class ShareChange(Document):
    """Someone's decision that batches of a campaign may go on with fewer labels."""

    min_success_fraction: float = Field(ge=0, le=1, description="Share that must be admitted.")
    by: str = Field(description="Who decided.")
    at: str = Field(description="When, UTC.")


class Decisions(Document):
    """All that people decided about a campaign's labels, the latest last."""

    campaign_id: str
    readmissions: list[Readmission] = Field(default=[], description="Labels taken back.")
    shares: list[ShareChange] = Field(default=[], description="Shares of success.")


class Label(Document):
    """The reference's answer for one frame."""

    frame: Frame = Field(description="What was asked.")
    frame_hash: str = Field(description="Content hash of the frame.")
    energy: float | None = Field(None, description="Total energy, eV.")
    forces: list[list[float]] | None = Field(None, description="Forces, [n, 3], eV/Å.")
    stress: list[list[float]] | None = Field(None, description="Stress, ASE's sign, eV/Å³.")
    magnetization: float | None = Field(
        None, description="Magnetization of the cell, Bohr magnetons; None if not spin-polarized."
    )
    settings_hash: str = Field(description="Hash of the reference's settings.")
    engine: str = Field(description="Program and version.")
    wall_s: float = Field(description="Wall time of the calculation, s.")
    cores: int | None = Field(
        None, description="Processes times threads that computed it; None if it isn't known."
    )
    directory: str = Field(description="Folder of the calculation.")
    reasons: list[str] = Field(
        default=[], description="Why it was quarantined; empty for an admitted label."
    )
    readmitted: Readmission | None = Field(
        None, description="Who took it back out of quarantine, and what spoke against it."
    )

    @property
    def kinds(self) -> list[str]:
        """Kinds of the reasons against it, each once."""
        return list(dict.fromkeys(kind_of(reason) for reason in self.reasons))


class Batch(Document):
    """What a batch was asked for, and on which terms its labels are judged."""

    campaign_id: str | None = Field(None, description="None outside of a campaign.")
    generation: int = Field(description="Generation that the batch belongs to.")
    purpose: str = Field(description="'train' or 'test'.")
    chunks: list[list[Frame]] = Field(description="Frames, one list a static job.")
    jobs: list[str] = Field(description="uuids of the static jobs.")
    left_out: dict[str, int] = Field(
        default={}, description="Frames by origin that the budget left no label for."
    )
    settings_hash: str = Field(description="The one settings hash that is admitted.")
    settings: dict[str, Any] | None = Field(None, description="What it was made of.")
    expects_stress: bool = Field(description="Whether each label must have a stress.")


class LabelShard(Document):
    """The labels of one batch: one generation's, or a test set's."""

    generation: int = Field(description="Generation that the batch belongs to.")
    purpose: str = Field(description="'train', 'test' or 'imported'.")
    labels: list[Label] = Field(description="Admitted labels.")
    quarantined: list[Label] = Field(description="Refused labels, with reasons.")
    frame_hashes: list[str] = Field(description="Hashes of all frames that were asked.")
    n_admitted: int = Field(description="Admitted labels, readmitted ones included.")
    n_quarantined: int = Field(description="Refused labels.")
    n_readmitted: int = Field(0, description="Admitted labels that the gate had refused.")
    reasons: dict[str, int] = Field(description="Refused labels by kind of reason.")
    counts: dict[str, int] = Field(description="Admitted labels by origin.")
    left_out: dict[str, int] = Field(
        default={}, description="Frames by origin that the budget left no label for."
    )
    min_success_fraction: float = Field(
        0.0, description="Share of the batch that must be admitted to go on, by the profile."
    )
    failed_jobs: list[str] = Field(
        default=[], description="uuids of jobs with a label that a second run may mend."
    )
    settings_hash: str = Field(description="The one settings hash of the batch.")
    settings: dict | None = Field(None, description="What the settings hash was made of.")
    wall_s: float = Field(description="Sum of the calculations' wall times, s.")
    core_s: float | None = Field(
        None, description="Sum of wall time times cores, s; None if one's cores aren't known."
    )

    @property
    def n_asked(self) -> int:
        """Labels of the campaign's budget that the batch cost; imported ones are a gift."""
        return cost_of(self.purpose, self.frame_hashes)


def cost_of(purpose: str, frame_hashes: Sequence[str]) -> int:
    """Return how many labels of the budget a batch cost, by two fields of its shard."""
    return 0 if purpose == IMPORTED else len(frame_hashes)
