"""A small real committee, not trained."""

from __future__ import annotations

from committee_fixtures import cell, committee, model_paths, one_cell

__all__ = ["cell", "committee", "model_paths", "one_cell"]
