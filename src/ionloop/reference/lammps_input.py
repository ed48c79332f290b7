"""Any pair style of LAMMPS, from a short file: elements with charges, and commands."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ionloop.document import Document
from ionloop.errors import ReferenceSetupError
from ionloop.reference.buckingham import load_lammps

if TYPE_CHECKING:
    from ase.calculators.lammpslib import LAMMPSlib

#: Commands that say how atoms interact; others, as those that read or run files, are refused.
ALLOWED = (
    "pair_style", "pair_coeff", "pair_modify", "kspace_style", "kspace_modify", "dielectric",
    "neighbor", "neigh_modify",
)  # fmt: skip


class LammpsInput(Document):
    """A potential as LAMMPS takes it, in metal units."""

    species: dict[str, float] = Field(
        min_length=1,
        description="Charge of each element, e, in the order of LAMMPS' types; all 0 for none.",
    )
    commands: list[str] = Field(min_length=1, description="pair_style, pair_coeff and the like.")
    files: list[str] = Field(
        default=[], description="Files that the commands name, beside this input."
    )

    def check(self, path: Path) -> None:
        """Refuse other commands than interactions, and files that aren't there.

        Raises
        ------
        ReferenceSetupError
            If a command isn't allowed, or a file is missing or not named by any command.
        """
        for command in self.commands:
            if not command.split() or command.split()[0] not in ALLOWED:
                msg = f"{path}: expected commands {', '.join(ALLOWED)}, got {command!r}"
                raise ReferenceSetupError(msg)
        words = {word for command in self.commands for word in command.split()}
        for name in self.files:
            if not (path.parent / name).is_file():
                msg = f"{path}: expected the file {name} beside it, found none"
                raise ReferenceSetupError(msg)
            if name not in words:
                msg = f"{path}: expected {name} of `files` in a command, found it in none"
                raise ReferenceSetupError(msg)

    def sha256(self, path: Path) -> str:
        """Hash the input and the content of its files, whatever folder they are in."""
        digest = hashlib.sha256(json.dumps(self.model_dump(), sort_keys=False).encode())
        for name in self.files:
            digest.update(hashlib.sha256((path.parent / name).read_bytes()).digest())
        return digest.hexdigest()


def read_lammps_input(content: dict[str, Any], path: Path) -> LammpsInput:
    """Check what a file says.

    Parameters
    ----------
    content
        Its dictionary.
    path
        Where it stands; files are looked for beside it.

    Raises
    ------
    ReferenceSetupError
        If it asks for what isn't allowed or isn't there.
    """
    found = LammpsInput.model_validate(content)
    found.check(path)
    return found


def calculator(found: LammpsInput, folder: Path) -> LAMMPSlib:
    """Return an ASE calculator: eV, eV/Å, eV/Å³; ``folder`` has the files."""
    load_lammps()
    from ase.calculators.lammpslib import LAMMPSlib

    names = {name: _quoted(str((folder / name).resolve())) for name in found.files}
    commands = [" ".join(names.get(w, w) for w in command.split()) for command in found.commands]
    types = {symbol: i for i, symbol in enumerate(found.species, start=1)}
    charged = any(found.species.values())
    charges = [f"set type {types[s]} charge {q!r}" for s, q in found.species.items()]
    style = "charge" if charged else "atomic"
    return LAMMPSlib(
        lmpcmds=[*commands, *charges] if charged else commands,
        atom_types=types,
        # Before each run: LAMMPSlib re-types atoms that have changed, but not their charges.
        amendments=charges if charged else [],
        lammps_header=["units metal", f"atom_style {style}", "atom_modify map array sort 0 0"],
        keep_alive=True,
        log_file=None,
    )


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path
