"""Labels as extended xyz, with all their digits: ASE's own writer keeps eight decimals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ionloop.frame import HOP_KEYS, Frame
from ionloop.label.schema import Label


def write_extxyz(labels: Iterable[Label], path: Path) -> int:
    """Write labels as ``REF_energy`` (eV), ``REF_forces`` (eV/Å), ``REF_stress`` (eV/Å³).

    Numbers have all their digits. The file appears when it's whole.

    Returns
    -------
    int
        Frames written.
    """
    partial = path.with_name(f"{path.name}.partial")
    n = 0
    with partial.open("w", encoding="utf-8") as stream:
        for label in labels:
            stream.write(_block(label))
            n += 1
    partial.replace(path)
    return n


def _block(label: Label) -> str:
    """Return a frame's lines."""
    frame = label.frame
    properties = "species:S:1:pos:R:3:REF_forces:R:3"
    info = [
        f'Lattice="{_numbers(np.array(frame.cell).ravel())}"',
        f"Properties={properties}",
        f"REF_energy={label.energy!r}",
    ]
    if label.stress is not None:  # nine numbers by rows, as MACE takes them
        info.append(f'REF_stress="{_numbers(np.array(label.stress).ravel())}"')
    info += [f"{key}={_quoted(value)}" for key, value in _facts(label, frame).items()]
    if frame.charge:  # the background's energy is no property of the material
        info.append("config_energy_weight=0.0 config_stress_weight=0.0")
    rows = [
        f"{symbol} {_numbers(position)} {_numbers(force)}"
        for symbol, position, force in zip(
            frame.symbols, frame.positions, label.forces or [], strict=True
        )
    ]
    return "\n".join([str(len(rows)), " ".join([*info, 'pbc="T T T"']), *rows]) + "\n"


def _facts(label: Label, frame: Frame) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "settings_hash": label.settings_hash,
        "engine": label.engine,
        "group": frame.group,
        "origin": frame.origin.value,
        "charge": frame.charge,
        "temperature": frame.temperature,
    }
    if frame.hop is not None:
        facts |= {f"hop_{key}": getattr(frame.hop, key) for key in HOP_KEYS}
    return {key: value for key, value in facts.items() if value is not None}


def _numbers(values: Iterable[float]) -> str:
    return " ".join(repr(float(value)) for value in values)


def _quoted(value: object) -> str:
    """Quote text, so that a hash of digits stays text and a path keeps its blanks."""
    if not isinstance(value, str):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
