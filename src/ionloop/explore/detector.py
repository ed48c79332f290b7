"""The hop detector of a campaign's cell: sites and classes from its perfect crystal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ionloop.explore.hops import HopDetector
from ionloop.explore.schema import SiteChoice
from ionloop.explore.sites import choose, crystal_sites, density_sites, framework_operations
from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.seed.paths import mobile_sites, site_classes

#: Frames that sites are judged by.
FRAMES_MAX = 2000


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


def settle_sites(
    detector: HopDetector, runs: Sequence[np.ndarray], host: Frame, profile: Profile
) -> tuple[HopDetector, SiteChoice]:
    """Give the detector the sites that the profile asks for, once runs are there.

    Parameters
    ----------
    detector
        Detector with the crystal's sites.
    runs
        Positions of runs that are to share their sites, each [n_frames, n_atoms, 3], Å.
    host, profile
        The perfect crystal, whose framework's symmetry sorts peaks, and the choice.
    """
    ions = np.concatenate([detector.in_rest_frame(x)[:, detector.mobile] for x in runs])
    ions = ions[:: 1 + len(ions) // FRAMES_MAX]
    crystal = crystal_sites(ions, detector.sites, detector.cell, detector.path_classes)
    if profile.sites == "crystal":
        return detector, crystal.choice
    names = np.array(host.symbols)
    rest = np.array(host.positions)[names != profile.mobile_ion]
    operations = framework_operations(
        names[names != profile.mobile_ion].tolist(), rest, np.array(host.cell), symprec=0.1
    )
    peaks = density_sites(
        ions,
        detector.cell,
        profile.mobile_ion,
        profile.hop_distance_max,
        operations=operations,
    )
    chosen = peaks if profile.sites == "density" else choose(crystal, peaks)
    return (
        replace(detector, sites=chosen.positions, path_classes=chosen.classes),
        chosen.choice,
    )
