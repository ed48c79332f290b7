"""Labels out of a file, as training takes them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from ionloop.errors import TrainingError
from ionloop.frame import Origin, frame_hash
from ionloop.reference.importers.reading import Step
from ionloop.reference.importers.xyz import read_extxyz
from ionloop.train.dataset import Sample, Tags

logger = logging.getLogger(__name__)

#: Frames of a file that names no groups belong to so many blocks, consecutive ones together.
BLOCKS = 20


def read_labels(paths: Sequence[Path]) -> list[Sample]:
    """Read labelled frames of extended xyz files, gzipped or not.

    A frame's ``group`` (its trajectory) is kept whole by every split. Where a file names none,
    consecutive frames make one of 20 blocks, since neighbours in time would tell on each other.

    Raises
    ------
    ImportLabelsError
        If a file can't be read.
    TrainingError
        If a frame has no energy or forces.
    """
    return [
        _sample(step, path, i, len(reading.steps))
        for path in paths
        for reading in [read_extxyz(path)]
        for i, step in enumerate(reading.steps)
    ]


def _sample(step: Step, path: Path, i: int, n: int) -> Sample:
    if step.energy is None or step.forces is None:
        msg = (
            f"{path}: frame {i}: expected energy and forces (REF_energy, REF_forces, or ASE's "
            "energy and forces), got not both; leave it out"
        )
        raise TrainingError(msg)
    own = step.own
    block = f"{path.name} block {i * BLOCKS // n}"
    tags = Tags(Origin(own.get("origin", Origin.AIMD)), 0, str(own.get("group", block)))
    atoms = Atoms(step.symbols, positions=step.positions, cell=step.cell, pbc=True)
    charge = int(own.get("charge", 0))
    atoms.info |= {
        "REF_energy": step.energy,
        "config_weight": 1.0,
        "config_energy_weight": 0.0 if charge else 1.0,
    }
    atoms.arrays["REF_forces"] = np.asarray(step.forces, float)
    if step.stress is not None:
        atoms.info |= {
            "REF_stress": np.asarray(step.stress, float),
            "config_stress_weight": 0.0 if charge else 1.0,
        }
    digest = frame_hash(step.symbols, step.positions, step.cell, charge)
    return Sample(frame=tags, frame_hash=digest, readmitted=None, atoms=atoms)


def fit_e0s(samples: Sequence[Sample]) -> dict[str, float]:
    """Fit energies of isolated atoms to labels, the least in norm where many fit alike, eV.

    Labels of one stoichiometry fix their sum alone: such energies serve cells of that
    stoichiometry. Real isolated-atom energies of the same DFT are better.
    """
    symbols = sorted({s for x in samples for s in x.atoms.get_chemical_symbols()})
    counts = np.array([[x.atoms.symbols.count(s) for s in symbols] for x in samples], float)
    energies = np.array([x.atoms.info["REF_energy"] for x in samples])
    found, _, rank, _ = np.linalg.lstsq(counts, energies, rcond=1e-8)
    if rank < len(symbols):
        logger.warning(
            "%d stoichiometries can't tell the energies of %d elements apart: the model serves "
            "these stoichiometries alone; state Profile.e0s",
            rank,
            len(symbols),
        )
    return dict(zip(symbols, found.tolist(), strict=True))


def mobile_ions(atoms: Atoms, mobile_ion: str) -> np.ndarray:
    """Return the indices of the mobile ions, shape [m]."""
    return np.flatnonzero(np.array(atoms.get_chemical_symbols()) == mobile_ion)
