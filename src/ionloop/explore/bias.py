r"""Biases that make rare hops frequent in molecular dynamics: forces on top of the model's.

A biased calculator wraps the one that steers, replicas one after the other, and adds forces to
the mobile ions alone. Nothing of a biased run says how often ions hop; its frames are candidates
for labels, no more.

``results`` are those of the wrapped calculator, but for ``forces`` and ``energy``, which have
the bias. ``replica_energies`` stay the model's own: the guards compare them with the start's, and
an energy that a bias has put in would hide one that the model has lost. ``bias_energies`` [r]
and ``bias_forces`` [n, 3] are the bias by itself, eV and eV/Å.

A bias changes only between stored frames, in :meth:`Biased.follow`, and says all that it
remembers in :meth:`Biased.state`: a run that was killed goes on as the wrapped calculator alone
would, bit for bit where that gives the same bits for the same positions.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ionloop.errors import ExplorationError

#: Spread of the energy that counts as agreement: below it, rounding gives the direction, eV.
SPREAD_FLOOR = 1e-4


class Biased(Calculator):
    """A calculator with a bias on the mobile ions of each replica.

    Parameters
    ----------
    driver
        Who steers: forces of replicas one after the other.
    n_atoms
        Atoms of one replica.
    mobile
        Indices of one replica's mobile ions, shape [m].
    cap
        Largest bias force on an ion, eV/Å.

    Raises
    ------
    ExplorationError
        If there is no mobile ion, or the cap isn't above 0.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, driver: Calculator, n_atoms: int, mobile: np.ndarray, cap: float) -> None:
        super().__init__()
        if len(mobile) == 0 or not 0 < cap < np.inf:
            msg = (
                f"a bias: expected mobile ions and a cap above 0 eV/Å, got {len(mobile)} ions "
                f"and {cap:g}"
            )
            raise ExplorationError(msg)
        self.driver = driver
        self.n_atoms = n_atoms
        self.mobile = np.asarray(mobile, int)
        self.cap = cap
        #: Number of each replica that is in the batch; empty while the bias is off.
        self.alive: list[int] = []
        self._plain: dict[str, Any] = {}

    @abstractmethod
    def bias(self, k: int, positions: np.ndarray, energies: Any, forces: Any) -> Any:  # noqa: ANN401
        """Return one replica's bias energy, eV, and force on its mobile ions, [m, 3], eV/Å.

        Parameters
        ----------
        k
            Number of the replica, as it was before any ended.
        positions
            Shape [n_atoms, 3], Å.
        energies, forces
            Of each model, shapes [members], eV, and [members, n_atoms, 3], eV/Å; None where
            the driver doesn't tell.
        """

    @abstractmethod
    def meet(self, k: int, positions: np.ndarray, step: int) -> None:
        """Look at a replica at a stored frame, and change its bias; before it does nothing."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return all that it remembers, as JSON can write it."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy", "forces"),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate the wrapped calculator, and add the bias."""
        super().calculate(atoms, properties, system_changes)
        self.driver.calculate(self.atoms, ["energy", "forces"], list(system_changes))
        self._plain = dict(self.driver.results)
        self._add()

    def follow(self, frames: Sequence[Atoms], alive: Sequence[int], step: int) -> None:
        """Let each replica's bias look at a stored frame, and change.

        Parameters
        ----------
        frames
            The replicas that run.
        alive
            The number of each, as it was before any ended.
        step
            Steps of the run so far.
        """
        self.alive = list(alive)
        for k, atoms in zip(alive, frames, strict=True):
            self.meet(k, atoms.positions, step)
        if self.atoms is not None and len(self.atoms) == len(alive) * self.n_atoms:
            self._add()  # same positions, another bias: no reason to ask the models again
        else:
            self.reset()

    def _add(self) -> None:
        plain, atoms = self._plain, Atoms(self.atoms)
        energies, forces = np.zeros(max(len(self.alive), 1)), np.zeros_like(plain["forces"])
        for row, k in enumerate(self.alive):
            here = slice(row * self.n_atoms, (row + 1) * self.n_atoms)
            known = (
                plain["energy_comm"][:, row] if "energy_comm" in plain else None,
                plain["forces_comm"][:, here] if "forces_comm" in plain else None,
            )
            energy, force = self.bias(k, atoms.positions[here], *known)
            energies[row] = energy
            forces[here.start + self.mobile] = force
        self.results = {
            **plain,
            "replica_energies": plain.get("replica_energies", np.array([plain["energy"]])),
            "energy": float(plain["energy"] + energies.sum()),
            "forces": plain["forces"] + forces,
            "bias_energies": energies,
            "bias_forces": forces,
        }


def capped(forces: np.ndarray, cap: float) -> np.ndarray:
    """Shorten forces, shape [m, 3], that are longer than a cap; their directions stay."""
    length = np.linalg.norm(forces, axis=1, keepdims=True)
    return forces * (cap / np.maximum(length, cap))


class UncertaintyBias(Biased):
    r"""A bias towards where the members disagree about the energy, on the mobile ions.

    .. math:: V = -\tau \sigma_E, \quad
        F_i = -\frac{\tau}{(K-1)\,\sigma_E} \sum_k (E_k - \bar E)(F_{ik} - \bar F_i), \quad
        \sigma_E^2 = \frac{1}{K-1} \sum_k (E_k - \bar E)^2

    hyperactive learning (van der Oord et al., npj Comput. Mater. 9, 168 (2023)); Kulichenko et
    al. (Nat. Comput. Sci. 3, 230 (2023)) bias by a Gaussian of the same spread. Ours acts on the
    mobile ions alone, so the force is minus the gradient of V by their positions, and only
    where no ion reaches the cap. It rises from 0 to full strength along ``ramp_steps``.

    Every member is evaluated at every step: K times a plain step's cost, less what members share.

    Parameters
    ----------
    driver, n_atoms, mobile, cap
        As for :class:`Biased`; the driver tells ``energy_comm`` and ``forces_comm``.
    tau
        Strength, dimensionless.
    ramp_steps
        Steps until full strength.
    """

    def __init__(
        self,
        driver: Calculator,
        n_atoms: int,
        mobile: np.ndarray,
        cap: float,
        *,
        tau: float,
        ramp_steps: int = 0,
    ) -> None:
        super().__init__(driver, n_atoms, mobile, cap)
        self.tau, self.ramp_steps = tau, ramp_steps
        self._share = 0.0

    def bias(self, k: int, positions: np.ndarray, energies: Any, forces: Any) -> Any:  # noqa: ANN401, ARG002
        """Return the bias of one replica; see :meth:`Biased.bias`.

        Raises
        ------
        ExplorationError
            If the driver doesn't tell what two members or more say.
        """
        if energies is None or forces is None or len(energies) < 2:
            n = 0 if energies is None else len(energies)
            msg = f"uncertainty bias: expected a driver of 2 members or more, got {n}"
            raise ExplorationError(msg)
        excess = energies - energies.mean()
        spread = float(np.sqrt((excess**2).sum() / (len(energies) - 1)))
        ions = forces[:, self.mobile]
        slope = np.tensordot(excess, ions - ions.mean(axis=0), 1) / (len(energies) - 1)
        tau = self._share * self.tau
        return -tau * spread, capped(-tau * slope / max(spread, SPREAD_FLOOR), self.cap)

    def meet(self, k: int, positions: np.ndarray, step: int) -> None:  # noqa: ARG002
        """Raise the bias along the ramp."""
        self._share = min(1.0, step / self.ramp_steps) if self.ramp_steps else 1.0

    def state(self) -> dict[str, Any]:
        """Return who runs, and the share of the strength."""
        return {"alive": self.alive, "share": self._share}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self.alive, self._share = list(state["alive"]), float(state["share"])
        self.reset()
