"""The demo's end: whatever became of the campaign, there is a report and a true last line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
FLOW = """
import engine_jobs
from jobflow import Flow

def build(**choices):
    first = engine_jobs.empty()
    failing = engine_jobs.fails_once({flag!r})
    flow = Flow([first, failing], order="linear")
    flow.update_metadata({{"campaign_id": "c"}})
    return flow
"""


@pytest.fixture
def demo(ionloop_db, tmp_path, monkeypatch):
    """The demo, with a flow of two jobs of which the second needs a file."""
    support = str(ROOT / "tests" / "support")
    monkeypatch.syspath_prepend(support)
    monkeypatch.setenv("PYTHONPATH", support)
    spec = importlib.util.spec_from_file_location("demo", ROOT / "workflows" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "quickstart.py").write_text(FLOW.format(flag=str(tmp_path / "flag")))
    monkeypatch.setattr(module, "FLOWS", tmp_path)
    return module.demo


def last_line(said: str) -> tuple[str, Path]:
    line = said.splitlines()[-1]
    return line, Path(line.split(" report=")[1])


def test_a_failed_campaign_is_reported_too(demo, capsys):
    with pytest.raises(typer.Exit) as ended:
        demo()
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    line, report = last_line(said.out)
    assert line.startswith("demo: converged=false generations=0 labels=0 barrier_meV=n/a/n/a ")
    assert "No verdict yet" in report.read_text()
    assert "failed: fails_once" in said.err


def test_a_finished_campaign_ends_well(demo, tmp_path, capsys):
    (tmp_path / "flag").touch()
    demo()
    line, report = last_line(capsys.readouterr().out)
    assert line.startswith("demo: converged=false generations=0 ")
    assert report.exists()
