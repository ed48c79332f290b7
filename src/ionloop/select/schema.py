"""Documents of the select stage."""

from pydantic import Field

from ionloop.document import Document
from ionloop.frame import Frame


class Selection(Document):
    """The frames that the next generation labels."""

    generation: int = Field(description="Generation that will label them.")
    frames: list[Frame] = Field(description="Chosen frames.")
    counts: dict[str, int] = Field(description="Chosen frames by origin.")
    budget_left: int | None = Field(
        None, description="Labels that could be given away at most, the test set's kept back."
    )
    candidates: dict[str, int] = Field(description="Candidates by origin.")
    n_known: int = Field(description="Candidates dropped because they have a label.")
    n_duplicates: int = Field(description="Candidates dropped as near-duplicates.")
    n_untrusted: int = Field(description="Candidates dropped above the uncertainty ceiling.")
