"""The settings that a calculation ran with, so that an edited input has another hash.

What CP2K's output says that it took is compared with what was asked; the input in the
folder line by line with the one that the settings make; and so are the files of basis
sets and potentials.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ase.calculators.cp2k import InputSection, parse_input
from pymatgen.core import Lattice, Structure

from ionloop.errors import ImportLabelsError, ReferenceSetupError
from ionloop.reference.cp2k.facts import electrons_of, stated_settings
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.settings import Cp2kSettings, describe, entries, kind_of
from ionloop.reference.folders import read_text
from ionloop.reference.importers.cp2k_input import (
    FREE,
    Cp2kInputFile,
    input_table,
    input_words,
)

#: How far a number may be from the asked one, by the digits printed: relative, absolute.
PRINTED = {
    "cutoff": (0.0, 0.101),
    "rel_cutoff": (0.0, 0.101),
    "eps_default": (0.051, 0.0),
    "eps_scf": (0.0051, 0.0),
}


def found_settings(output: str, inputs: Path, dft: Cp2kSettings) -> dict[str, Any]:
    """Return the settings of a calculation, as :func:`describe` writes them.

    They are the asked ones where nothing says otherwise. A line of the input that isn't
    the asked one stands under ``input`` by its path, whether or not a setting names it.

    Parameters
    ----------
    output
        Text that CP2K wrote.
    inputs
        Folder with ``cp2k.inp``, ``BASIS`` and ``POTENTIAL`` as they are after the run.
    dft
        What was asked.
    """
    settings = describe(dft)
    taken = stated_settings(output)
    kinds = taken.pop("kinds", {})
    for key, value in taken.items():
        if not _is_asked(key, value, settings[key], output):
            settings[key] = value
    if read_text(inputs / "cp2k.inp") is None:
        return {**settings, "input": "none"} if output else settings
    try:
        settings["kinds"] |= _other_kinds(kinds, dft)
        given = Cp2kInputFile.read(inputs / "cp2k.inp").root
        settings |= _other_inputs(given, inputs, dft, settings["data_files"])
    except (ImportLabelsError, ReferenceSetupError, IndexError) as error:
        settings["input"] = f"not understood: {error}"
    return settings


def _is_asked(key: str, value: Any, asked: Any, output: str) -> bool:  # noqa: ANN401
    """Say whether what CP2K took is what was asked, to the digits that it prints."""
    if key == "multiplicity" and asked is None:
        # The lowest; smearing leaves the moment free and the number without meaning.
        return value == 1 + sum(electrons_of(output)) % 2 or "Smear method" in output
    if key == "smearing" and isinstance(value, dict) and asked is not None:
        # The basis set may have fewer orbitals to add.
        same = abs(value["temperature"] - asked["temperature"]) < 0.051
        return same and bool(value["added_mos"] <= asked["added_mos"])
    if key in PRINTED:
        relative, absolute = PRINTED[key]
        return bool(abs(value - asked) <= max(relative * asked, absolute))
    return bool(value == asked)


def _other_kinds(found: dict[str, list[str]], dft: Cp2kSettings) -> dict[str, list[str]]:
    """Return the elements with another basis set or potential than asked.

    A data file gives an entry several names, of which pymatgen writes the first.
    """
    result = {}
    for element, names in found.items():
        kind = kind_of(element, dft)
        files = (kind.basis_file, dft.potential_file)
        asked = (kind.basis, kind.potential)
        if any(
            entries(file).get((element, name)) != entries(file)[element, wanted]
            for file, name, wanted in zip(files, names, asked, strict=True)
        ):
            result[element] = names
    return result


def _other_inputs(
    given: InputSection, inputs: Path, dft: Cp2kSettings, digests: dict[str, str]
) -> dict[str, Any]:
    """Compare the input and its data files with those that the settings make."""
    table = input_table(given)
    symbols = sorted(
        {values.title() for path, values in table.items() if path.endswith("/ELEMENT")}
    )
    asked = IonicSetGenerator(dft=dft).get_input_set(_one_of_each(symbols))
    expected = input_table(parse_input(str(asked.cp2k_input)))
    lines = {
        path: f"{table.get(path, 'nothing')} (asked: {expected.get(path, 'nothing')})"
        for path in sorted(table.keys() | expected.keys())
        if table.get(path) != expected.get(path) and not FREE.match(path)
    }
    changed: dict[str, Any] = {"input": lines} if lines else {}
    for name in ("BASIS", "POTENTIAL"):
        text = read_text(inputs / name) or ""
        if input_words(text) != input_words(str(asked.optional_files[name.lower()]["object"])):
            digests = {**digests, name: hashlib.sha256(text.encode()).hexdigest()}
    return {**changed, "data_files": digests}


def _one_of_each(symbols: list[str]) -> Structure:
    """Return a structure with an atom of each element; the input's geometry is free."""
    places = [[i / max(len(symbols), 1), 0, 0] for i in range(len(symbols))]
    return Structure(Lattice.cubic(10 * max(len(symbols), 1)), symbols, places)
