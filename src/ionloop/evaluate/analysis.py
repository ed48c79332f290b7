"""Transport of trajectory files, without a campaign: replicas, temperatures, cells of two sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy import stats

from ionloop.errors import EvaluationError
from ionloop.evaluate.arrhenius import arrhenius, logarithms
from ionloop.evaluate.displacements import Paths, paths_of_stream
from ionloop.evaluate.schema import Diffusivity, FiniteSize, TransportAnalysis, TransportInput
from ionloop.evaluate.transport import diffusivity
from ionloop.trajectory import TrajectoryStream, open_trajectory

#: Mobile ions whose nearest neighbours give the hop distance.
NEIGHBOURS_OF = 200
#: Replicas' mean volumes may differ by this share.
VOLUME_TOLERANCE = 0.02
#: Below this probability two cells' D differ by more than their errors.
P_VALUE_MIN = 0.05


@dataclass(frozen=True)
class Source:
    """A trajectory's file and its temperature, K."""

    path: Path
    temperature: float


@dataclass(frozen=True)
class Sample:
    """What is the same of all trajectories.

    Parameters
    ----------
    mobile_ion
        Element.
    frame_interval_fs
        Time between stored frames, fs.
    charge
        Of the mobile ion, e.
    hop_distance
        a, Å; None takes the median distance between neighbouring mobile ions.
    skip_fs
        Equilibration left out of each run, fs.
    """

    mobile_ion: str
    frame_interval_fs: float
    charge: float = 1.0
    hop_distance: float | None = None
    skip_fs: float = 0.0


def analyse(
    sources: Sequence[Source], sample: Sample, tell: Callable[[str], None] = lambda _: None
) -> TransportAnalysis:
    """Analyse trajectories; files of one temperature and size are replicas.

    Of cells of several sizes at a temperature, the largest counts, and the others are
    compared with it.

    Parameters
    ----------
    sources
        Files with their temperatures.
    sample
        What they have in common.
    tell
        Is told which file is being read.

    Raises
    ------
    TrajectoryError
        If a file can't be read or followed.
    EvaluationError
        If replicas differ, or runs are too short.
    """
    streams = [open_trajectory(source.path) for source in sources]
    how, distance = "given", sample.hop_distance
    if distance is None:
        distance, how = neighbour_distance(streams[0], sample.mobile_ion), "median of neighbours"
    groups: dict[tuple[float, int], list[int]] = defaultdict(list)
    for i, (source, stream) in enumerate(zip(sources, streams, strict=True)):
        groups[source.temperature, len(stream.symbols)].append(i)
    points, inputs = [], []
    for (temperature, _), members in sorted(groups.items()):
        _require_replicas([streams[i] for i in members])
        with ExitStack() as scratch:
            runs = []
            for i in members:
                tell(str(sources[i].path))
                skip = round(sample.skip_fs / sample.frame_interval_fs)
                paths = paths_of_stream(streams[i], sample.mobile_ion, skip)
                runs.append(scratch.enter_context(paths))
                inputs.append(_input(sources[i], runs[-1], skip))
            points.append(_point(runs, temperature, distance, sample))
    largest = {p.temperature: p for p in points}  # sorted by size, so that the last stays
    smaller = [p for p in points if p is not largest[p.temperature]]
    return TransportAnalysis(
        mobile_ion=sample.mobile_ion,
        charge=sample.charge,
        frame_interval_fs=sample.frame_interval_fs,
        hop_distance=distance,
        hop_distance_from=how,
        inputs=inputs,
        transport=arrhenius(list(largest.values()), "trajectories"),
        smaller_cells=smaller,
        finite_size=[compare_sizes(p, largest[p.temperature]) for p in smaller],
    )


def _point(
    runs: Sequence[Paths], temperature: float, hop_distance: float, sample: Sample
) -> Diffusivity:
    _require_one_volume(runs, temperature)
    return diffusivity(
        runs,
        temperature=temperature,
        frame_interval_fs=sample.frame_interval_fs,
        hop_distance=hop_distance,
        charge=sample.charge,
    )


def neighbour_distance(stream: TrajectoryStream, mobile_ion: str) -> float:
    """Return the median distance of a mobile ion's nearest like neighbour at the start, Å.

    Raises
    ------
    EvaluationError
        If there is one mobile ion only.
    """
    mobile = stream.of(mobile_ion)
    if len(mobile) < 2:
        msg = f"{stream.name}: one {mobile_ion} has no neighbour; give --hop-distance in Å"
        raise EvaluationError(msg)
    first = next(stream.chunks(frames_per_chunk=1)).positions[0, mobile]
    atoms = Atoms(f"{mobile_ion}{len(mobile)}", first, cell=stream.cell, pbc=True)
    chosen = range(0, len(mobile), max(1, len(mobile) // NEIGHBOURS_OF))
    nearest = [
        np.delete(atoms.get_distances(i, range(len(mobile)), mic=True), i).min() for i in chosen
    ]
    return float(np.median(nearest))


def compare_sizes(small: Diffusivity, large: Diffusivity) -> FiniteSize:
    """Compare D of two cells at one temperature by the difference of its logarithms."""
    atoms = small.n_atoms or 0, large.n_atoms or 0
    if not (small.d.value and large.d.value):
        missing = f"no D of {'the smaller' if not small.d.value else 'the larger'} cell"
        return FiniteSize(
            temperature=large.temperature,
            n_atoms=atoms,
            ratio=None,
            p_value=None,
            passed=None,
            detail=missing,
        )
    _, ln_d, error = logarithms([small, large], lambda p: p.d)
    difference, combined = float(ln_d[1] - ln_d[0]), float(np.hypot(*error))
    p_value = float(2 * stats.norm.sf(abs(difference) / combined))
    passed = p_value >= P_VALUE_MIN
    words = "agree" if passed else "differ: the smaller cell is too small"
    return FiniteSize(
        temperature=large.temperature,
        n_atoms=atoms,
        ratio=float(np.exp(difference)),
        p_value=p_value,
        passed=passed,
        detail=f"D of {atoms[0]} and {atoms[1]} atoms {words} (ratio {np.exp(difference):.2f}, "
        f"p = {p_value:.2g}, expected at least {P_VALUE_MIN:g})",
    )


def _require_replicas(streams: Sequence[TrajectoryStream]) -> None:
    for stream in streams[1:]:
        if Counter(stream.symbols) != Counter(streams[0].symbols):
            msg = (
                f"{stream.name}: expected a replica of {streams[0].name}, of one composition, got "
                "another with as many atoms; analyse them one by one"
            )
            raise EvaluationError(msg)


def _require_one_volume(runs: Sequence[Paths], temperature: float) -> None:
    volumes = [paths.volume for paths in runs]
    if max(volumes) > (1 + VOLUME_TOLERANCE) * min(volumes):
        msg = (
            f"{temperature:g} K: expected replicas of one cell, got volumes from "
            f"{min(volumes):.1f} to {max(volumes):.1f} Å³; analyse them one by one"
        )
        raise EvaluationError(msg)


def _input(source: Source, paths: Paths, skip: int) -> TransportInput:
    return TransportInput(
        file=str(source.path),
        temperature=source.temperature,
        n_frames=paths.n_frames,
        n_skipped=skip,
        n_mobile=paths.n_mobile,
        n_framework=paths.n_framework,
        volume=paths.volume,
    )
