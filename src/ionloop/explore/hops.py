"""Ion hops in molecular dynamics: which ion moved to which site, and when.

Positions are made continuous, freed of the framework's drift, and assigned to the
nearest site of the host. A hop counts once the ion has stayed on both sides for the
residence time, so that recrossings and excursions are none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ionloop.errors import ExplorationError
from ionloop.explore.concerted import REACH, WINDOW_FS, Hops, group_hops, ions_of_events
from ionloop.explore.positions import (
    assign_moving_sites,
    assign_sites,
    follow_framework,
    progress,
    remove_drift,
    unwrap,
)
from ionloop.explore.residence import find_hops
from ionloop.explore.schema import HopEvent

#: Class of a hop between sites that no enumerated path joins.
OTHER = "other"
#: Progress at which frames are taken around a hop.
TARGETS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Values of s that an event's document keeps at most.
PROGRESS_MAX = 21


@dataclass(frozen=True)
class HopAnalysis:
    """The hops of one trajectory, with what is needed to look at them."""

    positions: np.ndarray  #: Continuous, free of drift, shape [n_frames, n_atoms, 3], Å.
    site_trajectory: np.ndarray  #: Nearest site, unfiltered, shape [n_frames, n_mobile].
    events: list[HopEvent]  #: Residence-filtered hops in order of arrival.
    ends: list[tuple[np.ndarray, np.ndarray]]  #: Old and new site of each event, [3], Å.
    frame_interval_fs: float  #: Time between frames, fs.

    def as_arrays(self) -> Hops:
        """Return the hops as :mod:`ionloop.explore.concerted` takes them."""
        times = np.array([(e.t_leave_fs, e.t_arrive_fs) for e in self.events]).reshape(-1, 2)
        ions = np.array([e.ion for e in self.events], int)
        return Hops(ions, times, np.array(self.ends).reshape(-1, 2, 3))

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
    window_fs, reach
        Time, fs, and distance, Å, within which hops belong to one event, see
        :func:`ionloop.explore.concerted.group_hops`.
    follow
        Framework atoms nearest to each site whose mean displacement the site follows
        (dynamic Voronoi cells); 0: sites stand still.

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
    window_fs: float = WINDOW_FS
    reach: float = REACH
    follow: int = 0

    def __post_init__(self) -> None:
        _check_shape("cell", self.cell, (3, 3))
        _check_shape("sites", self.sites, (len(self.sites), 3))
        if self.framework_sites is not None:
            _check_shape("framework_sites", self.framework_sites, (len(self.framework), 3))
        if len(self.mobile) == 0 or len(self.sites) == 0:
            msg = "expected mobile ions and sites, got none; check Profile.mobile_ion"
            raise ExplorationError(msg)
        if self.follow > len(self.framework):
            msg = (
                f"expected at least {self.follow} framework atoms for sites to follow, got "
                f"{len(self.framework)}; lower HopDetector.follow"
            )
            raise ExplorationError(msg)
        if self.frame_interval_fs <= 0 or self.residence_fs <= 0:
            msg = (
                "expected frame interval and residence time above 0 fs, got "
                f"{self.frame_interval_fs:g} and {self.residence_fs:g}"
            )
            raise ExplorationError(msg)

    def analyse(self, positions: np.ndarray, temperature: float | None = None) -> HopAnalysis:
        """Find the hops of a trajectory.

        Parameters
        ----------
        positions
            Wrapped or unwrapped, shape [n_frames, n_atoms, 3], Å. Between two frames no
            atom may move by half a cell.
        temperature
            Temperature of the run, K, which the events are to name.

        Returns
        -------
        HopAnalysis
            Events in order of arrival; ``HopEvent.ion`` counts all atoms.

        Raises
        ------
        ExplorationError
            If the positions have the wrong shape.
        """
        corrected = self.in_rest_frame(positions)
        nearest, copies = self._assign(corrected)
        n_residence = max(1, math.ceil(self.residence_fs / self.frame_interval_fs - 1e-9))
        found = [
            (arrive, int(ion), leave, column)
            for column, ion in enumerate(self.mobile)
            for leave, arrive in find_hops(nearest[:, column], n_residence)
        ]
        found.sort()
        events, ends = [], []
        for arrive, ion, leave, column in found:
            pair = int(nearest[leave, column]), int(nearest[arrive, column])
            ends.append((copies[leave, column], copies[arrive, column]))
            s = progress(corrected[leave : arrive + 1, ion], *ends[-1])
            events.append(self._event(ion, pair, (leave, arrive), ends[-1], s))
        analysis = HopAnalysis(corrected, nearest, events, ends, self.frame_interval_fs)
        return replace(analysis, events=self._together(analysis, temperature))

    def in_rest_frame(self, positions: np.ndarray) -> np.ndarray:
        """Make positions continuous and free of the framework's drift, same shape, Å."""
        _check_shape("positions", positions, (len(positions), positions.shape[1], 3))
        continuous = unwrap(positions, self.cell)
        return remove_drift(continuous, self.framework, self.framework_sites, self.cell)

    def _assign(self, corrected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the site of each mobile ion at each frame, and where its copy is."""
        ions = corrected[:, self.mobile]
        if self.follow == 0:
            return assign_sites(ions, self.sites, self.cell)
        framework = corrected[:, self.framework]
        moving = follow_framework(
            self.sites, framework, self.cell, self.follow, self.framework_sites
        )
        return assign_moving_sites(ions, moving, self.cell)

    def _together(self, analysis: HopAnalysis, temperature: float | None) -> list[HopEvent]:
        """Give each hop the number of its event."""
        hops = analysis.as_arrays()
        numbers = group_hops(hops, self.cell, self.window_fs, self.reach)
        n_ions = ions_of_events(hops.ions, numbers)
        return [
            hop.model_copy(
                update={"event": int(k), "n_ions": int(n_ions[k]), "temperature": temperature}
            )
            for hop, k in zip(analysis.events, numbers, strict=True)
        ]

    def detect(self, positions: np.ndarray) -> list[HopEvent]:
        """Return the events of :meth:`analyse` alone."""
        return self.analyse(positions).events

    def _event(
        self,
        ion: int,
        pair: tuple[int, int],
        frames: tuple[int, int],
        ends: tuple[np.ndarray, np.ndarray],
        s: np.ndarray,
    ) -> HopEvent:
        kept = np.unique(np.linspace(0, len(s) - 1, min(len(s), PROGRESS_MAX)).round().astype(int))
        return HopEvent(
            ion=ion,
            site_from=pair[0],
            site_to=pair[1],
            t_leave_fs=frames[0] * self.frame_interval_fs,
            t_arrive_fs=frames[1] * self.frame_interval_fs,
            distance=float(np.linalg.norm(ends[1] - ends[0])),
            path_class=self.path_classes.get(pair, OTHER),
            progress=np.round(s[kept], 4).tolist(),
        )


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if np.shape(array) != shape:
        msg = f"{name}: expected shape {list(shape)}, got {list(np.shape(array))}"
        raise ExplorationError(msg)
