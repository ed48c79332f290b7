"""What a campaign starts from: its name, its material, and its first document."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pymatgen.core import Structure

from ionloop.campaign.schema import CampaignStart, Material
from ionloop.frame import Frame, Origin
from ionloop.profile import Profile
from ionloop.seed.interstitials import has_interstitial, interstitial_hops
from ionloop.seed.paths import vacancy_hops

if TYPE_CHECKING:
    from ionloop.campaign.maker import CampaignMaker

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
    "sella",
    "torch",
)


def material_of(profile: Profile, host: Structure, structure: Structure) -> Material:
    """Put together what the campaign is about: crystal, cell and its distinct hops.

    These are hops of the interstitial where the structure has one, else into its vacancies.

    Raises
    ------
    ProfileError, StructureError
        If host and structure contradict each other.
    """
    charge = profile.charge
    fields: dict[str, Any] = {"origin": Origin.AIMD, "group": "start", "charge": charge}
    interstitial = has_interstitial(host, structure, profile.mobile_ion)
    enumerate_hops = interstitial_hops if interstitial else vacancy_hops
    found = enumerate_hops(
        host, structure, profile.mobile_ion, profile.hop_distance_max, charge=charge
    )
    return Material(
        host=Frame.from_structure(host, **{**fields, "charge": 0}),
        start=Frame.from_structure(structure, **fields),
        hops=found.hops,
        hops_left_out=found.left_out,
    )


def start_document(campaign: CampaignMaker, campaign_id: str, material: Material) -> CampaignStart:
    """Write down all that makes the campaign reproducible."""
    profile, reference = campaign.profile, campaign.reference
    return CampaignStart(
        campaign_id=campaign_id,
        profile=profile.model_dump(mode="json"),
        campaign=plain(campaign.as_dict()),
        reference=reference.name,
        settings=plain(reference.settings),
        settings_hash=reference.settings_hash,
        hops={hop.path_class: hop.multiplicity for hop in material.hops},
        hops_left_out=material.hops_left_out,
        versions={package: _version(package) for package in PACKAGES},
        random_seed=campaign.random_seed,
    )


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
