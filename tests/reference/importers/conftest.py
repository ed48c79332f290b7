"""Files of VASP's form, and real ones where they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def vasp_files():
    """The tests' writer of VASP's files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tests" / "support"))
        import vasp_files

        yield vasp_files


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """Find a real file below IONLOOP_TEST_DATA, or skip the test."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("IONLOOP_TEST_DATA", ROOT.parent / "shared" / "data"))
        if not (folder / name).exists():
            pytest.skip(f"no {name} in {folder}; IONLOOP_TEST_DATA names the folder of real data")
        return folder / name

    return find
