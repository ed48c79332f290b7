"""Whoever computes energies and forces, by name: MACE files, force fields, LAMMPS, any function."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import yaml
from ase.calculators.calculator import Calculator, CalculatorSetupError

from ionloop.errors import EvaluationError, ReferenceSetupError
from ionloop.evaluate.scorecard_schema import ModelFacts
from ionloop.reference import lammps_input
from ionloop.reference.base import hash_settings
from ionloop.reference.potentials import (
    FUNCTION,
    NEP_SUFFIX,
    NepTeacher,
    import_function,
    teacher_by_name,
)
from ionloop.reference.teachers import TEACHERS
from ionloop.train import mace
from ionloop.train.model_files import describe_model
from ionloop.versions import installed

Precision = Literal["float32", "float64"]

_INPUTS = (".yaml", ".yml", ".json")
#: Name of CP2K with its default settings.
CP2K = "cp2k"
CP2K_FUNCTION = "ionloop.reference.cp2k.calculator:Cp2kCalculator"


@dataclass(frozen=True)
class Model:
    """A calculator that can be made as often as needed, and what is known of it.

    Parameters
    ----------
    names
        What it was asked for by: the same names make it in another process.
    facts
        Name, kind, hash and versions.
    make
        Makes an ASE calculator of a precision; only MACE heeds it.
    """

    names: tuple[str, ...]
    facts: ModelFacts
    make: Callable[[Precision], Calculator]

    def calculator(self, precision: Precision = "float64") -> Calculator:
        """Make a calculator.

        Raises
        ------
        EvaluationError
            If it can't be made.
        """
        try:
            found = self.make(precision)
        except (CalculatorSetupError, TypeError) as error:
            msg = f"{self.facts.name}: expected an ASE calculator, got {error}"
            raise EvaluationError(msg) from error
        if not hasattr(found, "get_potential_energy"):
            msg = f"{self.facts.name}: expected an ASE calculator, got {type(found).__name__}"
            raise EvaluationError(msg)
        return found


def resolve_model(names: Sequence[str]) -> Model:
    """Find a model.

    Parameters
    ----------
    names
        Files of MACE models that make one committee, all ending in ``.model``; or one of:
        ``module:function`` that returns an ASE calculator, a teacher of
        :data:`ionloop.reference.teachers.TEACHERS`, ``cp2k`` of a neutral cell with its default
        settings, a NEP potential (``.txt``), a YAML or JSON file of
        :class:`~ionloop.reference.lammps_input.LammpsInput`.

    Raises
    ------
    EvaluationError
        If it is none of these.
    ReferenceSetupError
        If a LAMMPS input or a NEP file can't be used.
    TrainingError
        If a MACE file is missing.
    """
    if names and all(Path(name).suffix == ".model" for name in names):
        return _mace(names)
    if len(names) == 1:
        (name,) = names
        if name in TEACHERS:
            return _teacher(name)
        if name == CP2K:
            return _cp2k()
        if Path(name).suffix in _INPUTS:
            return _lammps(Path(name))
        if Path(name).suffix == NEP_SUFFIX:
            return _nep(name)
        if FUNCTION.fullmatch(name):
            return _function(name)
    msg = (
        "expected MACE models (FILE.model, several are a committee), module:function, a NEP "
        "potential (.txt), a LAMMPS input (.yaml, .json), or one of "
        f"{sorted([*TEACHERS, CP2K])}, got {' '.join(names) or 'nothing'}"
    )
    raise EvaluationError(msg)


def _mace(names: Sequence[str]) -> Model:
    files = [describe_model(Path(name)) for name in names]
    together = hashlib.sha256("".join(f.sha256 for f in files).encode()).hexdigest()
    paths = [Path(name).resolve() for name in names]
    facts = ModelFacts(
        name=Path(names[0]).stem if len(names) == 1 else f"committee of {len(names)}",
        kind="mace",
        sha256=files[0].sha256 if len(files) == 1 else together,
        hashed="the model files",
        files=[f.path for f in files],
        file_hashes=[f.sha256 for f in files],
        versions=installed(["mace-torch", "torch", "ase"]),
    )
    return Model(tuple(map(str, paths)), facts, lambda p: mace.committee_calculator(paths, dtype=p))


def _teacher(name: str) -> Model:
    teacher = teacher_by_name(name)
    text = json.dumps(teacher.settings, sort_keys=True, default=str)
    facts = ModelFacts(
        name=name,
        kind="force field",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        hashed=f"its settings ({hash_settings(teacher.settings)})",
        versions=installed(["ase", "lammps" if name == "buckingham" else name]),
    )
    return Model((name,), facts, lambda _: teacher.calculator())


def _cp2k() -> Model:
    """Return CP2K by its function, since what makes its input may not be installed."""
    found = _function(CP2K_FUNCTION)
    versions = installed(["ionloop", "ase", "atomate2"])
    facts = found.facts.model_copy(update={"name": CP2K, "kind": "dft", "versions": versions})
    return replace(found, names=(CP2K,), facts=facts)


def _lammps(path: Path) -> Model:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        msg = f"{path}: expected a LAMMPS input as YAML or JSON, got {type(error).__name__}"
        raise EvaluationError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path}: expected a LAMMPS input with species and commands, got {content!r:.60}"
        raise EvaluationError(msg)
    found = lammps_input.read_lammps_input(content, path)
    path = path.resolve()
    facts = ModelFacts(
        name=path.stem,
        kind="lammps",
        sha256=found.sha256(path),
        hashed="the input and the files that it names",
        files=[str(path), *(str(path.parent / name) for name in found.files)],
        versions=installed(["lammps", "ase"]),
    )
    return Model((str(path),), facts, lambda _: lammps_input.calculator(found, path.parent))


def _nep(name: str) -> Model:
    teacher = NepTeacher(model_file=name)
    facts = ModelFacts(
        name=Path(name).stem,
        kind="force field",
        sha256=teacher.settings["sha256"],
        hashed="the model file",
        files=[teacher.model_file],
        versions=installed(["calorine", "ase"]),
    )
    return Model((teacher.model_file,), facts, lambda _: teacher.calculator())


def _function(name: str) -> Model:
    try:
        function, source = import_function(name)
    except ReferenceSetupError as error:
        raise EvaluationError(str(error)) from error
    digest = hashlib.sha256(name.encode())
    if source:
        digest.update(source.read_bytes())
    facts = ModelFacts(
        name=name,
        kind="function",
        sha256=digest.hexdigest(),
        hashed="the function's name and module file; not what that imports or reads",
        files=[str(source)] if source else [],
        versions=installed([name.partition(":")[0].partition(".")[0], "ase"]),
    )
    return Model((name,), facts, lambda _: function())
