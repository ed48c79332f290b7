"""How VASP 6 refuses an input: a box on standard output, and no result."""

from __future__ import annotations

import sys
from typing import NoReturn

_WIDTH = 77


def refuse(*lines: str) -> NoReturn:
    """Write VASP's box around these lines, and end."""
    rule = " " + "-" * _WIDTH
    body = ["", *lines, "", "  ---->  I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!! <----", ""]
    boxed = [f"|     {line:{_WIDTH - 5}s}|" for line in body]
    sys.stdout.write("\n".join([rule, *boxed, rule]) + "\n")
    sys.stdout.flush()
    raise SystemExit(1)


def refuse_tag(tag: str, code: int = 5, found: int | None = None) -> NoReturn:
    """Refuse a tag of the INCAR that can't be read, in VASP's words."""
    count = "" if found is None else f" Found N= {found:4d} data."
    refuse(
        f"Error reading item {tag} from file INCAR.", f"Error code was IERR= {code} ... .{count}"
    )
