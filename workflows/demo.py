"""Run a ready campaign on this machine, from nothing to the report.

    python workflows/demo.py                          Li3OCl, Buckingham teacher
    python workflows/demo.py --teacher chgnet --structure my.cif
    python workflows/demo.py --reference cp2k         Li3OCl, real DFT

A campaign that was stopped goes on with ``ionloop resume``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
