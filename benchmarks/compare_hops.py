"""Hops of one trajectory as ionloop, GEMDAT and site-analysis count them.

    pip install gemdat==1.8.1 site-analysis==1.8.0
    python benchmarks/compare_hops.py XDATCAR.gz HOST.cif --mobile Li --timestep-fs 100

All get the same positions (freed of the framework's drift) and, where they need sites, the
crystal's. HOST has every site of the mobile ion occupied; without one, argyrodite's 24g is made.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure

from ionloop.explore.concerted import concerted_share
from ionloop.explore.density import density, find_peaks
from ionloop.explore.hops import HopDetector
from ionloop.explore.hosts import fit_host
from ionloop.explore.positions import assign_sites
from ionloop.explore.residence import find_hops
from ionloop.explore.sites import density_sites, framework_operations, judge_sites
from ionloop.profile import read_structure
from ionloop.trajectory import open_trajectory

#: Residence times, frames.
RESIDENCES = (1, 2, 3, 5)
#: ASCII, for tables in documents.
HEAD = f"{'what':58s} " + " ".join(f"{f'res {n}':>7s}" for n in RESIDENCES) + "    s"


@dataclass(frozen=True)
class Case:
    """A trajectory in its framework's rest frame, and the crystal laid over it."""

    positions: np.ndarray
    symbols: np.ndarray
    cell: np.ndarray
    host: Structure
    mobile_ion: str
    interval_fs: float

    @property
    def mobile(self) -> np.ndarray:
        """Indices of the mobile ions."""
        return np.flatnonzero(self.symbols == self.mobile_ion)

    @property
    def framework(self) -> np.ndarray:
        """Indices of the others."""
        return np.flatnonzero(self.symbols != self.mobile_ion)

    @property
    def sites(self) -> np.ndarray:
        """The crystal's sites, shape [M, 3], Å."""
        return self.host.cart_coords[[s.specie.symbol == self.mobile_ion for s in self.host]]

    def structures(self) -> Iterator[Structure]:
        """Yield frames as pymatgen knows them."""
        for x in self.positions:
            yield Structure(
                Lattice(self.cell), self.symbols, x, coords_are_cartesian=True, to_unit_cell=True
            )


def argyrodite(a: float) -> Structure:
    """Make Li6PS5Cl with all of 24g occupied (Kraft et al., JACS 139, 10909 (2017), adapted)."""
    return Structure.from_spacegroup(
        "F-43m",
        Lattice.cubic(a),
        ["Li", "P", "S", "S", "Cl"],
        [[0.25, 0.25, 0.975], [0.5] * 3, [0.25, 0.25, 0.75], [0.382] * 3, [0.0] * 3],
    )  # fmt: skip


def read(args: argparse.Namespace) -> Case:
    """Read the trajectory and lay the host over it."""
    stream = open_trajectory(args.trajectory)
    others = stream.others(args.mobile)
    positions = np.concatenate([c.positions for c in stream.chunks(framework=others)])
    symbols = np.array(stream.symbols)
    host = read_structure(args.host) if args.host else argyrodite(stream.cell[0, 0] / 2)
    rest = positions[:, others].mean(axis=0)
    fitted = fit_host(host, symbols[others].tolist(), rest, stream.cell, args.mobile)
    return Case(positions, symbols, stream.cell, fitted, args.mobile, args.timestep_fs)


def row(name: str, run: Callable[[], list[object]]) -> None:
    """Print one line of the table."""
    begin = time.perf_counter()
    cells = run()
    print(f"{name:58s} " + " ".join(f"{c!s:>7s}" for c in cells)
          + f"  {time.perf_counter() - begin:5.1f}", flush=True)  # fmt: skip


def filtered(trajectory: np.ndarray) -> list[object]:
    """Count hops of site trajectories [n_frames, n_ions] at each residence time."""
    return [
        sum(len(find_hops(trajectory[:, k], n)) for k in range(trajectory.shape[1]))
        for n in RESIDENCES
    ]


def last_inside(sites: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the site whose sphere each ion was in last; before the first, the nearest."""
    seen = np.where(inside, np.arange(len(sites))[:, None], 0)
    return np.take_along_axis(sites, np.maximum.accumulate(seen, axis=0), axis=0)


def ours(case: Case, sites: np.ndarray, follow: int = 0) -> HopDetector:
    """Make our detector, with a residence time of 2 frames."""
    return HopDetector(
        case.cell, sites, case.mobile, case.framework, case.interval_fs,
        residence_fs=2 * case.interval_fs, follow=follow,
        framework_sites=case.positions[:, case.framework].mean(axis=0),
    )  # fmt: skip


def our_rows(case: Case) -> None:
    """Count with our own sites and assignments."""
    names = case.symbols[case.framework].tolist()
    rest = case.positions[:, case.framework].mean(axis=0)
    operations = framework_operations(names, rest, case.cell)
    ions = case.positions[:, case.mobile]
    peaks = density_sites(ions, case.cell, case.mobile_ion, 4.5, operations=operations)
    plain = find_peaks(density(ions.reshape(-1, 3), len(ions), case.cell))
    for name, sites in [
        ("crystal", case.sites), ("density, symmetric", peaks.positions), ("density", plain),
    ]:  # fmt: skip
        used = judge_sites(ions, sites, case.cell)
        print(f"# {name}: {used.n_sites} sites, {used.share_within:.1%} within {used.radius} Å, "
              f"{used.share_double:.1%} shared")  # fmt: skip
        analysis = ours(case, sites).analyse(case.positions)
        row(f"ionloop, {name}, Voronoi", lambda a=analysis: filtered(a.site_trajectory))
    nearest, copies = assign_sites(ions, case.sites, case.cell)
    distance = np.linalg.norm(ions - copies, axis=-1)
    for radius in (0.75, 1.0, 1.25, 1.5):
        inside = last_inside(nearest, distance < radius)
        row(
            f"ionloop, crystal, arrived once within {radius:.2f} Å",
            lambda s=inside: filtered(s),
        )
    moving = ours(case, case.sites, follow=3).analyse(case.positions)
    row("ionloop, crystal, sites follow 3 neighbours", lambda: filtered(moving.site_trajectory))


def site_analysis_rows(case: Case) -> None:
    """Count with site-analysis's sites, by our residence filter."""
    from site_analysis import TrajectoryBuilder

    frames = list(case.structures())
    fractional = (case.sites @ np.linalg.inv(case.cell) % 1).tolist()

    def count(builder: TrajectoryBuilder) -> list[object]:
        trajectory = builder.build()
        trajectory.trajectory_from_structures(frames)
        return filtered(np.array(trajectory.atoms_trajectory, dtype=float))

    def builder() -> TrajectoryBuilder:
        made = TrajectoryBuilder().with_structure(frames[0])
        return made.with_mobile_species(case.mobile_ion)

    row("site-analysis, crystal, Voronoi", lambda: count(builder().with_voronoi_sites(fractional)))
    row(
        "site-analysis, crystal, dynamic Voronoi (3 S)",
        lambda: count(
            builder()
            .with_reference_structure(case.host)
            .with_site_mapping(["P", "S", "Cl"])
            .with_dynamic_voronoi_sites(case.mobile_ion, "S", cutoff=3.0, n_reference=3)
        ),
    )


def gemdat_rows(case: Case) -> None:
    """Count with GEMDAT's spheres, its jumps and its collective jumps."""
    from gemdat import Trajectory

    trajectory = Trajectory.from_structures(
        list(case.structures()), time_step=case.interval_fs * 1e-15, constant_lattice=True,
        metadata={"temperature": 500},
    )  # fmt: skip
    mobile = trajectory.filter(case.mobile_ion)
    for resolution in (0.2, 0.3, 0.5):
        found = mobile.to_volume(resolution=resolution).to_structure(specie=case.mobile_ion)
        print(f"# GEMDAT density peaks, {resolution} Å voxels: {len(found)} sites")
    sites = Structure(Lattice(case.cell), [case.mobile_ion] * len(case.sites), case.sites,
                      coords_are_cartesian=True, labels=["24g"] * len(case.sites))  # fmt: skip
    for radius in (None, 0.75, 1.0, 1.25, 1.5):
        moves = trajectory.transitions_between_sites(sites, case.mobile_ion, site_radius=radius)
        used = next(iter(moves.site_radius.radius.values()))
        outside = (moves.states == -1).mean()
        row(
            f"GEMDAT, crystal, radius {used:.2f} Å{'' if radius else ' (its own)'}, "
            f"{outside:.0%} at no site",
            lambda m=moves: [m.jumps(minimal_residence=n).n_jumps for n in RESIDENCES],
        )
        jumps = moves.jumps(minimal_residence=2)
        share = 1 - jumps.n_solo_jumps / jumps.n_jumps
        print(f"#   collective by GEMDAT (1 Å, {jumps.collective().max_steps} frames): {share:.1%}")


def concerted_rows(case: Case) -> None:
    """Print how the concerted share depends on its two limits."""
    from ionloop.explore.concerted import group_hops, share_by_chance

    analysis = ours(case, case.sites).analyse(case.positions)
    hops, rng = analysis.as_arrays(), np.random.default_rng(0)
    duration = len(case.positions) * case.interval_fs
    print("# concerted share of ionloop's hops (crystal, residence 2): window, reach, by chance")
    for window in (100.0, 200.0, 500.0):
        for reach in (1.0, 3.5):
            events = group_hops(hops, case.cell, window, reach)
            share = concerted_share(hops.ions, events)
            chance, error = share_by_chance(
                hops, case.cell, duration, rng, window_fs=window, reach=reach
            )
            print(f"#   {window:4.0f} fs {reach:.1f} Å: {share:.1%}, by chance {chance:.1%} "
                  f"± {error:.1%}, {events.max() + 1} events")  # fmt: skip


def main() -> None:
    """Read options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trajectory", type=Path)
    parser.add_argument("host", type=Path, nargs="?")
    parser.add_argument("--mobile", default="Li")
    parser.add_argument("--timestep-fs", type=float, default=100.0)
    warnings.simplefilter("ignore")
    case = read(parser.parse_args())
    print(f"# {len(case.positions)} frames, {len(case.mobile)} ions")
    print(HEAD)
    our_rows(case)
    site_analysis_rows(case)
    gemdat_rows(case)
    concerted_rows(case)


if __name__ == "__main__":
    main()
