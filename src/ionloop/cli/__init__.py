"""The command line: thin, since :mod:`ionloop.engine` and :mod:`ionloop.store` do the work."""

from ionloop.cli.commands import app, main
from ionloop.cli.console import run_command
from ionloop.cli.driving import drive, ensure_database, exit_unless_finished, write_campaign_report

__all__ = [
    "app",
    "drive",
    "ensure_database",
    "exit_unless_finished",
    "main",
    "run_command",
    "write_campaign_report",
]
