"""FireWorks on a laptop as on a cluster: load, submit, run and resume campaigns.

The names below are imported when they are first asked for, so that ``ionloop doctor`` runs
where FireWorks isn't installed and says so.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ionloop.errors import EngineError

if TYPE_CHECKING:
    from ionloop.engine.flows import campaign_id_of, load_flow, parse_parameters, submit
    from ionloop.engine.local.launcher import prepare, resume, run_local

__all__ = [
    "campaign_id_of",
    "load_flow",
    "parse_parameters",
    "prepare",
    "resume",
    "run_local",
    "submit",
]

_LOCAL = frozenset({"prepare", "resume", "run_local"})


def __getattr__(name: str) -> object:
    """Import one of the engine's functions (PEP 562).

    Raises
    ------
    EngineError
        If FireWorks isn't installed.
    """
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    module = f"ionloop.engine.{'local.launcher' if name in _LOCAL else 'flows'}"
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "fireworks":
            raise
        msg = (
            "expected FireWorks, which runs campaigns, got none; "
            'pip install "ionloop[run]" (torch first)'
        )
        raise EngineError(msg) from error
