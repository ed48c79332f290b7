"""Documents of the label stage."""

from pydantic import Field

from ionloop.document import Document
from ionloop.frame import Frame

#: Purpose of a shard that the campaign's reference didn't compute.
IMPORTED = "imported"


class Label(Document):
    """The reference's answer for one frame."""

    frame: Frame = Field(description="What was asked.")
    frame_hash: str = Field(description="Content hash of the frame.")
    energy: float | None = Field(None, description="Total energy, eV.")
    forces: list[list[float]] | None = Field(None, description="Forces, [n, 3], eV/Å.")
    stress: list[list[float]] | None = Field(None, description="Stress, ASE's sign, eV/Å³.")
    settings_hash: str = Field(description="Hash of the reference's settings.")
    engine: str = Field(description="Program and version.")
    wall_s: float = Field(description="Wall time of the calculation, s.")
    directory: str = Field(description="Folder of the calculation.")
    reasons: list[str] = Field(
        default=[], description="Why it was quarantined; empty for an admitted label."
    )


class LabelShard(Document):
    """The labels of one batch: one generation's, or a test set's."""

    generation: int = Field(description="Generation that the batch belongs to.")
    purpose: str = Field(description="'train', 'test' or 'imported'.")
    labels: list[Label] = Field(description="Admitted labels.")
    quarantined: list[Label] = Field(description="Refused labels, with reasons.")
    frame_hashes: list[str] = Field(description="Hashes of all frames that were asked.")
    n_admitted: int = Field(description="Admitted labels.")
    n_quarantined: int = Field(description="Refused labels.")
    reasons: dict[str, int] = Field(description="How often each reason was given.")
    counts: dict[str, int] = Field(description="Admitted labels by origin.")
    left_out: dict[str, int] = Field(
        default={}, description="Frames by origin that the budget left no label for."
    )
    settings_hash: str = Field(description="The one settings hash of the batch.")
    settings: dict | None = Field(None, description="What the settings hash was made of.")
    wall_s: float = Field(description="Sum of the calculations' wall times, s.")

    @property
    def n_asked(self) -> int:
        """Labels of the campaign's budget that the batch cost; imported ones are a gift."""
        return 0 if self.purpose == IMPORTED else len(self.frame_hashes)
