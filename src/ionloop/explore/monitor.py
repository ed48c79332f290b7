"""Watches a run at every stored frame by the last layer of the model that steers it.

The features of the step that was just made are there already, so that the watch costs next to
nothing (``benchmarks/bench_steering.py``). The committee is asked where it matters.
"""

from __future__ import annotations

import numpy as np
from ase.calculators.calculator import Calculator

from ionloop.explore.driver import CommitteeDriver
from ionloop.train.last_layer import (
    FeatureProbe,
    LastLayer,
    read_last_layer,
    spread_over_neighbours,
)
from ionloop.train.schema import LastLayers


class Monitor:
    """Calibrated uncertainty of the frame that a driver evaluated last.

    Parameters
    ----------
    driver
        Steers, by one model.
    layer, scale
        What that model learned of, and the factor to eV/Å.
    mobile
        Indices of the mobile ions in one replica, shape [m].
    """

    def __init__(
        self,
        driver: CommitteeDriver,
        layer: LastLayer,
        scale: float,
        mobile: np.ndarray,
    ) -> None:
        self.driver, self.layer, self.scale = driver, layer, scale
        self.mobile = mobile
        self.probe = FeatureProbe(driver.models[0])

    def __call__(self) -> np.ndarray:
        """Return each replica's largest uncertainty over the mobile ions, shape [r], eV/Å."""
        pairs, lengths = self.driver.pairs()
        values = self.layer.per_atom(self.driver.evaluated, self.probe.features)
        values = spread_over_neighbours(values, pairs, lengths, self.driver.r_max)
        n = self.driver.n_atoms or len(values)
        by_replica = values.reshape(-1, n)[:, self.mobile]
        return np.asarray(self.scale * by_replica.max(axis=1))


def watch_of(
    driver: Calculator, found: LastLayers | None, member: int, mobile: np.ndarray
) -> Monitor | None:
    """Make the watch of runs that a member alone steers; None without last layers, or biased."""
    if found is None or not found.scales or not isinstance(driver, CommitteeDriver):
        return None
    layer, scale = read_last_layer(found, member), found.scales[member]
    return Monitor(driver, layer, scale, mobile)
