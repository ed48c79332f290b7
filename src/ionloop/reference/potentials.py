"""Teachers of a user's own: a NEP file, or any function that returns an ASE calculator."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator
from pymatgen.core import Structure

from ionloop.errors import ReferenceSetupError
from ionloop.reference.teachers import TEACHERS, Teacher
from ionloop.versions import installed

#: ``module:function``.
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
#: How a file of a NEP potential ends.
NEP_SUFFIX = ".txt"
#: First word of a NEP file that has energies: no dipoles, no polarizabilities.
_NEP_HEADER = re.compile(r"nep\d+(_(zbl|vdw|charge\d))*")
#: Edge of an isolated atom's box, Å: beyond the cut-off of any potential of short range.
ATOM_BOX = 30.0
#: What a label consists of.
NEEDED = {"energy", "forces", "stress"}


def import_function(name: str, folder: str | Path = "") -> tuple[Callable[[], Any], Path | None]:
    """Import ``module:function``.

    Parameters
    ----------
    name
        Module and function.
    folder
        Searched for the module before installed packages; empty: the current folder.

    Returns
    -------
    tuple
        The function, and the file of its module; None where it has none.

    Raises
    ------
    ReferenceSetupError
        If there is no such module or function.
    """
    module_name, _, function_name = name.partition(":")
    here = str(Path(folder).resolve())  # a console script doesn't look there by itself
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = _module(module_name, Path(here))
        function = getattr(module, function_name)
    except (ImportError, AttributeError) as error:
        msg = (
            f"{name}: expected a function that returns an ASE calculator, in a module of "
            f"{here} or of an installed package, got {error}"
        )
        raise ReferenceSetupError(msg) from error
    if not callable(function):
        msg = f"{name}: expected a function, got {type(function).__name__}"
        raise ReferenceSetupError(msg)
    file = Path(getattr(module, "__file__", None) or "")
    return function, file if file.is_file() else None


def _module(name: str, folder: Path) -> ModuleType:
    """Import a module; one of the folder under a name with the hash of its content.

    One process serves campaigns of several folders, and a file may change while it runs: by its
    bare name Python would give the module that came first.
    """
    file = folder.joinpath(*name.split(".")).with_suffix(".py")
    if not file.is_file():
        return importlib.import_module(name)
    content = file.read_bytes()
    unique = f"{name}_{hashlib.sha256(str(file).encode() + content).hexdigest()[:16]}"
    if unique not in sys.modules:
        spec = importlib.util.spec_from_file_location(unique, file)
        if spec is None or spec.loader is None:
            msg = f"{file} can't be loaded"
            raise ImportError(msg)
        module = importlib.util.module_from_spec(spec)
        sys.modules[unique] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[unique]
            raise
    return sys.modules[unique]


class PotentialTeacher(Teacher):
    """What both have in common."""

    def check(self, structure: Structure) -> None:
        """Check the elements, and that a calculator can be made that gives stress, too."""
        super().check(structure)
        lacking = NEEDED - set(self.calculator().implemented_properties)
        if lacking:
            msg = (
                f"teacher {self.name}: expected a calculator of {sorted(NEEDED)}, got one without "
                f"{sorted(lacking)}; labels need them all"
            )
            raise ReferenceSetupError(msg)

    def isolated_atom_energy(self, symbol: str) -> float:
        """Energy of one atom in a box of 30 Å, as the potential sees it."""
        atoms = Atoms([symbol], cell=[ATOM_BOX] * 3, pbc=True)
        atoms.calc = self.calculator()
        return float(atoms.get_potential_energy())


@dataclass
class NepTeacher(PotentialTeacher):
    """A neuroevolution potential (NEP) by calorine's ``CPUNEP``.

    Fan et al., J. Chem. Phys. 157, 114801 (2022).

    Parameters
    ----------
    model_file
        File of GPUMD, such as ``nep.txt``; the same on every worker.
    """

    name: str = "nep"
    model_file: str = "nep.txt"

    def __post_init__(self) -> None:
        """Workers run in folders of their own."""
        self.model_file = str(Path(self.model_file).resolve())

    @property
    def settings(self) -> dict[str, Any]:
        """The file's hash, wherever it is, and calorine's version."""
        version = installed(["calorine"]).get("calorine", "missing")
        return {"sha256": self._file[0], "calorine": version}

    @property
    def engine(self) -> str:
        """Calorine and its version."""
        return f"calorine {installed(['calorine']).get('calorine', 'missing')}"

    @property
    def elements(self) -> set[str]:
        """The elements that the file's first line names."""
        return set(self._file[1])

    @cached_property
    def _file(self) -> tuple[str, list[str]]:
        """Hash and elements of the file."""
        try:
            content = Path(self.model_file).read_bytes()
        except OSError as error:
            msg = (
                f"expected a NEP potential {self.model_file}, got {type(error).__name__}; give "
                "the path of a nep.txt that every worker sees"
            )
            raise ReferenceSetupError(msg) from error
        words = content.partition(b"\n")[0].decode(errors="replace").split()
        if len(words) < 3 or not _NEP_HEADER.fullmatch(words[0]) or words[1] != str(len(words) - 2):
            msg = (
                f"{self.model_file}: expected a NEP potential, whose first line is such as "
                f"'nep4 2 Li O', got {' '.join(words)!r:.60}"
            )
            raise ReferenceSetupError(msg)
        return hashlib.sha256(content).hexdigest(), words[2:]

    def calculator(self) -> Calculator:
        """Calorine's ``CPUNEP``, which runs on one core."""
        _ = self._file
        try:
            from calorine.calculators import CPUNEP
        except ImportError as error:
            msg = f"expected calorine for a NEP teacher, got {error}; pip install 'ionloop[nep]'"
            raise ReferenceSetupError(msg) from error
        return CPUNEP(self.model_file)


@dataclass
class FunctionTeacher(PotentialTeacher):
    """Any ASE calculator: a function without parameters returns a new one at each call.

    Parameters
    ----------
    function
        ``module:function``.
    folder
        Searched for the module before installed packages, on workers, too; empty: the current
        folder, when the teacher is made.
    """

    name: str = "function"
    function: str = ""
    folder: str = ""

    def __post_init__(self) -> None:
        """Workers run in folders of their own."""
        self.folder = str(Path(self.folder).resolve())

    @property
    def settings(self) -> dict[str, Any]:
        """Name, hash of the module's file and version of its package: not what that reads."""
        _, source = import_function(self.function, self.folder)
        package = self.function.partition(".")[0].partition(":")[0]
        return {
            "function": self.function,
            "sha256": source and hashlib.sha256(source.read_bytes()).hexdigest(),
            "versions": installed([package, "ase"]),
        }

    @property
    def engine(self) -> str:
        """The function's name."""
        return self.function

    def calculator(self) -> Calculator:
        """Call the function."""
        found = import_function(self.function, self.folder)[0]()
        if not hasattr(found, "get_potential_energy"):
            msg = f"{self.function}: expected an ASE calculator, got {type(found).__name__}"
            raise ReferenceSetupError(msg)
        return found


def teacher_by_name(name: str) -> Teacher:
    """Return a teacher.

    Parameters
    ----------
    name
        One of :data:`ionloop.reference.teachers.TEACHERS`, with its default settings; a file of a
        NEP potential (``.txt``); or ``module:function``.

    Raises
    ------
    ReferenceSetupError
        If there is no such teacher.
    """
    if name in TEACHERS:
        return TEACHERS[name]()
    if Path(name).suffix == NEP_SUFFIX:
        return NepTeacher(model_file=name)
    if FUNCTION.fullmatch(name):
        return FunctionTeacher(function=name)
    msg = (
        f"expected one of the teachers {sorted(TEACHERS)}, a NEP file (.txt) or module:function, "
        f"got {name!r}"
    )
    raise ReferenceSetupError(msg)
