"""Python's own hook: a process that a test starts notes what it asks too."""

import os

if "IONLOOP_ASKED_BOOK" in os.environ:
    from asked_places import Watch

    Watch()
