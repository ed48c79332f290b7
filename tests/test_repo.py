"""The repository's own files: scripts, requirements, versions."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def test_shell_scripts_parse() -> None:
    scripts = [".ci/run", "docker/make-secrets.sh", "docker/mongo/entrypoint.sh"]
    for script in [*scripts, "tools/nightly/run.sh"]:
        subprocess.run(["bash", "-n", ROOT / script], check=True)


def declared() -> set[str]:
    """Return the names of all requirements of pyproject.toml, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    lines = [line for group in groups for line in group]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_every_package_that_the_source_imports_is_declared() -> None:
    owners = metadata.packages_distributions()
    known = declared() | {"torch", "chgnet"}  # installed apart: see the Makefile
    missing = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            ours = sys.stdlib_module_names | {"ionloop"}
            for top in {name.split(".")[0] for name in names} - ours:
                # Of an extra that isn't installed the name is all that is known.
                providers = {canonicalize_name(name) for name in owners.get(top, [top])}
                if not providers & known:
                    missing.add((str(file.relative_to(ROOT)), top))
    assert not missing


def test_constraints_pin_every_declared_package() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert declared() <= set(pinned)
    assert pinned["torch"] == "2.13.0"


def test_every_pin_runs_on_debian_12_python() -> None:
    wanted = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if found.version.split("+")[0] == version:
            wanted[name] = found.metadata["Requires-Python"] or ""
    assert len(wanted) > 100
    refused = {n: spec for n, spec in wanted.items() if not SpecifierSet(spec).contains("3.11.2")}
    assert refused == {}


def test_one_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
