"""Does torch compute on the device that the settings name? Asked in a process of its own."""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from typing import Any

from ionloop.engine.doctor.check import COMPUTE, Found, Probe, Scene, ask

#: Importing torch and MACE takes 5 s, on a busy machine or a network's file system a minute.
LIMIT_S = 90.0


@lru_cache
def _asked(device: str) -> dict[str, Any] | str:
    """Ask once what torch can do; return its words where it can't be asked."""
    status, said = ask([sys.executable, "-m", "ionloop.explore.probe", device], LIMIT_S)
    lines = said.strip().splitlines() or ["it said nothing"]
    if status:
        return f"exit status {status}: {lines[-1]}"
    # MACE's and e3nn's warnings stand among the lines.
    return dict(json.loads(next(line for line in lines if line.startswith("{"))))


def device(scene: Scene) -> Found:
    """Whether torch computes on the device, in both precisions, and MACE can be imported."""
    name = scene.settings.device
    found = _asked(name)
    if isinstance(found, str):
        return Found(ok=False, detail=found, mend="reinstall torch and 'ionloop[run]'")
    if name.startswith("cuda") and not found["cuda"]:
        mend = "load CUDA's driver, go to a GPU node, install torch for CUDA, or IONLOOP_DEVICE=cpu"
        return Found(ok=False, detail=f"{name}: torch {found['torch']} sees no GPU", mend=mend)
    for dtype in ("float32", "float64"):
        if found[dtype]:
            detail = f"{name} doesn't compute in {dtype}: {found[dtype]}"
            return Found(ok=False, detail=detail, mend="another device: IONLOOP_DEVICE")
    if found["mace"]:
        detail = f"mace can't be imported: {found['mace']}"
        return Found(ok=False, detail=detail, mend="reinstall 'ionloop[run]'")
    names = ", ".join(found["devices"])
    if name.startswith("cpu") and found["cuda"]:
        detail = f"{name}, though torch {found['torch']} sees a GPU: {names}"
        mend = "IONLOOP_DEVICE=cuda, unless training and MD are to leave it alone"
        return Found(ok=False, detail=detail, mend=mend, minor=True)
    which = f" ({names})" if name.startswith("cuda") else ""
    return Found(ok=True, detail=f"{name}{which}: torch {found['torch']}, float32 and float64")


PROBES = [Probe("device", device, COMPUTE, limit_s=LIMIT_S + 5)]
