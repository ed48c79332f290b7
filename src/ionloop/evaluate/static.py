"""Static properties of a crystal: relaxed cell, equation of state, elastic tensor, phonons.

Through matcalc, whose answers are checked: it calls a relaxation converged by the forces on atoms
alone, whatever stress is left, and returns moduli of a fit that failed with a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from pymatgen.core import Structure
from scipy import stats

from ionloop.errors import EvaluationError
from ionloop.evaluate.born import Born
from ionloop.evaluate.elastic import check_strains, elastic_tensor
from ionloop.evaluate.intervals import LEVEL
from ionloop.evaluate.phonons import PhononSettings, phonons
from ionloop.evaluate.schema import Check, Estimate
from ionloop.evaluate.scorecard_schema import Phonons, StaticProperties
from ionloop.units import GPA_EV_PER_A3

#: Stress left in a relaxed cell, GPa.
STRESS_MAX = 0.1
#: The two bulk moduli may differ by this share.
BULK_TOLERANCE = 0.1
#: Volumes of which one may be left out: four parameters, and one point more.
VOLUMES_MIN = 6
#: Coefficient of determination of the equation of state and of the stresses.
R2_MIN = 0.99


@dataclass(frozen=True)
class StaticSettings:
    """How static properties are computed.

    Parameters
    ----------
    fmax
        Force at which a relaxation ends, eV/Å.
    steps_max
        Steps of one relaxation.
    eos_strain
        Largest linear strain of the equation of state: volumes change by three times as much.
    eos_points
        Volumes.
    normal_strains, shear_strains
        Strains of the elastic tensor, four or more of each, each with its opposite.
    phonons
        How phonons are computed; None leaves them out.
    """

    fmax: float = 1e-3
    steps_max: int = 1000
    eos_strain: float = 0.02
    eos_points: int = 7
    normal_strains: tuple[float, ...] = (-0.005, -0.0025, 0.0025, 0.005)
    shear_strains: tuple[float, ...] = (-0.01, -0.005, 0.005, 0.01)
    phonons: PhononSettings | None = field(default_factory=PhononSettings)

    def __post_init__(self) -> None:
        """Refuse strains that the error of the elastic tensor can't be had from.

        Raises
        ------
        EvaluationError
            If there are fewer than four of a kind, or one without its opposite.
        """
        check_strains(self.normal_strains, self.shear_strains)


def static_properties(
    structure: Structure,
    calculator: Calculator,
    settings: StaticSettings,
    tell: Callable[[str], None] = lambda _: None,
    born: Born | None = None,
) -> StaticProperties:
    """Relax a cell and compute what a relaxed crystal has.

    Parameters
    ----------
    structure
        An ordered periodic cell; it isn't changed.
    calculator
        Energies, forces and stress.
    settings
        How.
    tell
        Is told what is being computed.
    born
        For the splitting of optical modes, atoms in the structure's order; None leaves it out.

    Raises
    ------
    EvaluationError
        If matcalc or phonopy is missing, the calculator has no stress, or the cell doesn't relax.
    """
    _require_libraries()
    bare = structure.copy()
    bare.remove_oxidation_states()
    tell("relaxation")
    relaxed, checks = _relax(bare, calculator, settings)
    tell("equation of state")
    bulk, volumes, energies = _equation_of_state(relaxed, calculator, settings)
    tell("elastic tensor")
    elastic, moduli, more = elastic_tensor(relaxed, calculator, settings)
    checks += more
    if bulk.value is not None and moduli["bulk_vrh"].value is not None:
        checks.append(_two_bulk_moduli(bulk.value, moduli["bulk_vrh"].value))
    found: Phonons | None = None
    if settings.phonons is not None:
        tell("phonons")
        found = phonons(relaxed, calculator, settings.phonons, born)
    lattice = relaxed.lattice
    return StaticProperties(
        formula=relaxed.composition.formula,
        n_atoms=len(relaxed),
        cell=lattice.matrix.tolist(),
        lengths=lattice.abc,
        angles=lattice.angles,
        volume_per_atom=relaxed.volume / len(relaxed),
        volume_change=relaxed.volume / structure.volume - 1,
        density=float(relaxed.density),
        bulk_modulus=bulk,
        eos_volumes=volumes,
        eos_energies=energies,
        elastic=elastic.tolist(),
        **moduli,
        phonons=found,
        checks=checks,
    )


def _require_libraries() -> None:
    try:
        import matcalc  # noqa: F401
        import phonopy  # noqa: F401
    except ImportError as error:
        msg = (
            f"expected matcalc and phonopy for static properties, got {error}; "
            "pip install 'ionloop[evaluate]'"
        )
        raise EvaluationError(msg) from error


def _relax(
    structure: Structure, calculator: Calculator, settings: StaticSettings
) -> tuple[Structure, list[Check]]:
    """Relax atoms and cell without symmetry.

    Raises
    ------
    EvaluationError
        If the calculator has no stress, or forces or stress are left.
    """
    from matcalc import RelaxCalc

    relaxer = RelaxCalc(
        calculator, optimizer="LBFGS", fmax=settings.fmax, max_steps=settings.steps_max
    )
    try:
        found = relaxer.calc(structure)
    except (PropertyNotImplementedError, NotImplementedError) as error:
        msg = f"expected a calculator with stress for static properties, got none ({error})"
        raise EvaluationError(msg) from error
    force = float(found["max_force"])
    stress = float(np.abs(found["stress"]).max() / GPA_EV_PER_A3)
    detail = (
        f"largest force {force:.2g} eV/Å, expected at most {settings.fmax:g}; largest stress "
        f"{stress:.2g} GPa, expected at most {STRESS_MAX:g}"
    )
    if not (force <= settings.fmax and stress <= STRESS_MAX):
        msg = (
            f"the cell didn't relax in {settings.steps_max} steps: {detail}; start from a "
            "structure nearer to the model's minimum"
        )
        raise EvaluationError(msg)
    return found["final_structure"], [Check(name="relaxed", passed=True, detail=detail)]


def _equation_of_state(
    relaxed: Structure, calculator: Calculator, settings: StaticSettings
) -> tuple[Estimate, list[float], list[float]]:
    """Fit Birch and Murnaghan's equation; cell shape and ions relax at each volume.

    There is no value, with the reason, where energies have no minimum within the volumes.
    """
    from matcalc import EOSCalc
    from pymatgen.analysis.eos import EOSError

    estimator = (
        f"Birch-Murnaghan, {settings.eos_points} volumes within "
        f"±{300 * settings.eos_strain:.0f} %, ions relaxed"
    )
    eos = EOSCalc(
        calculator,
        optimizer="LBFGS",
        fmax=settings.fmax,
        max_steps=settings.steps_max,
        max_abs_strain=settings.eos_strain,
        n_points=settings.eos_points,
        relax_structure=False,
        r2_min=-1,
    )
    try:
        found = eos.calc(relaxed)
    except EOSError as error:
        reason = f"the fit failed: {error}"
        missing = Estimate(
            value=None, unit="GPa", estimator=estimator, admissible=False, reason=reason
        )
        return missing, [], []
    r2 = float(found["r2_score_bm"])
    doubt = None if r2 >= R2_MIN else f"R² of the fit is {r2:.3f}, expected {R2_MIN:g} or more"
    curve = found["eos"]
    volumes, energies = ([float(x) for x in curve[name]] for name in ("volumes", "energies"))
    value = float(found["bulk_modulus_bm"])
    scatter = _jackknife(volumes, energies)
    estimate = Estimate(
        value=value,
        error=scatter,
        interval=None if scatter is None else _interval(value, scatter, len(volumes) - 1),
        unit="GPa",
        estimator=f"{estimator}; error by leaving out each volume in turn",
        admissible=doubt is None,
        reason=doubt,
    )
    return estimate, volumes, energies


def _jackknife(volumes: list[float], energies: list[float]) -> float | None:
    """Return the jackknife error of the bulk modulus, GPa; None where a fit fails.

    It has the noise of energies and what the equation can't describe within its volumes.
    """
    from pymatgen.analysis.eos import BirchMurnaghan, EOSError

    n, found = len(volumes), []
    if n < VOLUMES_MIN:
        return None
    for i in range(n):
        fit = BirchMurnaghan(volumes[:i] + volumes[i + 1 :], energies[:i] + energies[i + 1 :])
        try:
            fit.fit()
        except EOSError:
            return None
        found.append(float(fit.b0_GPa))
    spread = np.array(found) - np.mean(found)
    return float(np.sqrt((n - 1) / n * (spread**2).sum()))


def _interval(value: float, error: float, freedom: int) -> tuple[float, float]:
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return value - half, value + half


def _two_bulk_moduli(eos: float, hill: float) -> Check:
    difference = abs(eos - hill) / max(abs(eos), abs(hill))
    return Check(
        name="two bulk moduli agree",
        passed=difference <= BULK_TOLERANCE,
        detail=f"{eos:.4g} GPa by volumes, {hill:.4g} GPa by the elastic tensor, "
        f"expected within {100 * BULK_TOLERANCE:.0f} %",
    )
