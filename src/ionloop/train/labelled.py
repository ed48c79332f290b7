"""Labels out of a file, as training takes them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ionloop.errors import TrainingError
from ionloop.frame import Origin
from ionloop.label.schema import Label
from ionloop.reference.importers.reading import Reading
from ionloop.reference.importers.xyz import read_extxyz
from ionloop.train.dataset import Sample

logger = logging.getLogger(__name__)

#: Frames of a file that names no groups belong to so many blocks, consecutive ones together.
BLOCKS = 20


def read_labels(paths: Sequence[Path]) -> list[Sample]:
    """Read labelled frames as training holds them; else as :func:`read_whole_labels`."""
    return [Sample.of(label) for label in _labels(paths)]


def read_whole_labels(paths: Sequence[Path]) -> list[Label]:
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
    return list(_labels(paths))


def ungrouped(labels: Sequence[Label]) -> str | None:
    """Say how frames of files that name no group were grouped; None if all have one.

    A bootstrap over blocks takes their errors for independent, which those of one trajectory are
    only if it forgets itself within a block: where it remembers a whole block, an interval of
    90 % holds the truth in 6 of 10 cases.
    """
    blocks = Counter(
        x.frame.group for x in labels if x.frame.group.startswith(_block_prefix(Path(x.directory)))
    )
    if not blocks:
        return None
    return (
        f"{blocks.total()} of {len(labels)} frames without group: treated as {len(blocks)} blocks "
        f"of consecutive frames, at most {max(blocks.values())} each, as if each block were a run "
        "of its own: intervals are too narrow where a run remembers longer than that; give "
        "group=… in the extxyz"
    )


def _block_prefix(path: Path) -> str:
    return f"{path.name} block "


def _labels(paths: Sequence[Path]) -> Iterator[Label]:
    for path in paths:
        reading = read_extxyz(path)
        for i in range(len(reading.steps)):
            yield _label(reading, i)


def _label(reading: Reading, i: int) -> Label:
    """Take a frame of a file for a label; nobody judges it."""
    block = f"{_block_prefix(reading.path)}{i * BLOCKS // len(reading.steps)}"
    frame = reading.frame(i, Origin.AIMD, block)
    point = reading.point(i, str(reading.steps[i].own.get("settings_hash", "")))
    if point.energy is None or point.forces is None:
        msg = (
            f"{reading.path}: frame {i}: expected energy and forces (REF_energy, REF_forces, or "
            "ASE's energy and forces), got not both; leave it out"
        )
        raise TrainingError(msg)
    return Label(
        frame=frame,
        frame_hash=frame.frame_hash,
        energy=point.energy,
        forces=point.forces,
        stress=point.stress,
        settings_hash=point.settings_hash,
        engine=point.engine,
        wall_s=point.wall_s,
        directory=point.directory,
    )


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
