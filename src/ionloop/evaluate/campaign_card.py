"""A campaign's evaluation as a scorecard, so that generations and campaigns compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from monty.json import MSONable
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

from ionloop.evaluate.cost_scaling import speed_ups
from ionloop.evaluate.request import hash_labels, hash_structure
from ionloop.evaluate.schema import Cost, Evaluation, Stability, TransportAnalysis
from ionloop.evaluate.scorecard_schema import (
    AccuracyPart,
    CostPart,
    Crystal,
    DiffusionPart,
    Dynamics,
    Part,
    Scaling,
    Scorecard,
    StabilityPart,
)
from ionloop.evaluate.speed_up import REFERENCE
from ionloop.evaluate.speed_up import speed_ups as core_speed_ups
from ionloop.frame import Frame
from ionloop.label.schema import Label
from ionloop.profile import Profile
from ionloop.train.schema import Calibration
from ionloop.versions import installed

P = TypeVar("P", bound=Part)

#: Two positions this near are one to the symmetry, Å.
SYMPREC = 0.01
#: Why models of charged cells tell nothing of how a crystal's volume and shape change.
CHARGED = "charged cells: neither energies nor stress were trained on"


@dataclass(frozen=True)
class Asked(MSONable):
    """What a campaign's evaluation was asked for, and no document of it says.

    Parameters
    ----------
    picoseconds, replicas, frame_interval_fs, skip_fs
        Of the model's runs for transport.
    hop_distance
        The longest enumerated hop, Å.
    stability
        Settings of the stability runs, but for their seeds; None if there are none.
    random_seed
        The campaign's.
    """

    picoseconds: float
    replicas: int
    frame_interval_fs: float
    skip_fs: float
    hop_distance: float
    stability: dict[str, Any] | None
    random_seed: int


def conventional(host: Frame) -> Structure:
    """Return the conventional cell of a perfect crystal, which a campaign has as a supercell.

    The supercell itself where no symmetry can be determined.
    """
    given = host.to_structure()
    try:
        symmetry = SpacegroupAnalyzer(given, symprec=SYMPREC)
        found: Structure = symmetry.get_conventional_standard_structure()
    except SymmetryUndeterminedError:
        return given
    return found


def campaign_card(
    evaluation: Evaluation,
    crystal: Crystal,
    labels: Sequence[Label],
    calibration: Calibration,
    start: Frame,
    profile: Profile,
    asked: Asked,
) -> Scorecard:
    """Put the parts of a scorecard together.

    Parameters
    ----------
    evaluation
        Accuracy, transport, cost and stability of the last committee.
    crystal
        The committee, and what it makes of the perfect crystal.
    labels
        Held-out labels.
    calibration
        The committee's.
    start
        The cell that is simulated.
    profile, asked
        The material, and how it was evaluated.
    """
    structure = hash_structure(start.to_structure())
    made = _Made(crystal, {"mobile_ion": profile.mobile_ion})
    return Scorecard(
        material=profile.name,
        mobile_ion=profile.mobile_ion,
        model=crystal.model,
        structure=start.to_structure().composition.formula,
        accuracy=AccuracyPart(
            result=evaluation.accuracy,
            **made.done(
                random_seed=asked.random_seed,
                precision="float64",
                labels=hash_labels(labels),
                calibration=calibration.model_dump(mode="json"),
            ),
        ),
        static=_of_crystal(crystal.static, "EvaluateMaker.static is False", profile),
        expansion=_of_crystal(crystal.expansion, "EvaluateMaker.expansion_ps is 0", profile),
        cost=_cost(evaluation.cost, made, structure),
        diffusion=_diffusion(evaluation, made, structure, start, profile, asked),
        stability=_stability(evaluation.stability, made, structure, asked),
    )


def _of_crystal(part: P, left_out: str, profile: Profile) -> P:
    """Say why a part wasn't asked for."""
    if part.status != "not asked":
        return part
    reason = CHARGED if profile.charge else left_out
    return part.model_copy(update={"reason": reason})


@dataclass(frozen=True)
class _Made:
    """What all parts have in common."""

    crystal: Crystal
    common: dict[str, Any]

    def done(self, **settings: Any) -> dict[str, Any]:  # noqa: ANN401 - of any kind
        """Return the fields of a part that is done."""
        model, versions = self.crystal.model, installed(["ionloop", "ase", "numpy"])
        chosen = self.common | settings
        text = json.dumps([model.sha256, model.versions, chosen, versions], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        return {"status": "done", "settings": chosen, "versions": versions, "key": key}


def _cost(costs: Sequence[Cost], made: _Made, structure: str) -> CostPart:
    """Name the committee ``model`` and the reference's label ``reference``, as elsewhere."""
    named = [one.model_copy(update={"calculator": _role(one.calculator)}) for one in costs]
    own = next((one for one in named if one.calculator == "model"), None)
    where: dict[str, Any] = {name: getattr(own, name, None) for name in ("cores", "hardware")}
    found = Scaling(
        costs=named,
        exponents={},
        speed_up=speed_ups(named, ["model", "reference"]),
        speed_ups=[one for one in core_speed_ups(costs) if _role(one.model) == "model"],
        stopped="a campaign times its own cell alone",
        **where,
    )
    return CostPart(result=found, **made.done(structure=structure, **where))


def _role(calculator: str) -> str:
    if calculator.startswith("committee of "):
        return "model"
    return "reference" if calculator.startswith(f"{REFERENCE} (") else calculator


def _diffusion(
    evaluation: Evaluation,
    made: _Made,
    structure: str,
    start: Frame,
    profile: Profile,
    asked: Asked,
) -> DiffusionPart:
    charge = profile.formal_charges[profile.mobile_ion]
    analysis = TransportAnalysis(
        mobile_ion=profile.mobile_ion,
        charge=charge,
        frame_interval_fs=asked.frame_interval_fs,
        hop_distance=asked.hop_distance,
        hop_distance_from="the longest enumerated hop",
        inputs=[],
        transport=evaluation.model_transport,
        smaller_cells=[],
        finite_size=[],
    )
    return DiffusionPart(
        result=Dynamics(repeats=[1, 1, 1], n_atoms=len(start.symbols), transport=analysis, rdf=[]),
        **made.done(
            picoseconds=asked.picoseconds,
            replicas=asked.replicas,
            skip_fs=asked.skip_fs,
            charge=charge,
            temperatures=profile.transport_temperatures,
            structure=structure,
            steered_by=evaluation.model_transport.calculator,
        ),
    )


def _stability(
    runs: Sequence[Stability], made: _Made, structure: str, asked: Asked
) -> StabilityPart:
    """Show the worst member: one that fails, or that survived the least."""
    if not runs or asked.stability is None:
        reason = "EvaluateMaker.stability_ps is 0"
        return StabilityPart(status="not asked", reason=reason)
    worst = min(runs, key=lambda run: (not run.failures, run.survived_ps))
    return StabilityPart(
        result=worst,
        **made.done(**asked.stability, structure=structure, members=len(runs)),
    )
