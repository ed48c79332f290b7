"""What a saddle costs and how well it is known: a climbing band, a band and Sella, the dimer.

    python benchmarks/bench_saddles.py [--cells 2] [--reach 4.2]

Vacancy hops of Li in Li3OCl (Buckingham teacher) and in antifluorite Li2O (the same published
Li-O, O-O and Li-Li terms, which weren't fitted for it: a second potential surface, no second
material). Ends are relaxed to 0.005 eV/Å once and shared by all methods, so that barriers differ
by their saddles alone. Calls that count the modes, about 100 a saddle, aren't in. The
truth is a climbing band of 13 images, converged to 0.01 eV/Å.
The second table starts Sella and ASE's dimer at three places a saddle: the highest image of a band
that stopped at 0.2 eV/Å, the same with all atoms rattled by 0.05 Å, and the unrelaxed IDPP image
halfway. One process; force calls, not times, are what carries over to other potentials.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.mep import NEB
from ase.mep.dimer import DimerControl, MinModeAtoms, MinModeTranslate
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from rich.console import Console
from rich.table import Table

from ionloop.explore.events import quench
from ionloop.explore.modes import around, imaginary_modes
from ionloop.explore.refine import RefinePlan, refine, saddle_of
from ionloop.explore.schema import Saddle
from ionloop.frame import Frame
from ionloop.profile import read_structure
from ionloop.reference.neb import relax_band
from ionloop.reference.schema import Band
from ionloop.reference.teachers import BuckinghamTeacher
from ionloop.seed.defects import remove_neutral_set
from ionloop.seed.paths import vacancy_hops
from ionloop.seed.schema import Hop

#: eV/Å: what a search must reach.
FMAX = 0.01
WIDE = RefinePlan(max_steps=200, moved_max=np.inf, energy_max=np.inf)


@dataclass(frozen=True)
class Case:
    """A hop with relaxed ends, and the tight band that knows its saddle."""

    name: str
    hop: Hop
    tight: Band


def crystals() -> dict[str, Structure]:
    """Return the hosts' unit cells."""
    li2o = bulk("OLi2", "fluorite", a=4.62, cubic=True)
    return {
        "Li3OCl": read_structure("flows/structures/Li3OCl.cif"),
        "Li2O": AseAtomsAdaptor.get_structure(li2o),
    }


def cases(cells: int, reach: float) -> Iterator[Case]:
    """Make the hops, relax their ends, and find their saddles by the tight band."""
    for name, unit in crystals().items():
        host = unit.make_supercell(cells, in_place=False)
        start = remove_neutral_set(host, {"Li": 1})
        for hop in vacancy_hops(host, start, "Li", reach, charge=-1).hops:
            ends = {
                end: getattr(hop, end).model_copy(update={"positions": _minimum(hop, end)})
                for end in ("start", "end")
            }
            relaxed = hop.model_copy(update=ends)
            yield Case(f"{name} {hop.path_class}", relaxed, band(relaxed, 13, FMAX, 800))


def _minimum(hop: Hop, end: str) -> list[list[float]]:
    frame: Frame = getattr(hop, end)
    return quench(frame.to_atoms(), calculator(), 0.005, 1000).positions.tolist()


def calculator() -> Calculator:
    """Make the teacher's calculator."""
    return BuckinghamTeacher().calculator()


def band(hop: Hop, n_images: int, fmax: float, max_steps: int) -> Band:
    """Relax a band; its ends are relaxed already, and cost one call each."""
    return relax_band(
        hop, lambda _: calculator(), n_images=n_images, fmax=fmax, max_steps=max_steps,
        engine="lammps", settings_hash="benchmark",
    )  # fmt: skip


def search_calls(saddle: Saddle, atoms: Atoms, ion: int) -> int:
    """Return Sella's calls without those that counted the modes."""
    counted = saddle.n_imaginary is not None
    return saddle.n_force_calls - counted * 6 * len(around(atoms, np.array([ion])))


def compare(case: Case) -> list[list[str]]:
    """Return a row a method: barrier, its error, force calls."""
    truth = case.tight.barrier
    rows = []
    for name, fmax, refined in (
        ("5 images, climbing, 0.05 eV/Å", 0.05, False),
        ("5 images, 0.2 eV/Å, Sella", 0.2, True),
        ("5 images, climbing, 0.05 eV/Å, Sella", 0.05, True),
    ):
        made = band(case.hop, 5, fmax, 400)
        barrier, calls, note = made.barrier, made.n_force_calls, "" if made.converged else "open"
        if refined:
            saddle, atoms = refine(made, calculator(), RefinePlan(fmax=FMAX))
            barrier = made.barrier if saddle.rejected else saddle.barrier
            calls += search_calls(saddle, atoms, made.ion)
            note = saddle.rejected or note
        rows.append([case.name, name, f"{1000 * barrier:.1f}", f"{1000 * (barrier - truth):+.1f}",
                     str(calls), note])  # fmt: skip
    note = "" if case.tight.converged else "open"
    rows.append([case.name, "13 images, climbing, 0.01 eV/Å", f"{1000 * truth:.1f}", "0",
                 str(case.tight.n_force_calls), note])  # fmt: skip
    return rows


def starts(case: Case, rng: np.random.Generator) -> dict[str, Band]:
    """Return bands whose highest image is where a search starts."""
    loose = band(case.hop, 5, 0.2, 400)
    top = int(np.argmax(loose.energies))
    images = np.array(loose.images)
    images[top] += rng.normal(scale=0.05, size=images[top].shape)
    ends = [case.hop.start.to_atoms(), case.hop.end.to_atoms()]
    straight = [ends[0], *(ends[0].copy() for _ in range(5)), ends[1]]
    NEB(straight, method="improvedtangent").interpolate("idpp", mic=True)
    unrelaxed = {"images": [a.positions.tolist() for a in straight],
                 "energies": [0.0, 0.1, 0.2, 0.3, 0.2, 0.1, 0.0]}  # fmt: skip
    return {
        "0.2 eV/Å": loose,
        "rattled": loose.model_copy(update={"images": images.tolist()}),
        "IDPP": loose.model_copy(update=unrelaxed),
    }


def by_dimer(start: Band) -> tuple[Atoms, bool, int]:
    """Search by ASE's dimer from a band's highest image along its tangent."""
    top = int(np.argmax(start.energies))
    before, after = (np.array(start.images[k]) for k in (top - 1, top + 1))
    tangent = (after - before) / np.linalg.norm(after - before)
    atoms = saddle_of(start)
    atoms.calc = calculator()
    with DimerControl(initial_eigenmode_method="displacement", displacement_method="vector",
                      logfile=None) as control:  # fmt: skip
        dimer = MinModeAtoms(atoms, control)
        dimer.displace(displacement_vector=0.01 * tangent)
        converged = MinModeTranslate(dimer, logfile=None).run(fmax=FMAX, steps=300)
        calls = int(control.get_counter("forcecalls"))
    return Atoms(atoms), bool(converged), calls


def by_sella(start: Band) -> tuple[Atoms, bool, int]:
    """Search by Sella, with nothing rejected for where it leads."""
    saddle, atoms = refine(start, calculator(), WIDE)
    return atoms, saddle.converged, search_calls(saddle, atoms, start.ion)


def reliability(case: Case, rng: np.random.Generator) -> list[list[str]]:
    """Return a row a start and searcher: where it led, and force calls."""
    truth = saddle_of(case.tight)
    rows = []
    for where, start in starts(case, rng).items():
        for who, search in (("Sella", by_sella), ("dimer", by_dimer)):
            atoms, converged, calls = search(start)
            atoms.calc = calculator()
            error = atoms.get_potential_energy() - max(case.tight.energies)
            steps = atoms.positions - truth.positions
            away = np.linalg.norm(steps - steps.mean(axis=0), axis=1).max()
            near = around(atoms, np.array([case.hop.ion]))
            order = imaginary_modes(Atoms(atoms), calculator(), near)
            rows.append([case.name, where, who, "yes" if converged else "no",
                         f"{1000 * error:+.1f}", f"{away:.2f}", str(order),
                         str(calls)])  # fmt: skip
    return rows


def main() -> None:
    """Run both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=2, help="unit cells a direction")
    parser.add_argument("--reach", type=float, default=4.2, help="longest hop, Å")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    costs = Table("hop", "method", "barrier / meV", "error / meV", "force calls", "note")
    found = Table(
        "hop", "start", "search", "converged", "error / meV", "away / Å", "modes", "calls"
    )
    for case in cases(arguments.cells, arguments.reach):
        for row in compare(case):
            costs.add_row(*row)
        for row in reliability(case, rng):
            found.add_row(*row)
    console = Console(width=140)
    console.print(costs)
    console.print(found)


if __name__ == "__main__":
    main()
