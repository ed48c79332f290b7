"""Made scorecards with results in every part."""

from __future__ import annotations

import numpy as np
from made_record import make_point

from ionloop.evaluate.accuracy_schema import Accuracy, ErrorBin
from ionloop.evaluate.cost import cost_of
from ionloop.evaluate.hop_bins import HOP_BINS
from ionloop.evaluate.schema import (
    Check,
    Contact,
    Estimate,
    Stability,
    Transport,
    TransportAnalysis,
)
from ionloop.evaluate.scorecard_schema import (
    AccuracyPart,
    CostPart,
    DiffusionPart,
    Dynamics,
    ModelFacts,
    Phonons,
    Scaling,
    Scorecard,
    StabilityPart,
    StaticPart,
    StaticProperties,
)
from ionloop.report.scorecard_walk import FRAMEWORK


def error_bin(name, rmse):
    return ErrorBin(
        name=name, n_frames=10, n_groups=5, n_forces=90, rmse_forces=rmse, mae_forces=rmse,
        rmse_error=0.1 * rmse, interval=(0.9 * rmse, 1.1 * rmse), rms_reference=1.0,
    )  # fmt: skip


def accuracy(scale):
    return Accuracy(
        n_frames=10,
        forces_by_origin=[error_bin("aimd", scale)],
        forces_by_hop_bin=[error_bin(n, scale * (i + 1)) for i, n in enumerate(HOP_BINS)],
        forces_by_species=[error_bin("Li", scale), error_bin("O", 1e-14)],
        parity_forces=[],
        parity_energies=[],
        progress_errors=[],
    )


def static(lowest):
    modulus = Estimate(value=50.0, unit="GPa", estimator="made up", admissible=lowest > -1)
    counts = [1, 5, 10, 4]
    return StaticProperties(
        formula="Li3 N1", n_atoms=4, cell=np.eye(3).tolist(), lengths=(3.6, 3.6, 3.9),
        angles=(90.0, 90.0, 120.0), volume_per_atom=11.0, volume_change=0.01, density=1.3,
        bulk_modulus=modulus, bulk_vrh=modulus, shear_vrh=modulus,
        phonons=Phonons(
            supercell=[2, 2, 2], n_displacements=4, n_q=8, lowest=lowest, highest=20.0, n_modes=20,
            n_imaginary=int(lowest < -1), tolerance=0.1, meaning="made up",
            frequencies=np.linspace(lowest, 20, 5).tolist(), counts=counts,
        ),
        checks=[Check(name="relaxed", passed=True, detail="")],
    )  # fmt: skip


def scaling(factor):
    costs = [
        cost_of([law * factor * n], n_atoms=n, name=name)
        for n in (100, 200, 400)
        for name, law in (("model", 1e-4), ("reference", 1e-2))
    ]
    return Scaling(
        costs=costs,
        exponents={},
        atoms_per_gb={"model": 2048.0},
        speed_up=[(100, 100.0)],
        stopped="",
        cores=2,
        hardware="a made-up processor",
    )


def card(name, scale, labels="x"):
    facts = ModelFacts(name=name, kind="mace", sha256=name * 32, hashed="", versions={})
    return Scorecard(
        material="Li3N",
        mobile_ion="Li",
        model=facts,
        reference=facts.model_copy(update={"name": "slow"}),
        accuracy=AccuracyPart(status="done", result=accuracy(scale), settings={"labels": labels}),
        static=StaticPart(status="done", result=static(-5.0 * scale)),
        cost=CostPart(status="done", result=scaling(scale)),
        diffusion=DiffusionPart(status="missing", reason="no dynamics were run"),
    )


def dynamics(energy=0.3):
    """Two temperatures, the lower one without an admissible D, and an activation energy."""
    none = Estimate(value=None, upper_bound=3e-7, unit="cm²/s", estimator="made up",
                    admissible=False, reason="too few hops")  # fmt: skip
    points = [make_point(t, energy) for t in (600.0, 900.0)]
    checks = [Check(name="effective hops", passed=False, detail="3 effective hops")]
    points[0] = points[0].model_copy(update={"d": none, "checks": checks})
    e_a = Estimate(value=energy, error=0.02, interval=(energy - 0.033, energy + 0.033), unit="eV",
                   estimator="made up", admissible=True)  # fmt: skip
    analysis = TransportAnalysis(
        mobile_ion="Li", charge=1.0, frame_interval_fs=50.0, hop_distance=2.8,
        hop_distance_from="made up", inputs=[], smaller_cells=[], finite_size=[],
        transport=Transport(calculator="m", points=points, activation_energy=e_a),
    )  # fmt: skip
    return Dynamics(repeats=[1, 1, 1], n_atoms=133, transport=analysis, rdf=[])


def stability(stopped=None):
    """A run of 500 ps, or one that ended after 3.2 ps."""
    drift = Estimate(value=0.02, error=0.01, unit="meV/atom/ps", estimator="a line",
                     admissible=True)  # fmt: skip
    checks = [Check(name="the run stays physical", passed=stopped is None, detail="made up")]
    if stopped is None:
        checks += [Check(name=FRAMEWORK, passed=True, detail="0.09")]
    return Stability(
        temperature=1440.0, repeats=[1, 1, 1], n_atoms=133, picoseconds=500.0,
        survived_ps=500.0 if stopped is None else 3.2, stopped=stopped, lindemann=0.09,
        wandering=0.02, contacts=[Contact(pair=("Li", "O"), distance=1.62)],
        nve_ps=0.0 if stopped else 10.0, drift=None if stopped else drift,
        scatter=None if stopped else 0.4, checks=checks,
    )  # fmt: skip


def whole_card(name, scale=0.1, *, stopped=None, picoseconds=500.0, labels="x"):
    """A scorecard with a result in each part."""
    asked = {"picoseconds": picoseconds, "structure": "s"}
    parts = {
        "diffusion": DiffusionPart(status="done", result=dynamics(), settings=asked),
        "stability": StabilityPart(status="done", result=stability(stopped), settings=asked),
    }
    return card(name, scale, labels).model_copy(update=parts)
