"""MACE models as an ASE calculator without the cost around them.

``mace.calculators.MACECalculator`` rebuilds neighbour list, graph, batch and virial at
every call; for small cells on a CPU that is a third of a step. This calculator keeps the
neighbour list inside a skin, and asks the models for energy and forces alone. The numbers
are the same to the last digit of single precision (tested); stress and descriptors stay
with ``MACECalculator``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from matscipy.neighbours import neighbour_list

if TYPE_CHECKING:
    from mace.calculators import MACECalculator


class CommitteeDriver(Calculator):
    """Energy and forces of one or several MACE models, their mean, and each one's.

    ``results`` holds ``energy`` (eV) and ``forces`` [n, 3] (eV/Å) of the mean, and
    ``energy_comm`` [k], ``forces_comm`` [k, n, 3].

    Parameters
    ----------
    calculator
        Holds the loaded models.
    members
        Which of them; None takes all.
    skin
        The neighbour list is made anew when an atom has moved half of this, Å.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(
        self,
        calculator: MACECalculator,
        members: Sequence[int] | None = None,
        skin: float = 0.6,
    ) -> None:
        super().__init__()
        chosen = range(len(calculator.models)) if members is None else members
        self.models = [calculator.models[k] for k in chosen]
        self.r_max = float(calculator.r_max)
        self.skin = skin
        self.numbers = [int(z) for z in self.models[0].atomic_numbers]
        self._listed: Atoms | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy", "forces"),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate all models on one graph."""
        super().calculate(atoms, properties, system_changes)
        graph = self._graph(Atoms(self.atoms))
        outputs = [m(graph, training=False, compute_stress=False) for m in self.models]
        energies = np.array([out["energy"].item() for out in outputs])
        forces = np.array([out["forces"].detach().cpu().numpy() for out in outputs], float)
        self.results = {
            "energy": float(energies.mean()),
            "forces": forces.mean(axis=0),
            "energy_comm": energies,
            "forces_comm": forces,
        }

    def _graph(self, atoms: Atoms) -> dict[str, Any]:
        """Make MACE's input: what changes with positions, and what doesn't."""
        import torch

        if self._stale(atoms):
            self._list_neighbours(atoms)
        i, j, shifts, cells = self._neighbours
        vectors = atoms.positions[j] - atoms.positions[i] + shifts
        near = (vectors**2).sum(axis=1) < self.r_max**2
        dtype = self._constant["node_attrs"].dtype
        device = self._constant["node_attrs"].device
        edges = np.stack([i[near], j[near]])
        return {
            **self._constant,
            "positions": torch.tensor(atoms.positions, dtype=dtype, device=device),
            "edge_index": torch.tensor(edges, dtype=torch.long, device=device),
            "shifts": torch.tensor(shifts[near], dtype=dtype, device=device),
            "unit_shifts": torch.tensor(cells[near], dtype=dtype, device=device),
        }

    def _stale(self, atoms: Atoms) -> bool:
        """Whether the neighbour list no longer holds all pairs within the cut-off."""
        old = self._listed
        if old is None or len(old) != len(atoms) or (old.numbers != atoms.numbers).any():
            return True
        if np.abs(old.cell.array - atoms.cell.array).max() > 0:
            return True
        moved = ((atoms.positions - old.positions) ** 2).sum(axis=1).max()
        return bool(moved > (self.skin / 2) ** 2)

    def _list_neighbours(self, atoms: Atoms) -> None:
        import torch

        parameter = next(self.models[0].parameters())
        dtype, device = parameter.dtype, parameter.device
        i, j, cells = neighbour_list("ijS", atoms, self.r_max + self.skin)
        self._neighbours = (i, j, cells @ atoms.cell.array, cells)
        kinds = np.array(self.numbers)[None, :] == atoms.numbers[:, None]
        n = len(atoms)
        self._constant = {
            "node_attrs": torch.tensor(kinds, dtype=dtype, device=device),
            "batch": torch.zeros(n, dtype=torch.long, device=device),
            "ptr": torch.tensor([0, n], device=device),
            "cell": torch.tensor(atoms.cell.array, dtype=dtype, device=device),
            "head": torch.tensor([0], device=device),
        }
        self._listed = atoms.copy()
