"""The documentation builds without a warning, fetches nothing, and its formulas are MathML."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def build(config: Path, site: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", site, "-f", config]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site) -> None:
    loaded = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="?(?:https?:)?//')
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    assert [str(page) for page in pages if loaded.search(page.read_text())] == []


def test_formulas_are_mathml(site) -> None:
    evaluation = (site / "theory/evaluation.html").read_text()
    assert evaluation.count("<math") > 5
    assert "$" not in re.sub(r"<(script|style|code).*?</\1>", "", evaluation, flags=re.DOTALL)


def test_a_broken_link_fails_the_build(tmp_path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# Home\n\n[gone](gone.md)\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text("site_name: x\n")
    done = build(config, tmp_path / "site")
    assert done.returncode != 0
    assert "gone.md" in done.stderr


def test_every_environment_variable_in_the_docs_exists() -> None:
    text = "".join(page.read_text() for page in [*(ROOT / "docs").rglob("*.md")])
    known = "".join(
        file.read_text() for file in [*(ROOT / "src").rglob("*.py"), ROOT / "docker-compose.yml"]
    )
    fields = set(
        re.findall(r"^    (\w+): ", (ROOT / "src/ionloop/settings.py").read_text(), re.MULTILINE)
    )
    used = set(re.findall(r"IONLOOP_[A-Z0-9_]+", text))
    missing = {n for n in used if n[8:].lower() not in fields and n not in known}
    assert missing == set()


def test_the_readme_flow_builds(tmp_path, monkeypatch) -> None:
    from jobflow import Flow
    from pymatgen.core import Lattice, Structure

    source = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    sites = ["Li", "Li", "Li", "O", "Cl"]
    where = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]]
    Structure(Lattice.cubic(3.9), sites, where).to_file(str(tmp_path / "Li3OCl.cif"))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(source, "README.md", "exec"), names)
    assert isinstance(names["build"](), Flow)


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
