"""The scorecard of any calculator: what is asked for is computed once, and kept in a folder."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ionloop.cores import thread_cores
from ionloop.document import Document
from ionloop.errors import IonloopError
from ionloop.evaluate.accuracy_schema import Accuracy
from ionloop.evaluate.cost_scaling import measure_scaling
from ionloop.evaluate.dynamics import run_dynamics
from ionloop.evaluate.expansion import run_expansion
from ionloop.evaluate.held_out import judge_labels, predict
from ionloop.evaluate.machine import machine
from ionloop.evaluate.request import Request, bare_atoms, hash_labels, hash_structure
from ionloop.evaluate.scorecard_schema import (
    AccuracyPart,
    CostPart,
    DiffusionPart,
    ExpansionPart,
    Part,
    Scorecard,
    StabilityPart,
    StaticPart,
)
from ionloop.evaluate.stability import run_stability
from ionloop.evaluate.static import static_properties
from ionloop.files import whole
from ionloop.label.schema import Label
from ionloop.train.labelled import read_whole_labels, ungrouped
from ionloop.versions import installed

logger = logging.getLogger(__name__)

P = TypeVar("P", bound=Part)


def evaluate(
    request: Request, folder: Path | None, tell: Callable[[str], None] = lambda _: None
) -> Scorecard:
    """Compute the parts that are asked for; those that the folder has aren't computed again.

    A part that fails is missing, with its reason, and the others are computed.

    Parameters
    ----------
    request
        What is asked.
    folder
        Where parts and ``scorecard.json`` are kept; None keeps nothing.
    tell
        Is told what is being computed.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    run = _Run(request, folder, tell)
    card = Scorecard(
        material=request.profile.name,
        mobile_ion=request.profile.mobile_ion,
        model=request.model.facts,
        reference=request.reference.facts if request.reference else None,
        structure=request.structure.composition.formula if request.structure else None,
        accuracy=run.accuracy(),
        static=run.static(),
        expansion=run.expansion(),
        cost=run.cost(),
        diffusion=run.diffusion(),
        stability=run.stability(),
    )
    if folder is not None:
        with whole(folder / "scorecard.json") as scratch:
            scratch.write_text(card.model_dump_json(indent=1))
    return card


@dataclass(frozen=True)
class _Run:
    """One evaluation."""

    request: Request
    folder: Path | None
    tell: Callable[[str], None]

    def accuracy(self) -> AccuracyPart:
        """Compare with held-out labels."""
        if "accuracy" not in self.request.parts:
            return AccuracyPart(status="not asked")
        labels = read_whole_labels(self.request.data)
        settings = {
            "random_seed": self.request.random_seed,
            "mobile_ion": self.request.profile.mobile_ion,
            "precision": "float64",
            "labels": hash_labels(labels),
            "calibration": self.request.calibration and self.request.calibration.model_dump(),
        }
        return self._part(
            AccuracyPart, settings, installed(["ionloop", "numpy"]), lambda: self._accuracy(labels)
        )

    def _accuracy(self, labels: list[Label]) -> Accuracy:
        self.tell(f"accuracy on {len(labels)} frames")
        found = predict(self.request.model.calculator(), [x.frame.to_atoms() for x in labels])
        rng = np.random.default_rng(self.request.random_seed)
        ion = self.request.profile.mobile_ion
        errors = judge_labels(
            labels, found, rng, mobile_ion=ion, calibration=self.request.calibration
        )
        return errors.model_copy(update={"grouped": ungrouped(labels)})

    def static(self) -> StaticPart:
        """Relax the cell, and so on."""
        structure = self.request.structure
        if "static" not in self.request.parts or structure is None:
            return StaticPart(status="not asked")
        settings = {
            **asdict(self.request.static),
            "precision": "float64",
            "structure": hash_structure(structure),
        } | ({} if self.request.born is None else {"born": self.request.born.sha256})
        versions = installed(["ionloop", "matcalc", "phonopy", "pymatgen", "ase"])
        model = self.request.model
        return self._part(
            StaticPart,
            settings,
            versions,
            lambda: static_properties(
                structure, model.calculator(), self.request.static, self.tell, self.request.born
            ),
        )

    def expansion(self) -> ExpansionPart:
        """Run molecular dynamics at zero pressure."""
        structure, settings = self.request.structure, self.request.expansion
        if "expansion" not in self.request.parts or structure is None:
            return ExpansionPart(status="not asked")
        profile = self.request.profile
        chosen = {
            **asdict(settings),
            "mobile_ion": profile.mobile_ion,
            "min_distance_fraction": profile.min_distance_fraction,
            "structure": hash_structure(structure),
        }
        atoms = bare_atoms(structure)
        return self._part(
            ExpansionPart,
            chosen,
            installed(["ionloop", "ase", "numpy"]),
            lambda: run_expansion(atoms, self.request.model, profile, settings, self.folder,
                                  self.tell),
        )  # fmt: skip

    def cost(self) -> CostPart:
        """Time steps."""
        structure, reference = self.request.structure, self.request.reference
        if "cost" not in self.request.parts or structure is None:
            return CostPart(status="not asked")
        models = {"model": self.request.model} | ({"reference": reference} if reference else {})
        settings = {
            **asdict(self.request.cost),
            **machine(),
            "threads": thread_cores(),
            "structure": hash_structure(structure),
            "reference": reference.facts.sha256 if reference else None,
            "reference_versions": reference.facts.versions if reference else None,
        }
        atoms = bare_atoms(structure)
        return self._part(
            CostPart,
            settings,
            installed(["ionloop", "ase", "numpy"]),
            lambda: measure_scaling(atoms, models, self.request.cost, self.tell),
        )

    def diffusion(self) -> DiffusionPart:
        """Run molecular dynamics."""
        structure, settings = self.request.structure, self.request.dynamics
        if "diffusion" not in self.request.parts or structure is None:
            return DiffusionPart(status="not asked")
        profile = self.request.profile
        charge = profile.formal_charges[profile.mobile_ion]
        chosen = {
            **asdict(settings),
            "mobile_ion": profile.mobile_ion,
            "charge": charge,
            "temperatures": profile.transport_temperatures,
            "structure": hash_structure(structure),
        }
        atoms = bare_atoms(structure)
        return self._part(
            DiffusionPart,
            chosen,
            installed(["ionloop", "ase", "numpy"]),
            lambda: run_dynamics(atoms, self.request.model, profile, settings, self.folder,
                                 self.tell),
        )  # fmt: skip

    def stability(self) -> StabilityPart:
        """Run hot and long."""
        structure, settings = self.request.structure, self.request.stability
        if "stability" not in self.request.parts or structure is None:
            return StabilityPart(status="not asked")
        profile = self.request.profile
        chosen = {
            **asdict(settings),
            "mobile_ion": profile.mobile_ion,
            "min_distance_fraction": profile.min_distance_fraction,
            "temperatures": profile.transport_temperatures,
            "structure": hash_structure(structure),
        }
        atoms = bare_atoms(structure)
        return self._part(
            StabilityPart,
            chosen,
            installed(["ionloop", "ase", "numpy"]),
            lambda: run_stability(atoms, self.request.model, profile, settings, self.folder,
                                  self.tell),
        )  # fmt: skip

    def _part(
        self,
        kind: type[P],
        settings: dict[str, Any],
        versions: dict[str, str],
        compute: Callable[[], Document],
    ) -> P:
        """Read a part from the folder, or compute it and keep it if it's done."""
        name = kind.__name__.removesuffix("Part").lower()
        settings = json.loads(json.dumps(settings))  # as it is read back
        model = self.request.model.facts
        parts = [model.sha256, model.versions, settings, versions]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
        path = None if self.folder is None else self.folder / f"{name}-{key}.json"
        if path is not None and path.exists():
            self.tell(f"{name}: done before, in {path}")
            return kind.model_validate_json(path.read_text())
        begin = time.perf_counter()
        common = {"settings": settings, "versions": versions, "key": key}
        try:
            found = kind(status="done", result=compute(), **common)  # type: ignore[call-arg]
        except (IonloopError, RuntimeError, ValueError, ArithmeticError, LookupError) as error:
            # Calculators and libraries raise what they like; the other parts are still wanted.
            logger.warning("%s failed", name, exc_info=not isinstance(error, IonloopError))
            return kind(status="missing", reason=f"{type(error).__name__}: {error}", **common)
        found = found.model_copy(update={"wall_s": time.perf_counter() - begin})
        if path is not None:
            with whole(path) as scratch:
                scratch.write_text(found.model_dump_json(indent=1))
        return found
