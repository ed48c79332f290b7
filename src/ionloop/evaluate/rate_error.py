r"""What a model's energy errors do to a hop rate, from labelled frames alone.

By transition-state theory a rate is a ratio of partition functions, of the path over the
barrier and of the equilibrium basin. With :math:`\Delta V = V_{model} - V_{ref}` on frames that
the *reference* visits, free-energy perturbation (Zwanzig, J. Chem. Phys. 22, 1420 (1954)) gives
the basin's part exactly, and Jensen's inequality brackets that of the path:

.. math::
    -\ln\langle e^{\beta\Delta V}\rangle_{path} - \ln\langle e^{-\beta\Delta V}\rangle_{eq}
    \;\le\; \ln\frac{k_{model}}{k_{ref}} \;\le\;
    \ln\langle e^{-\beta\Delta V}\rangle_{path} - \ln\langle e^{-\beta\Delta V}\rangle_{eq}

To first order it is :math:`-\beta(\langle\Delta V\rangle_{path} - \langle\Delta V\rangle_{eq})`.
A constant error of the energy drops out. Averages over the path are uniform in the hop
coordinate. Few frames of a large :math:`\beta\Delta V` make the exponential averages those of the
most extreme frame: then the bracket is wide, which says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from ionloop.errors import EvaluationError
from ionloop.evaluate.schema import RateError
from ionloop.units import KB_EV_PER_K


def rate_error(
    path: Sequence[float] | np.ndarray,
    progress: Sequence[float] | np.ndarray,
    equilibrium: Sequence[float] | np.ndarray,
    temperature: float,
) -> RateError:
    """Bracket the logarithm of a model's hop rate over the reference's.

    Parameters
    ----------
    path
        Model's less the reference's energy of frames on hops, whole cells, shape [n], eV.
    progress
        Hop coordinate of each, 0 to 1, shape [n].
    equilibrium
        The same difference of frames drawn at random from the reference's runs, shape [m], eV.
    temperature
        Of all these runs, K.

    Raises
    ------
    EvaluationError
        If there is no frame of either kind, numbers differ, or the temperature isn't above 0.
    """
    dv, s, rest = (np.asarray(x, float) for x in (path, progress, equilibrium))
    if not len(dv) or not len(rest) or len(dv) != len(s) or temperature <= 0:
        msg = (
            "expected frames on hops, each with its progress, frames at equilibrium and a "
            f"temperature above 0 K, got {len(dv)}, {len(s)}, {len(rest)} and {temperature:g} K"
        )
        raise EvaluationError(msg)
    beta = 1 / (KB_EV_PER_K * temperature)
    weights = spacing(s)
    basin = -_log_mean(-beta * rest, np.full(len(rest), 1 / len(rest)))
    return RateError(
        temperature=temperature,
        n_path=len(dv),
        n_equilibrium=len(rest),
        low=-_log_mean(beta * dv, weights) + basin,
        high=_log_mean(-beta * dv, weights) + basin,
        first_order=float(-beta * (weights @ dv - rest.mean())),
    )


def spacing(progress: np.ndarray) -> np.ndarray:
    """Share of the hop coordinate that each frame stands for, from 0 to 1; they sum to 1."""
    order = np.argsort(progress, kind="stable")
    s = np.clip(progress[order], 0.0, 1.0)
    edges = np.concatenate([[0.0], (s[1:] + s[:-1]) / 2, [1.0]])
    weights = np.empty(len(s))
    weights[order] = np.diff(edges)
    return weights


def _log_mean(exponents: np.ndarray, weights: np.ndarray) -> float:
    return float(logsumexp(exponents, b=weights))
