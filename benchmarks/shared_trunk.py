r"""Several sets of readouts on the frozen trunk of one MACE model.

A readout reads an atom's features :math:`h_i`, which the trunk makes of its surroundings. With
the trunk frozen, what a head answers needs no more than features and slopes of training frames,

.. math:: E = E_0 + \sum_i e(h_i), \qquad
          F_r = -\sum_{if} \frac{\partial e}{\partial h_{if}} \frac{\partial h_{if}}{\partial r}

so both are made once (:func:`freeze`), and heads are fitted to energies and forces in seconds.

:func:`train_heads`
    A multi-head committee: each head starts from weights of its own, and minimises MACE's loss
    on bootstrap weights of its own. The readouts' hidden layer is trained too.
:func:`draw_heads`
    A last-layer ensemble: weights of the last linear layers w from the posterior of a linear
    regression on energies and forces (Bigi, Chong, Ceriotti and Grasselli, Mach. Learn.: Sci.
    Technol. 5, 045018 (2024)), centred, so that their mean is the model. Kellner and Ceriotti
    (Mach. Learn.: Sci. Technol. 5, 035006 (2024)) train such an ensemble together with its
    trunk, which isn't done here.

In MD (:class:`HeadsDriver`) K heads cost one forward pass of the trunk and K backward passes:
each head's forces are the gradient of its own energy, and :func:`check_forces` holds them to
finite differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ionloop.explore.driver import CommitteeDriver, stack
from ionloop.train import mace
from ionloop.train.dataset import bootstrap_weights
from ionloop.train.last_layer import RIDGE
from ionloop.train.schema import Hyperparameters

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

#: One set of readouts, one of each kind that the model has.
Head = list[Any]
#: Frames whose slopes are made at once.
CHUNK = 8
#: Adam on all frames at once; the rate falls to a hundredth.
STEPS, RATE = 600, 0.05


class HeadsDriver(CommitteeDriver):
    """Energies and forces of heads on the trunk of the first model; ``results`` as a committee's.

    Parameters
    ----------
    calculator
        Its first model gives the trunk.
    heads
        Sets of readouts; none takes the model's own.
    n_atoms
        Atoms of one replica; None takes all as one.
    """

    def __init__(
        self,
        calculator: MACECalculator,
        heads: Sequence[Head] = (),
        n_atoms: int | None = None,
    ) -> None:
        super().__init__(calculator, members=[0], n_atoms=n_atoms)
        self.model = self.models[0]
        self.scale = float(self.model.scale_shift.scale)
        self.heads = list(heads) or [list(self.model.readouts)]

    def trunk(self, atoms: Atoms) -> tuple[Any, list[Any], dict[str, Any]]:
        """Return energies [r] less the readouts' part, features of each readout, and the graph."""
        graph = self._last = self._graph(atoms)
        features: list[Any] = []
        hooks = [
            readout.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
            for readout in self.model.readouts
        ]
        try:
            energy = self.model(graph, training=False, compute_force=False)["energy"]
        finally:
            for hook in hooks:
                hook.remove()
        own = self.scale * atomic(list(self.model.readouts), features)
        return energy - _by_replica(own, graph), features, graph

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy", "forces"),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate the trunk once, and go back once a head."""
        Calculator.calculate(self, atoms, properties, system_changes)
        rest, features, graph = self.trunk(Atoms(self.atoms))
        energies = [
            rest + _by_replica(self.scale * atomic(head, features), graph) for head in self.heads
        ]
        forces = [
            -torch.autograd.grad(e.sum(), graph["positions"], retain_graph=k + 1 < len(energies))[0]
            for k, e in enumerate(energies)
        ]
        each = torch.stack(energies).detach().cpu().numpy().astype(float)
        members = torch.stack(forces).cpu().numpy().astype(float)
        self.results = {
            "energy": float(each.mean(axis=0).sum()),
            "replica_energies": each.mean(axis=0),
            "forces": members.mean(axis=0),
            "energy_comm": each,
            "forces_comm": members,
        }


def atomic(head: Head, features: Sequence[Any]) -> Any:  # noqa: ANN401
    """Return what a head reads from each atom, shape [n], before the model's scale."""
    return sum(readout(h)[:, 0] for readout, h in zip(head, features, strict=True))


def _by_replica(values: Any, graph: dict[str, Any]) -> Any:  # noqa: ANN401
    found = values.new_zeros(len(graph["ptr"]) - 1)
    return found.index_add(0, graph["batch"], values)


@dataclass(frozen=True)
class Frozen:
    """Training frames of one composition and cell, as heads see them.

    Parameters
    ----------
    features
        Of each readout, shape [m, n, f].
    slopes
        Of each readout's features by all coordinates, shape [m, n, f, 3n], 1/Å.
    energies, forces
        What is left for a head: labels less what the model has beside its readouts, [m] eV and
        [m, 3n] eV/Å.
    scale
        The model's scale, eV.
    """

    features: list[Any]
    slopes: list[Any]
    energies: Any
    forces: Any
    scale: float

    def answer(self, head: Head) -> tuple[Any, Any]:
        """Return a head's energies [m] and forces [m, 3n]."""
        m, n = self.features[0].shape[:2]
        inputs = [h.reshape(m * n, -1).requires_grad_() for h in self.features]
        values = self.scale * atomic(head, inputs)
        by_feature = torch.autograd.grad(values.sum(), inputs, create_graph=True)
        forces = -sum(
            torch.einsum("mif,mifr->mr", g.reshape(m, n, -1), s)
            for g, s in zip(by_feature, self.slopes, strict=True)
        )
        return values.reshape(m, n).sum(dim=1), forces

    def loss(self, head: Head, weights: Any, hyper: Hyperparameters) -> Any:  # noqa: ANN401
        """MACE's weighted loss of energies an atom and forces; ``weights`` [m]."""
        energies, forces = self.answer(head)
        an_atom = (energies - self.energies) / self.features[0].shape[1]
        by_energy = (weights * an_atom**2).mean()
        by_forces = (weights[:, None] * (forces - self.forces) ** 2).mean()
        return hyper.energy_weight * by_energy + hyper.forces_weight * by_forces


def freeze(calculator: MACECalculator, frames: Sequence[Atoms]) -> Frozen:
    """Evaluate features and slopes of labelled frames by the first model.

    The slopes are made coordinate by coordinate (3n products of Jacobian and vector, each by a
    backward pass through the backward pass), since an atom has more features than that.
    """
    driver = HeadsDriver(calculator, n_atoms=len(frames[0]))
    parts = [_slopes(driver, frames[k : k + CHUNK]) for k in range(0, len(frames), CHUNK)]
    features, slopes, rest, rest_forces = (list(x) for x in zip(*parts, strict=True))
    like = rest[0]
    energies = torch.as_tensor([f.info["REF_energy"] for f in frames]) - torch.cat(rest).double()
    forces = np.array([f.arrays["REF_forces"].ravel() for f in frames])
    return Frozen(
        features=[torch.cat(x) for x in zip(*features, strict=True)],
        slopes=[torch.cat(x) for x in zip(*slopes, strict=True)],
        energies=energies.to(like.dtype),
        forces=torch.as_tensor(forces).to(like.dtype) - torch.cat(rest_forces),
        scale=driver.scale,
    )


def _slopes(driver: HeadsDriver, frames: Sequence[Atoms]) -> tuple[list[Any], list[Any], Any, Any]:
    """Features, slopes, and the rest's energies and forces of frames of one cell."""
    m, n = len(frames), len(frames[0])
    rest, features, graph = driver.trunk(stack(frames))
    at = graph["positions"]
    rest_forces = torch.autograd.grad(rest.sum(), at, retain_graph=True)[0]
    probes = [torch.zeros_like(h, requires_grad=True) for h in features]
    back = torch.autograd.grad(features, at, probes, create_graph=True)[0]
    columns = []
    for r in range(3 * n):
        unit = torch.zeros_like(at).reshape(m, 3 * n)
        unit[:, r] = 1
        columns.append(torch.autograd.grad(back, probes, unit.reshape(-1, 3), retain_graph=True))
    return (
        [h.detach().reshape(m, n, -1) for h in features],
        [torch.stack(c, dim=-1).reshape(m, n, -1, 3 * n) for c in zip(*columns, strict=True)],
        rest.detach(),
        -rest_forces.reshape(m, 3 * n),
    )


def train_heads(
    calculator: MACECalculator,
    frozen: Frozen,
    count: int,
    hyper: Hyperparameters,
    seed: int,
) -> list[Head]:
    """Train heads from weights of their own on bootstrap weights of their own."""
    found = []
    for k in range(count):
        rng = np.random.default_rng([seed, k, 23])
        head = copied(calculator)
        weights = [p for readout in head for p in readout.parameters()]
        for p in weights:
            p.data = torch.as_tensor(rng.normal(size=p.shape), dtype=p.dtype)
            p.requires_grad_()
        labels = bootstrap_weights(len(frozen.energies), rng)
        drawn = torch.as_tensor(np.array(labels), dtype=weights[0].dtype)
        adam = torch.optim.Adam(weights, lr=RATE)
        falling = torch.optim.lr_scheduler.ExponentialLR(adam, 0.01 ** (1 / STEPS))
        for _ in range(STEPS):
            adam.zero_grad()
            frozen.loss(head, drawn, hyper).backward()
            adam.step()
            falling.step()
        found.append(_still(head))
    return found


def draw_heads(
    calculator: MACECalculator,
    frozen: Frozen,
    count: int,
    hyper: Hyperparameters,
    seed: int,
) -> list[Head]:
    """Draw the last linear layers' weights from their posterior, centred on the model."""
    head = copied(calculator)
    middle = last_weights(head)
    loss = float(frozen.loss(head, torch.ones_like(frozen.energies), hyper).detach())
    columns = [frozen.answer(with_weights(head, row)) for row in np.eye(len(middle))]
    by_energy, by_force = (
        np.stack([np.asarray(c.detach(), float).ravel() for c in side], axis=1)
        for side in zip(*columns, strict=True)
    )
    # Of the loss's mean squares, in units in which a force component weighs one.
    an_atom = by_energy / frozen.features[0].shape[1]
    ratio = hyper.energy_weight / hyper.forces_weight * len(by_force) / len(by_energy)
    values, vectors = np.linalg.eigh(by_force.T @ by_force + ratio * an_atom.T @ an_atom)
    noise = loss / hyper.forces_weight
    root = vectors * np.sqrt(noise / (np.maximum(values, 0) + RIDGE * values.mean()))
    drawn = np.random.default_rng([seed, 29]).normal(size=(count, len(middle))) @ root.T
    return [_still(with_weights(head, middle + d)) for d in drawn - drawn.mean(axis=0)]


def copied(calculator: MACECalculator) -> Head:
    """Copy the readouts of the first model."""
    return [deepcopy(readout) for readout in calculator.models[0].readouts]


def _last(head: Head) -> list[Any]:
    return [getattr(r, "linear_2", None) or r.linear for r in head]


def last_weights(head: Head) -> np.ndarray:
    """Weights of the last linear layers, one after the other."""
    return np.concatenate([np.asarray(layer.weight.detach(), float) for layer in _last(head)])


def with_weights(head: Head, weights: np.ndarray) -> Head:
    """Copy a head and set its last linear layers."""
    made = deepcopy(head)
    begin = 0
    for layer in _last(made):
        end = begin + layer.weight.numel()
        layer.weight.data = torch.as_tensor(weights[begin:end], dtype=layer.weight.dtype)
        begin = end
    return made


def _still(head: Head) -> Head:
    return [readout.requires_grad_(requires_grad=False) for readout in head]


def check_forces(models: Sequence[Any], heads: Sequence[Head], atoms: Atoms) -> float:
    """Return how far heads' forces are from differences of their energies, as a share.

    Three coordinates of different atoms, double precision, central differences of 0.001 Å; the
    share is of a force component's RMS over the frame.

    Raises
    ------
    ArithmeticError
        If it is above 0.001.
    """
    before = torch.get_default_dtype()
    try:
        calculator = mace.committee_calculator(models[:1], dtype="float64")
        double = [[deepcopy(readout).double() for readout in head] for head in heads]
        driver = HeadsDriver(calculator, double)
        forces = _evaluated(driver, atoms)["forces_comm"]
        worst = 0.0
        for atom, axis in ((0, 0), (len(atoms) // 2, 1), (len(atoms) - 1, 2)):
            sides = []
            for step in (-1e-3, 1e-3):
                moved = atoms.copy()
                moved.positions[atom, axis] += step
                sides.append(_evaluated(driver, moved)["energy_comm"][:, 0])
            wrong = -(sides[1] - sides[0]) / 2e-3 - forces[:, atom, axis]
            size = np.sqrt((forces**2).mean(axis=(1, 2)))
            worst = max(worst, float(np.abs(wrong / size).max()))
    finally:
        torch.set_default_dtype(before)
    if worst > 1e-3:
        msg = f"expected forces to be slopes of energies to 0.001, got {worst:.2g}"
        raise ArithmeticError(msg)
    return worst


def _evaluated(driver: HeadsDriver, atoms: Atoms) -> dict[str, Any]:
    copy = atoms.copy()
    copy.calc = driver
    copy.get_forces()
    return dict(driver.results)
