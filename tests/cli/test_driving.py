"""Driving a campaign leaves the process as it was: launch scripts call it too."""

from __future__ import annotations

import os
import signal
import time

import pytest
import typer

from ionloop import engine
from ionloop.cli.driving import drive


def test_sigterm_stops_a_run_and_means_what_it_meant_afterwards(monkeypatch, capsys):
    def asked_to_end(*args: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    monkeypatch.setattr(engine, "resume", asked_to_end)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as end:
        drive("c")
    assert end.value.exit_code == 130
    assert "ionloop resume c" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
