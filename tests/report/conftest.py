"""A made-up campaign: finished, after its first generation, and only started."""

from __future__ import annotations

import pytest
from made_record import make_record, make_start

from ionloop.store.schema import CampaignRecord


@pytest.fixture
def record():
    """A finished campaign."""
    return make_record()


@pytest.fixture
def unfinished():
    """A campaign whose first generation is judged."""
    return make_record(1, evaluated=False)


@pytest.fixture
def newborn():
    """A campaign that has only started."""
    return CampaignRecord(campaign_id="li3ocl-0001", start=make_start())
