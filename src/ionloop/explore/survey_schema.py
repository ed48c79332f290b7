"""Documents of ``ionloop hops``, which no campaign stores."""

from __future__ import annotations

from pydantic import Field

from ionloop.document import Document
from ionloop.explore.schema import HopEvent, SiteChoice


class ClassRate(Document):
    """The rate of a class of hops at one temperature, with its error."""

    path_class: str = Field(description="Class of the hops; 'all' for all together.")
    distance: float | None = Field(description="Mean length of the hops, Å.")
    n_hops: int = Field(description="Hops, residence-filtered.")
    n_events: int = Field(description="Events that the hops belong to.")
    n_effective: float = Field(description="Independent hops that the error corresponds to.")
    ion_time_ps: float = Field(description="Mobile ions times simulated time, ps.")
    rate: float = Field(description="Hops per mobile ion and time, 1/ps.")
    low: float = Field(description="Lower end of the interval, 1/ps.")
    high: float = Field(description="Upper end of the interval, 1/ps.")
    confidence: float = Field(description="Confidence of the interval, two-sided.")


class HopSurvey(Document):
    """The hops of trajectories at one temperature, looked at without a campaign."""

    temperature: float = Field(description="K.")
    mobile_ion: str = Field(description="Element of the mobile ion.")
    frame_interval_fs: float = Field(description="Time between frames, fs.")
    residence_fs: float = Field(description="Shortest stay on a site that counts, fs.")
    window_fs: float = Field(description="Longest time between hops of one event, fs.")
    reach: float = Field(description="Longest distance between hops of one event, Å.")
    ion_time_ps: float = Field(description="Mobile ions times simulated time, ps.")
    sites: SiteChoice = Field(description="Where the sites came from.")
    n_changes: int = Field(description="Changes of the nearest site, recrossings included.")
    n_hops_longer: int = Field(description="Hops, were the residence time twice as long.")
    concerted_share: float | None = Field(
        description="Share of hops whose event has two ions or more; None without hops."
    )
    chance_share: float | None = Field(
        description="The same, were the ions independent: each one's hops shifted in time."
    )
    chance_error: float | None = Field(description="Standard deviation over such shifts.")
    largest_event: int = Field(description="Ions of the largest event.")
    returned_share: float | None = Field(
        description="Share of hops that undo the same ion's hop before; None without hops."
    )
    rates: list[ClassRate] = Field(description="All hops together, then class by class.")
    hops: list[list[HopEvent]] = Field(description="Hops of each trajectory.")
