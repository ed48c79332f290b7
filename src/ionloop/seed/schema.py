"""Documents of the seed stage."""

from pydantic import Field

from ionloop.document import Document
from ionloop.frame import Frame
from ionloop.reference.schema import Band


class Hop(Document):
    """One distinct hop into a vacancy or of an interstitial, by crystal symmetry."""

    start: Frame = Field(description="Ion on its old site, the new one empty.")
    end: Frame = Field(description="The same atoms in the same order, after the hop.")
    ion: int = Field(description="Index of the hopping ion in both frames.")
    distance: float = Field(description="Distance between the ion's two sites, Å.")
    path_class: str = Field(
        description="Symmetry class, as 'Li-Li 2.76 A #0' or 'Li knock-on 2.00+2.00 A #0'."
    )
    multiplicity: int = Field(description="Symmetry-equivalent hops in the host cell.")


class SeedFrames(Document):
    """The first frames, and the reference's bands."""

    frames: list[Frame] = Field(description="Frames to label.")
    bands: list[Band] = Field(description="Bands that the reference relaxed.")
    counts: dict[str, int] = Field(description="Frames by origin.")


class Displacements(Document):
    """How many displaced and strained copies of the first structure, and how far."""

    n_rattle: int = Field(8, ge=0, description="Rattled copies.")
    rattle_stdevs: list[float] = Field(
        default=[0.05, 0.1, 0.15], min_length=1, description="Standard deviations, used in turn, Å."
    )
    n_strain: int = Field(8, ge=0, description="Strained copies.")
    volume_fraction: float = Field(0.06, ge=0, lt=0.5, description="Largest change of volume.")
    shear: float = Field(0.03, ge=0, lt=0.5, description="Largest shear.")
    strain_rattle: float = Field(0.03, ge=0, description="Rattle of strained copies, Å.")


class TestFrames(Document):
    """Frames for a held-out test set."""

    __test__ = False

    frames: list[Frame] = Field(description="Frames that no training may see.")
