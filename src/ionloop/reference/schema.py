"""Documents of reference calculations; also used for the committee's own runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from pydantic import Field

from ionloop.document import Blob, Document


class SinglePoint(Document):
    """One static calculation, admitted or not."""

    energy: float | None = Field(None, description="Total energy, eV.")
    forces: list[list[float]] | None = Field(None, description="Forces, [n, 3], eV/Å.")
    stress: list[list[float]] | None = Field(None, description="Stress, ASE's sign, eV/Å³.")
    converged: bool = Field(description="Whether the electronic problem converged.")
    failure: str | None = Field(None, description="Why there is no result, in words.")
    n_scf: int | None = Field(None, description="Electronic steps; None for a force field.")
    scf_limit: int | None = Field(None, description="Electronic steps that were allowed.")
    symbols: list[str] | None = Field(
        None,
        description="Species in the output, in the frame's order; None if it can't say.",
    )
    charge: float | None = Field(None, description="Net charge as the output has it, e.")
    magnetization: float | None = Field(
        None, description="Magnetization of the cell, Bohr magnetons; None if not spin-polarized."
    )
    settings_hash: str = Field(description="Hash of the settings that computed it.")
    settings: dict | None = Field(
        None, description="What was hashed, so that a refused label can say which key differs."
    )
    engine: str = Field(description="Program and version.")
    wall_s: float = Field(description="Wall time, s.")
    cores: int | None = Field(
        None, description="Processes times threads that computed it; None if it isn't known."
    )
    directory: str = Field(description="Folder of the calculation.")


class Trajectory(Document):
    """A molecular-dynamics run at one temperature; positions are unwrapped."""

    symbols: list[str] = Field(description="Chemical symbols, one an atom.")
    cell: list[list[float]] = Field(description="Lattice vectors as rows, [3, 3], Å.")
    charge: int = Field(0, description="Net charge of the cell, e.")
    temperature: float = Field(description="Set temperature, K.")
    frame_interval_fs: float = Field(description="Time between stored frames, fs.")
    n_frames: int = Field(description="Stored frames.")
    n_steps: int = Field(description="Steps that were run.")
    stopped: str | None = Field(
        None, description="Why it ended early; None if it didn't, or if that isn't known."
    )
    group: str = Field(description="Name of the trajectory: the unit that splits never cut.")
    engine: str = Field(description="Who computed the forces.")
    wall_s: float = Field(description="Wall time, s.")
    blob: Blob = Field(description="Arrays: positions [n_frames, n, 3], Å, float32.")

    @classmethod
    def from_positions(
        cls,
        positions: np.ndarray,
        atoms: Atoms,
        **fields: object,
    ) -> Trajectory:
        """Pack unwrapped positions, shape [n_frames, n, 3], Å, of ``atoms``' kind."""
        return cls(
            symbols=list(atoms.get_chemical_symbols()),
            cell=np.asarray(atoms.cell.array, float).tolist(),
            n_frames=len(positions),
            blob=Blob.from_arrays("trajectory.npz", positions=positions.astype(np.float32)),
            **fields,  # type: ignore[arg-type]
        )

    @property
    def positions(self) -> np.ndarray:
        """Unwrapped positions, shape [n_frames, n, 3], Å."""
        return self.blob.to_arrays()["positions"].astype(float)


class Band(Document):
    """A nudged elastic band of one hop, end points included."""

    symbols: list[str] = Field(description="Chemical symbols, one an atom.")
    cell: list[list[float]] = Field(description="Lattice vectors as rows, [3, 3], Å.")
    charge: int = Field(0, description="Net charge of the cell, e.")
    images: list[list[list[float]]] = Field(description="Positions, [n_images, n, 3], Å.")
    energies: list[float] = Field(description="Energy of each image, eV.")
    ion: int = Field(description="Index of the hopping ion.")
    path_class: str = Field(description="Symmetry class of the hop.")
    hop_distance: float = Field(description="Distance between the two sites, Å.")
    converged: bool = Field(description="Whether the forces fell below fmax.")
    fmax: float = Field(description="Largest band force allowed, eV/Å.")
    n_force_calls: int = Field(description="Force evaluations.")
    engine: str = Field(description="Who computed the forces.")
    settings_hash: str = Field(description="Hash of the settings or of the model.")
    wall_s: float = Field(description="Wall time, s.")

    @property
    def barrier(self) -> float:
        """Highest image above the first, eV."""
        return float(max(self.energies) - self.energies[0])

    def progress(self) -> np.ndarray:
        """Arc length along the band in all coordinates, 0 to 1, shape [n_images]."""
        images = np.array(self.images)
        inverse = np.linalg.inv(np.array(self.cell))
        steps = np.diff(images, axis=0) @ inverse
        steps = (steps - np.rint(steps)) @ np.array(self.cell)
        lengths = np.sqrt((steps**2).sum(axis=(1, 2)))
        total = np.concatenate([[0.0], np.cumsum(lengths)])
        return total / total[-1]

    def to_atoms(self) -> Sequence[Atoms]:
        """Return the images as ASE atoms."""
        return [Atoms(self.symbols, positions=x, cell=self.cell, pbc=True) for x in self.images]
