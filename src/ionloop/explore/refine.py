"""From a band's highest image to the saddle point itself.

A band of few images ends near its saddle: the climbing image stops at the band's force
threshold, and a band that ran out of steps stops anywhere. Sella follows the lowest mode up
and all others down, with partitioned rational function optimization in Cartesian coordinates
(Hermes et al., J. Chem. Theory Comput. 18, 6974 (2022)), from the band's tangent. What it
finds counts if it is still the band's saddle: near, at about the same energy, with one
imaginary mode.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.explore.modes import around, imaginary_modes
from ionloop.explore.schema import Saddle
from ionloop.frame import Frame, HopTag, Origin
from ionloop.reference.schema import Band

logger = logging.getLogger(__name__)

#: What Sella raises where the forces are no function of positions that it can follow.
FAILURES = (np.linalg.LinAlgError, ArithmeticError, RuntimeError, ValueError)


@dataclass(frozen=True)
class RefinePlan:
    """How a saddle is refined, and what of it counts.

    Parameters
    ----------
    fmax
        Largest force on an atom at convergence, eV/Å.
    max_steps
        Optimizer steps; each is one to about ten force calls.
    moved_max
        An atom that moves farther from the highest image has slid to another saddle, Å.
    energy_max
        So has a saddle whose energy differs by more from the highest image's, eV; a band that
        stopped at 0.2 eV/Å was 0.16 eV too high, see benchmarks/bench_saddles.py.
    """

    fmax: float = 0.01
    max_steps: int = 60
    moved_max: float = 0.5
    energy_max: float = 0.2


def missing() -> str | None:
    """Say why saddles can't be refined here; None where they can."""
    try:
        version("sella")
    except PackageNotFoundError:
        return "saddles aren't refined: sella isn't installed; pip install 'ionloop[saddles]'"
    return None


def saddle_of(band: Band) -> Atoms:
    """Return the highest image of a band."""
    return band.to_atoms()[int(np.argmax(band.energies))]


def refine(
    band: Band, calculator: Calculator, plan: RefinePlan, ions: np.ndarray | None = None
) -> tuple[Saddle, Atoms]:
    """Refine the highest image of a band to a saddle point.

    Parameters
    ----------
    band
        The band.
    calculator
        Gives energy and forces, in double precision: Sella differentiates forces over 1e-4 Å.
    plan
        How, and what counts.
    ions
        The hopping ions, whose surroundings count for imaginary modes; None: the band's.

    Returns
    -------
    tuple[Saddle, Atoms]
        What was found, with the reason if it doesn't count, and the atoms there.
    """
    top = int(np.argmax(band.energies))
    image = saddle_of(band)
    if top in (0, len(band.images) - 1):
        reason = "the band's highest image is an end: nothing to climb"
        return _document(band, image, band.energies[top], reason=reason), image
    atoms = image.copy()
    atoms.calc = calculator
    try:
        converged, calls = _climb(atoms, _tangent(band, top), plan)
        energy, fmax = float(atoms.get_potential_energy()), _largest(atoms.get_forces())
    except FAILURES as error:
        logger.warning("band %s: Sella failed: %s", band.path_class, error)
        return _document(band, image, band.energies[top], reason=f"Sella failed: {error}"), image
    atoms.calc = None
    moved = _moved(image, atoms)
    objection = _objection(converged, moved, energy - band.energies[top], plan)
    order = None
    if objection is None:
        near = around(atoms, np.array([band.ion]) if ions is None else ions)
        order = imaginary_modes(atoms, calculator, near)
        calls += 6 * len(near)
        objection = None if order == 1 else f"{order} imaginary modes, not one"
    found = _document(band, atoms, energy, reason=objection).model_copy(
        update={
            "fmax": fmax,
            "converged": converged,
            "moved": moved,
            "n_imaginary": order,
            "n_force_calls": calls,
        }
    )
    return found, atoms


def saddle_frame(band: Band, atoms: Atoms, generation: int, group: str) -> Frame:
    """Make a candidate of a refined saddle, at the highest image's place on the hop."""
    s = float(band.progress()[int(np.argmax(band.energies))])
    return Frame.from_atoms(
        atoms,
        charge=band.charge,
        origin=Origin.SADDLE,
        generation=generation,
        group=group,
        hop=HopTag(ion=band.ion, progress=s, path_class=band.path_class, event=group),
    )


def _climb(atoms: Atoms, tangent: np.ndarray, plan: RefinePlan) -> tuple[bool, int]:
    """Run Sella; return whether it converged, and its force calls."""
    from sella import Sella

    search = Sella(atoms, order=1, internal=False, logfile=None)
    search.pes.v0 = tangent.ravel() @ search.pes.get_Ufree()
    converged = bool(search.run(fmax=plan.fmax, steps=plan.max_steps))
    return converged, int(search.pes.neval)


def _tangent(band: Band, top: int) -> np.ndarray:
    """Return the direction of a band at an inner image, shape [n, 3], of length 1."""
    before, after = (np.array(band.images[k]) for k in (top - 1, top + 1))
    return (after - before) / np.linalg.norm(after - before)


def _moved(image: Atoms, atoms: Atoms) -> float:
    """Return how far the farthest atom moved, Å; the mean of all, a drift, is taken off."""
    steps = atoms.positions - image.positions
    return _largest(steps - steps.mean(axis=0))


def _largest(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors, axis=1).max())


def _objection(converged: bool, moved: float, change: float, plan: RefinePlan) -> str | None:  # noqa: FBT001
    """Say why a refined saddle isn't the band's; None if it may be."""
    if not np.isfinite([moved, change]).all():
        return "the search left the range of the potential"
    if not converged:
        return f"not converged to {plan.fmax:g} eV/Å in {plan.max_steps} steps"
    if moved > plan.moved_max:
        return f"an atom moved {moved:.2f} Å from the band's highest image: another saddle"
    if abs(change) > plan.energy_max:
        return f"{1000 * change:+.0f} meV from the band's highest image: another saddle"
    return None


def _document(band: Band, atoms: Atoms, energy: float, *, reason: str | None) -> Saddle:
    return Saddle(
        path_class=band.path_class,
        method=f"sella {version('sella')}",
        energy=energy,
        barrier=energy - band.energies[0],
        rejected=reason,
        frame_hash=Frame.from_atoms(
            atoms, charge=band.charge, origin=Origin.SADDLE, group=""
        ).frame_hash,
    )
