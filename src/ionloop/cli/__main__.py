"""Entry point of ``python -m ionloop.cli``."""

from ionloop.cli.commands import main

main()
