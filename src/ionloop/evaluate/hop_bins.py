"""Where on a hop a frame lies: the bins of the hop coordinate."""

from __future__ import annotations

#: Half width of the transition-state window about s = 0.5, and of the ends about 0 and 1.
WINDOW = 0.15
NEAR_EQUILIBRIUM = "near equilibrium"
SHOULDER = "shoulder"
SADDLE = "saddle"
HOP_BINS = (NEAR_EQUILIBRIUM, SHOULDER, SADDLE)


def hop_bin(progress: float) -> str:
    """Name the bin of a hop coordinate s, 0 at the old site and 1 at the new one."""
    if abs(progress - 0.5) < WINDOW:
        return SADDLE
    if progress < WINDOW or progress > 1 - WINDOW:
        return NEAR_EQUILIBRIUM
    return SHOULDER
