from __future__ import annotations

from pathlib import Path

from ionloop.reference.attempts import KEPT, attempts, new_attempt
from ionloop.reference.folders import same_request


def test_a_failed_attempt_is_put_aside_whole(tmp_path: Path) -> None:
    folder = tmp_path / "label"
    new_attempt(folder, {"frame": 1})
    assert attempts(folder) == []
    (folder / "OUTCAR").write_text("bad")
    (folder / "01").mkdir()
    (folder / "01" / "CONTCAR").write_text("x")
    new_attempt(folder, {"frame": 1})
    assert sorted(p.name for p in folder.iterdir()) == ["failed.1", "request.json"]
    assert (folder / "failed.1" / "OUTCAR").read_text() == "bad"
    assert (folder / "failed.1" / "01" / "CONTCAR").exists()
    assert same_request(folder, {"frame": 1})


def test_nothing_is_put_aside_twice(tmp_path: Path) -> None:
    new_attempt(tmp_path, {})
    (tmp_path / "OUTCAR").write_text("bad")
    new_attempt(tmp_path, {})
    new_attempt(tmp_path, {})
    assert [p.name for p in attempts(tmp_path)] == ["failed.1"]


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    for i in range(12):
        new_attempt(tmp_path, {})
        (tmp_path / "OUTCAR").write_text(str(i))
    kept = attempts(tmp_path)
    assert [p.name for p in kept] == ["failed.9", "failed.10", "failed.11"]
    assert len(kept) == KEPT
    assert (kept[-1] / "OUTCAR").read_text() == "10"


def test_another_request_empties_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "label"
    new_attempt(folder, {"frame": 1})
    (folder / "OUTCAR").write_text("of another frame")
    new_attempt(folder, {"frame": 2})
    assert [p.name for p in folder.iterdir()] == ["request.json"]


def test_a_request_that_a_full_disk_cut_off_is_another_one(tmp_path: Path) -> None:
    folder = tmp_path / "label"
    new_attempt(folder, {"frame": 1})
    (folder / "request.json").write_text("")
    assert not same_request(folder, {"frame": 1})
    new_attempt(folder, {"frame": 1})
    assert same_request(folder, {"frame": 1})
