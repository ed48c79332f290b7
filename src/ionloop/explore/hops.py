"""Ion hops in molecular dynamics: which ion moved to which site, and when.

Positions are made continuous, freed of the framework's drift, and assigned to the
nearest site of the host. A hop counts once the ion has stayed on both sides for the
residence time, so that recrossings and excursions are none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ionloop.errors import ExplorationError
from ionloop.explore.positions import assign_sites, progress, remove_drift, unwrap
from ionloop.explore.schema import HopEvent

#: Class of a hop between sites that no enumerated path joins.
OTHER = "other"
#: Progress at which frames are taken around a hop.
TARGETS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class HopAnalysis:
    """The hops of one trajectory, with what is needed to look at them."""

    positions: np.ndarray  #: Continuous, free of drift, shape [n_frames, n_atoms, 3], Å.
    site_trajectory: np.ndarray  #: Nearest site, unfiltered, shape [n_frames, n_mobile].
    events: list[HopEvent]  #: Residence-filtered hops in order of arrival.
    ends: list[tuple[np.ndarray, np.ndarray]]  #: Old and new site of each event, [3], Å.
    frame_interval_fs: float  #: Time between frames, fs.

    def progress(self, n: int) -> np.ndarray:
        """Return the progress s of event ``n`` at every frame, shape [n_frames]."""
        start, end = self.ends[n]
        return progress(self.positions[:, self.events[n].ion], start, end)

    def window_frames(
        self, n: int, targets: Sequence[float] = TARGETS, margin_fs: float = 300.0
    ) -> dict[float, int]:
        """Return the frame nearest in s to each target around event ``n``.

        Parameters
        ----------
        n
            Number of the event.
        targets
            Values of s that are looked for.
        margin_fs
            How long before leaving and after arriving frames are looked at, fs.

        Returns
        -------
        dict[float, int]
            Frame index by target. A frame stands for one target only, the one that it
            is nearest to; so a fast hop may give fewer frames than targets.
        """
        event = self.events[n]
        first = round((event.t_leave_fs - margin_fs) / self.frame_interval_fs)
        last = round((event.t_arrive_fs + margin_fs) / self.frame_interval_fs)
        first, last = max(first, 0), min(last, len(self.positions) - 1)
        s = self.progress(n)[first : last + 1]
        gaps = np.abs(s[None, :] - np.asarray(targets, float)[:, None])
        chosen: dict[float, int] = {}
        taken: set[int] = set()
        nearest = gaps.argmin(axis=1)
        for k in np.argsort(gaps.min(axis=1), kind="stable"):
            frame = first + int(nearest[k])
            if frame not in taken:
                taken.add(frame)
                chosen[float(targets[k])] = frame
        return dict(sorted(chosen.items()))


@dataclass(frozen=True)
class HopDetector:
    """Finds hops in trajectories of one cell.

    Parameters
    ----------
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    sites
        Mobile-ion sites of the perfect host, shape [M, 3], Å.
    mobile
        Indices of the mobile ions in the trajectory's atoms.
    framework
        Indices of the atoms that define the rest frame; all but the mobile ones.
    frame_interval_fs
        Time between frames, fs.
    residence_fs
        Shortest stay on a site that counts, fs.
    path_classes
        Path class by (site, site), as ``seed.paths.site_classes`` makes it.
    framework_sites
        Rest positions of the framework atoms, shape [n_framework, 3], Å; None takes
        the first frame.

    Raises
    ------
    ExplorationError
        If an array has the wrong shape, or a time isn't above 0.
    """

    cell: np.ndarray
    sites: np.ndarray
    mobile: np.ndarray
    framework: np.ndarray
    frame_interval_fs: float
    residence_fs: float = 200.0
    path_classes: Mapping[tuple[int, int], str] = field(default_factory=dict)
    framework_sites: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check_shape("cell", self.cell, (3, 3))
        _check_shape("sites", self.sites, (len(self.sites), 3))
        if self.framework_sites is not None:
            _check_shape("framework_sites", self.framework_sites, (len(self.framework), 3))
        if len(self.mobile) == 0 or len(self.sites) == 0:
            msg = "expected mobile ions and sites, got none; check Profile.mobile_ion"
            raise ExplorationError(msg)
        if self.frame_interval_fs <= 0 or self.residence_fs <= 0:
            msg = (
                "expected frame interval and residence time above 0 fs, got "
                f"{self.frame_interval_fs:g} and {self.residence_fs:g}"
            )
            raise ExplorationError(msg)

    def analyse(self, positions: np.ndarray) -> HopAnalysis:
        """Find the hops of a trajectory.

        Parameters
        ----------
        positions
            Wrapped or unwrapped, shape [n_frames, n_atoms, 3], Å. Between two frames no
            atom may move by half a cell.

        Returns
        -------
        HopAnalysis
            Events in order of arrival; ``HopEvent.ion`` counts all atoms.

        Raises
        ------
        ExplorationError
            If the positions have the wrong shape.
        """
        _check_shape("positions", positions, (len(positions), positions.shape[1], 3))
        corrected = remove_drift(
            unwrap(positions, self.cell), self.framework, self.framework_sites, self.cell
        )
        nearest, copies = assign_sites(corrected[:, self.mobile], self.sites, self.cell)
        n_residence = max(1, math.ceil(self.residence_fs / self.frame_interval_fs - 1e-9))
        found = []
        for column, ion in enumerate(self.mobile):
            for leave, arrive in find_hops(nearest[:, column], n_residence):
                ends = copies[leave, column], copies[arrive, column]
                pair = int(nearest[leave, column]), int(nearest[arrive, column])
                found.append((self._event(int(ion), pair, (leave, arrive), ends), ends))
        found.sort(key=lambda item: (item[0].t_arrive_fs, item[0].ion))
        return HopAnalysis(
            positions=corrected,
            site_trajectory=nearest,
            events=[event for event, _ in found],
            ends=[ends for _, ends in found],
            frame_interval_fs=self.frame_interval_fs,
        )

    def detect(self, positions: np.ndarray) -> list[HopEvent]:
        """Return the events of :meth:`analyse` alone."""
        return self.analyse(positions).events

    def _event(
        self,
        ion: int,
        pair: tuple[int, int],
        frames: tuple[int, int],
        ends: tuple[np.ndarray, np.ndarray],
    ) -> HopEvent:
        return HopEvent(
            ion=ion,
            site_from=pair[0],
            site_to=pair[1],
            t_leave_fs=frames[0] * self.frame_interval_fs,
            t_arrive_fs=frames[1] * self.frame_interval_fs,
            distance=float(np.linalg.norm(ends[1] - ends[0])),
            path_class=self.path_classes.get(pair, OTHER),
        )


def find_hops(sites: np.ndarray, n_residence: int) -> list[tuple[int, int]]:
    """Find lasting changes in one ion's sequence of sites.

    Stays shorter than ``n_residence`` that end where they began are excursions and
    join the stay around them, the shortest first. What is still too short is transit.
    A hop leads from one long stay to the next on another site.

    Parameters
    ----------
    sites
        Site at each frame, shape [n_frames].
    n_residence
        Frames that make a stay.

    Returns
    -------
    list[tuple[int, int]]
        Last frame on the old site and first frame on the new one, of each hop.
    """
    cuts = np.flatnonzero(np.diff(sites)) + 1
    edges = [0, *cuts.tolist(), len(sites)]
    runs = [(int(sites[a]), a, b) for a, b in pairwise(edges)]
    while (short := _shortest_excursion(runs, n_residence)) is not None:
        before, after = runs[short - 1], runs[short + 1]
        runs[short - 1 : short + 2] = [(before[0], before[1], after[2])]
    stays: list[tuple[int, int, int]] = []
    for run in runs:
        if run[2] - run[1] < n_residence:
            continue
        if stays and stays[-1][0] == run[0]:
            stays[-1] = (run[0], stays[-1][1], run[2])
        else:
            stays.append(run)
    return [(a[2] - 1, b[1]) for a, b in pairwise(stays)]


def _shortest_excursion(runs: list[tuple[int, int, int]], n_residence: int) -> int | None:
    """Return the shortest run below ``n_residence`` between two runs on one site."""
    found = [
        (runs[k][2] - runs[k][1], k)
        for k in range(1, len(runs) - 1)
        if runs[k - 1][0] == runs[k + 1][0] and runs[k][2] - runs[k][1] < n_residence
    ]
    return min(found)[1] if found else None


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if np.shape(array) != shape:
        msg = f"{name}: expected shape {list(shape)}, got {list(np.shape(array))}"
        raise ExplorationError(msg)
