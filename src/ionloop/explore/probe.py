"""Does torch compute here? ``python -m ionloop.explore.probe cpu`` says so as JSON.

``ionloop doctor`` runs it in a process of its own: importing torch and MACE takes seconds.
"""

from __future__ import annotations

import json
import sys
from typing import Any

#: The sum of all elements of M @ M for M = [[0, 1, 2], [3, 4, 5], [6, 7, 8]].
SQUARE_SUM = 486.0


def probe(device: str) -> dict[str, Any]:
    """Compute something small in both precisions, and import MACE.

    Parameters
    ----------
    device
        torch's name of the device, as ``cpu`` or ``cuda``.
    """
    import torch

    found: dict[str, Any] = {
        "torch": torch.__version__,
        "cuda": bool(torch.cuda.is_available()),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
    for name in ("float32", "float64"):
        found[name] = _computes(device, getattr(torch, name))
    try:
        import mace.calculators  # noqa: F401
    except Exception as error:  # noqa: BLE001 - it is what is asked for
        found["mace"] = f"{type(error).__name__}: {error}"
    else:
        found["mace"] = ""
    return found


def _computes(device: str, dtype: Any) -> str:  # noqa: ANN401 - torch is imported above
    """Return why a device doesn't compute in a precision; nothing if it does."""
    import torch

    try:
        matrix = torch.arange(9, dtype=dtype, device=device).reshape(3, 3)
        total = float((matrix @ matrix).sum())
    except (RuntimeError, AssertionError, TypeError) as error:
        return " ".join(str(error).split())
    return "" if total == SQUARE_SUM else f"expected {SQUARE_SUM}, got {total}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe(sys.argv[1])) + "\n")
