"""The hop detector of a campaign's cell: sites and classes from its perfect crystal."""

from __future__ import annotations

import numpy as np

from ionloop.explore.hops import HopDetector
from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.seed.paths import mobile_sites, site_classes


def hop_detector(
    start: Frame, host: Frame, profile: Profile, frame_interval_fs: float
) -> HopDetector:
    """Make the detector of a cell: the host's sites, the framework's rest positions."""
    symbols = np.array(start.symbols)
    mobile = np.flatnonzero(symbols == profile.mobile_ion)
    framework = np.flatnonzero(symbols != profile.mobile_ion)
    crystal = host.to_structure()
    return HopDetector(
        cell=np.array(start.cell),
        sites=mobile_sites(crystal, profile.mobile_ion),
        mobile=mobile,
        framework=framework,
        frame_interval_fs=frame_interval_fs,
        path_classes=site_classes(crystal, profile.mobile_ion, profile.hop_distance_max),
        framework_sites=np.array(start.positions)[framework],
    )
