"""MACE models as an ASE calculator without the cost around them.

``mace.calculators.MACECalculator`` rebuilds neighbour list, graph, batch and virial at
every call; for small cells on a CPU that is a third of a step. This calculator keeps the
neighbour lists inside a skin, and asks the models for energy and forces alone. Replicas of
one cell go through the models as one batch, which shares the cost of each small operation.
The numbers are the same to the last digit of single precision (tested); stress and
descriptors stay with ``MACECalculator``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from matscipy.neighbours import neighbour_list

from ionloop.errors import ExplorationError

if TYPE_CHECKING:
    from mace.calculators import MACECalculator


def stack(replicas: Sequence[Atoms]) -> Atoms:
    """Put replicas of one cell one after the other, without their calculators."""
    first = replicas[0]
    together = Atoms(
        np.concatenate([a.numbers for a in replicas]),
        np.concatenate([a.positions for a in replicas]),
        cell=first.cell,
        pbc=first.pbc,
    )
    together.set_masses(np.concatenate([a.get_masses() for a in replicas]))
    together.set_momenta(np.concatenate([a.get_momenta() for a in replicas]))
    return together


class CommitteeDriver(Calculator):
    """Energy and forces of one or several MACE models, their mean, and each one's.

    ``results`` holds ``energy`` (eV, summed over replicas) and ``forces`` [n, 3] (eV/Å) of
    the mean, ``replica_energies`` [r] of the mean by replica, and ``energy_comm`` [k, r],
    ``forces_comm`` [k, n, 3] of each model.

    Parameters
    ----------
    calculator
        Holds the loaded models.
    members
        Which of them; None takes all.
    n_atoms
        Atoms of one replica. Atoms to evaluate are then replicas one after the other, which
        share the cell and don't see each other; None takes them as one.
    skin
        A replica's neighbour list is made anew when an atom has moved half of this, Å.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(
        self,
        calculator: MACECalculator,
        members: Sequence[int] | None = None,
        n_atoms: int | None = None,
        skin: float = 0.6,
    ) -> None:
        super().__init__()
        chosen = range(len(calculator.models)) if members is None else members
        self.models = [calculator.models[k] for k in chosen]
        self.r_max = float(calculator.r_max)
        self.n_atoms = n_atoms
        self.skin = skin
        self.numbers = [int(z) for z in self.models[0].atomic_numbers]
        self._lists: list[_Neighbours] = []
        self._constant: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._known: Atoms | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy", "forces"),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate all models on one graph.

        Raises
        ------
        ExplorationError
            If the atoms aren't a whole number of replicas.
        """
        super().calculate(atoms, properties, system_changes)
        graph = self._last = self._graph(Atoms(self.atoms))
        outputs = [m(graph, training=False, compute_stress=False) for m in self.models]
        energies = np.array([out["energy"].detach().cpu().numpy() for out in outputs], float)
        forces = np.array([out["forces"].detach().cpu().numpy() for out in outputs], float)
        self.results = {
            "energy": float(energies.mean(axis=0).sum()),
            "replica_energies": energies.mean(axis=0),
            "forces": forces.mean(axis=0),
            "energy_comm": energies,
            "forces_comm": forces,
        }

    @property
    def evaluated(self) -> np.ndarray:
        """Atomic numbers of the atoms that were evaluated last, shape [n]."""
        return np.asarray(self._known.numbers if self._known else [])

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs within the cut-off of the last evaluation, [2, p], and lengths, Å."""
        graph = self._last
        i, j = graph["edge_index"]
        vectors = graph["positions"][j] - graph["positions"][i] + graph["shifts"]
        lengths = vectors.detach().norm(dim=1).cpu().numpy().astype(float)
        return graph["edge_index"].cpu().numpy(), lengths

    def _graph(self, atoms: Atoms) -> dict[str, Any]:
        """Make MACE's input: what changes with positions, and what doesn't."""
        import torch

        if self._others(atoms):
            self._meet(atoms)
        cell = atoms.cell.array
        edges, shifts, cells = [], [], []
        for k, listed in enumerate(self._lists):
            here = slice(k * listed.n_atoms, (k + 1) * listed.n_atoms)
            listed.update(atoms[here], self.r_max, self.skin)
            i, j, offsets = listed.within(atoms.positions[here], cell, self.r_max)
            edges.append(np.stack([i, j]) + here.start)
            shifts.append(offsets @ cell)
            cells.append(offsets)
        dtype = self._constant["node_attrs"].dtype
        device = self._constant["node_attrs"].device
        return {
            **self._constant,
            "positions": torch.tensor(atoms.positions, dtype=dtype, device=device),
            "edge_index": torch.tensor(np.hstack(edges), dtype=torch.long, device=device),
            "shifts": torch.tensor(np.vstack(shifts), dtype=dtype, device=device),
            "unit_shifts": torch.tensor(np.vstack(cells), dtype=dtype, device=device),
        }

    def _others(self, atoms: Atoms) -> bool:
        """Whether these are other atoms, or another cell, than last time."""
        old = self._known
        if old is None or len(old) != len(atoms) or (old.numbers != atoms.numbers).any():
            return True
        return bool(np.abs(old.cell.array - atoms.cell.array).max() > 0)

    def _meet(self, atoms: Atoms) -> None:
        """Make what stays as long as atoms and cell do."""
        import torch

        n = self.n_atoms or len(atoms)
        k, rest = divmod(len(atoms), n)
        if rest:
            msg = f"expected replicas of {n} atoms, got {len(atoms)} atoms; stack whole replicas"
            raise ExplorationError(msg)
        parameter = next(self.models[0].parameters())
        dtype, device = parameter.dtype, parameter.device
        kinds = np.array(self.numbers)[None, :] == atoms.numbers[:, None]
        self._constant = {
            "node_attrs": torch.tensor(kinds, dtype=dtype, device=device),
            "batch": torch.arange(k, device=device).repeat_interleave(n),
            "ptr": torch.arange(k + 1, device=device) * n,
            "cell": torch.tensor(np.tile(atoms.cell.array, (k, 1)), dtype=dtype, device=device),
            "head": torch.zeros(k, dtype=torch.long, device=device),
        }
        self._lists = [_Neighbours(n) for _ in range(k)]
        self._known = atoms.copy()


class _Neighbours:
    """One replica's neighbour list with a skin."""

    def __init__(self, n_atoms: int) -> None:
        self.n_atoms = n_atoms
        self._positions: np.ndarray | None = None

    def update(self, atoms: Atoms, r_max: float, skin: float) -> None:
        """List the neighbours anew if an atom has moved half the skin."""
        old = self._positions
        if old is not None:
            moved = float(((atoms.positions - old) ** 2).sum(axis=1).max())
            if moved <= (skin / 2) ** 2:
                return
        self._i, self._j, self._cells = neighbour_list("ijS", atoms, r_max + skin)
        self._positions = atoms.positions.copy()

    def within(
        self, positions: np.ndarray, cell: np.ndarray, r_max: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return i, j and the cell offset of all pairs within the cut-off."""
        vectors = positions[self._j] - positions[self._i] + self._cells @ cell
        near = (vectors**2).sum(axis=1) < r_max**2
        return self._i[near], self._j[near], self._cells[near]
