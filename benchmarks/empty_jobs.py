"""A job that does nothing: what is left is overhead. It needs no more than jobflow."""

from __future__ import annotations

from jobflow import job


@job
def empty(*_: object) -> None:
    """Do nothing."""
