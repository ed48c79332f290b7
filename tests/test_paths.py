"""Names out of documents, as bad as they can be: none leads out of its folder."""

from __future__ import annotations

import os
import string
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ionloop.cli.driving import write_campaign_report
from ionloop.engine import run_local
from ionloop.engine.launchpad import launchpad
from ionloop.engine.worker import Worker
from ionloop.errors import IonloopError, ReferenceSetupError, UnsafePathError
from ionloop.paths import JOB_MARK, NAME_MAX, below, component, inside, is_below
from ionloop.reference.cp2k.settings import data_file
from ionloop.reference.folders import first_folder
from ionloop.reference.vasp.potcars import potcar
from ionloop.store.connection import database
from ionloop.testing import environment

#: Pieces that paths are broken with.
PIECES = st.sampled_from(
    ["..", ".", "/", "//", "\0", "a", "link", "ring", "~", "\\", "é", "\n", "x" * 300, "$HOME"]
)
BROKEN = st.lists(PIECES, max_size=6).map("".join)
ANY_TEXT = st.text(max_size=300)


@pytest.fixture(scope="module")
def root():
    """A folder with a link that leads out of it, one that stays, and two that form a ring."""
    with TemporaryDirectory() as name:
        folder = Path(name, "root")
        (folder / "kept").mkdir(parents=True)
        (folder / "link").symlink_to("..")
        (folder / "inner").symlink_to("kept")
        (folder / "ring").symlink_to("gnir")
        (folder / "gnir").symlink_to("ring")
        yield folder


@settings(max_examples=400, deadline=None)
@given(name=BROKEN | ANY_TEXT)
@example(name="../x")
@example(name="/etc/passwd")
@example(name="link")
@example(name="\ud800")
@example(name="a\0b")
def test_a_name_lies_in_its_folder_or_is_refused(root, name):
    try:
        path = inside(root, name)
    except UnsafePathError:
        return
    assert path.parent in (root.resolve(), (root / "kept").resolve())
    assert len(os.fsencode(name)) <= NAME_MAX
    path.exists()  # the kernel takes it


@settings(max_examples=400, deadline=None)
@given(path=BROKEN | ANY_TEXT)
@example(path="link/root/kept/../../..")
@example(path="kept/../..")
@example(path="link/root/kept")
def test_a_path_leads_below_its_root_or_is_refused(root, path):
    try:
        found = below(root, path)
    except UnsafePathError:
        assert not is_below(root, path)
        return
    assert str(found).startswith(f"{root.resolve()}/")
    assert is_below(root, path)


def test_a_very_long_name_is_not_repeated():
    with pytest.raises(UnsafePathError, match="of 5000 bytes, more than 255") as error:
        component("x" * 5000)
    assert len(str(error.value)) < 300


@settings(max_examples=100, deadline=None)
@given(st.text(string.ascii_letters + string.digits + "._-+ é", min_size=1, max_size=100))
def test_plain_names_are_taken(name):
    if name not in (".", ".."):
        assert component(name) == name


@pytest.mark.parametrize("path", ["kept", "inner/x", "kept/../kept/x", "link/root/kept/x"])
def test_what_stays_below_is_taken(root, path):
    assert below(root, path).is_relative_to(root.resolve())
    assert below(root, root / path) == below(root, path)


@pytest.mark.parametrize("path", ["", ".", "kept/..", "link", "link/x", "../root-2", "/"])
def test_what_leads_away_is_refused(root, path):
    with pytest.raises(UnsafePathError, match="folder: expected a path below"):
        below(root, path)


# ---------------------------------------------------------------- where names become paths

AWAY = ["../away", "/tmp/away", "a/b", "..", "nul\0", "x" * 300]


@pytest.mark.parametrize("name", AWAY)
def test_a_campaign_has_its_folder_among_the_runs(ionloop_db, ionloop_home, name):
    database().workflows.insert_one(
        {"metadata": {"campaign_id": name}, "fw_states": {}, "nodes": [], "links": {}}
    )
    with pytest.raises(UnsafePathError, match="campaign id"):
        run_local(name)
    if name != "..":  # "...html" is a name like others
        with pytest.raises(UnsafePathError, match="campaign id"):
            write_campaign_report(name)
    assert not ionloop_home.exists()


@pytest.mark.parametrize("name", AWAY)
def test_data_files_are_of_their_folder(monkeypatch, tmp_path, name):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
    with environment({"IONLOOP_CP2K_DATA_DIR": str(tmp_path / "data")}):
        with pytest.raises(UnsafePathError, match="CP2K's data file"):
            data_file(name)
        with pytest.raises(ReferenceSetupError, match="got nothing"):
            data_file("BASIS")
    monkeypatch.setattr("ionloop.reference.vasp.potcars.psp_dir", lambda: tmp_path)
    with pytest.raises(UnsafePathError, match="potcars"):
        potcar(name, "PBE_54")


def test_labels_go_on_below_the_work_folder(tmp_path):
    assert first_folder(None) == Path.cwd()
    work = tmp_path / "work"
    with environment({"IONLOOP_WORK_DIR": None}):
        assert first_folder("/anywhere") == Path("/anywhere")
    with environment({"IONLOOP_WORK_DIR": str(work)}):
        assert first_folder(str(work / "first")) == work / "first"
        assert first_folder(None) == Path.cwd()
        for bad in (str(tmp_path), str(work), f"{work}/../away", "/"):
            with pytest.raises(UnsafePathError, match="folder of an earlier launch"):
                first_folder(bad)


def test_labels_that_began_elsewhere_go_on_in_a_copy(tmp_path, monkeypatch):
    """Once: what was computed in the copy stays."""
    away, work = tmp_path / "away", tmp_path / "work"
    for folder in (away, work):
        folder.mkdir()
    (away / JOB_MARK).touch()
    (away / "result").write_text("first")
    monkeypatch.chdir(work)
    with environment({"IONLOOP_WORK_DIR": str(work)}):
        copy = first_folder(str(away))
        assert copy.parent == work
        (copy / "result").write_text("second")
        assert first_folder(str(away)) == copy
    assert (copy / "result").read_text() == "second"
    assert (away / "result").read_text() == "first"
    assert len(list(work.iterdir())) == 1


def test_no_folder_is_copied_into_itself(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / JOB_MARK).touch()
    monkeypatch.chdir(work)
    with (
        environment({"IONLOOP_WORK_DIR": str(work)}),
        pytest.raises(UnsafePathError, match="folder of an earlier launch"),
    ):
        first_folder(str(tmp_path))
    assert list(work.iterdir()) == []


def run_sent_to(folder: Path | str, tmp_path, monkeypatch, key: str = "_launch_dir"):
    """Run a job that the database sends to a folder, as one that is run again; its status."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "support"))
    monkeypatch.chdir(tmp_path)
    import engine_jobs
    import jobflow

    from ionloop.engine import submit
    from ionloop.store.connection import job_store
    from ionloop.store.queries import status

    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    runs = tmp_path / "runs" / "c"
    runs.mkdir(parents=True, exist_ok=True)
    submit(engine_jobs.empty(), "c")
    copied = {
        "_prev_dir": str(folder), "_mode": "cp", "_task_n": 0, "_all_stored_data": {},
        "_all_update_spec": {}, "_all_mod_spec": [],
    }  # fmt: skip
    sent = {"_recovery": copied}.get(key, str(folder))
    database().fireworks.update_one({}, {"$set": {f"spec.{key}": sent}})
    with environment({"IONLOOP_WORK_DIR": str(runs)}):
        Worker(launchpad(), "c", runs).run()
    return status("c")


def test_a_job_goes_on_in_its_folder(ionloop_db, tmp_path, monkeypatch):
    found = run_sent_to(tmp_path / "runs/c/first", tmp_path, monkeypatch)
    assert (found.state, (tmp_path / "runs/c/first").is_dir()) == ("finished", True)


@pytest.mark.parametrize("there", ["away", "runs/c/../../away"])
def test_a_job_that_is_sent_elsewhere_fails_before_it_runs(
    ionloop_db, tmp_path, monkeypatch, there
):
    (failure,) = run_sent_to(tmp_path / there, tmp_path, monkeypatch).failures
    assert not (tmp_path / "away").exists()
    assert failure.message.startswith("ionloop.errors.UnsafePathError: job 1: expected a folder")
    assert issubclass(UnsafePathError, IonloopError)


@pytest.mark.parametrize("there", ["$AWAY", "{runs}/$UP/x", "{runs}/${{UP}}", "away", "~/x"])
def test_fireworks_expands_no_path_that_was_checked_as_it_stood(
    ionloop_db, tmp_path, monkeypatch, there
):
    monkeypatch.setenv("AWAY", str(tmp_path / "away"))
    monkeypatch.setenv("UP", "../../away")
    literal = there.format(runs=tmp_path / "runs" / "c")
    (failure,) = run_sent_to(literal, tmp_path, monkeypatch).failures
    assert "UnsafePathError" in failure.message
    assert not (tmp_path / "away").exists()


def test_a_job_copies_no_folder_whose_name_may_mean_another(ionloop_db, tmp_path, monkeypatch):
    there = tmp_path / "runs" / "c" / "$UP"
    there.mkdir(parents=True)
    (failure,) = run_sent_to(there, tmp_path, monkeypatch, "_recovery").failures
    assert "UnsafePathError" in failure.message


@pytest.mark.parametrize("key", ["_files_in", "_files_out", "_files_prev"])
def test_a_job_copies_no_files_by_fireworks_means(ionloop_db, tmp_path, monkeypatch, key):
    (failure,) = run_sent_to(tmp_path / "away", tmp_path, monkeypatch, key).failures
    assert f"expected no {key}, got one" in failure.message


def test_a_job_copies_no_folder_but_a_jobs(ionloop_db, tmp_path, monkeypatch):
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "id_rsa").write_text("secret")
    (failure,) = run_sent_to(tmp_path / "away", tmp_path, monkeypatch, "_recovery").failures
    assert "UnsafePathError" in failure.message
    assert not list((tmp_path / "runs").rglob("id_rsa"))


@pytest.mark.parametrize("key", ["_launch_dir", "_recovery"])
def test_a_job_copies_no_folder_into_itself(ionloop_db, tmp_path, monkeypatch, key):
    """As where somebody's home has FireWorks' mark."""
    (tmp_path / "FW.json").write_text("{}")
    (failure,) = run_sent_to(tmp_path, tmp_path, monkeypatch, key).failures
    assert "UnsafePathError" in failure.message
    assert len(list(tmp_path.rglob("FW.json"))) == 1


def test_a_job_whose_folder_isnt_seen_here_begins_anew(ionloop_db, tmp_path, monkeypatch):
    found = run_sent_to(tmp_path / "gone", tmp_path, monkeypatch, "_recovery")
    assert found.state == "finished"
    assert list((tmp_path / "runs").rglob(JOB_MARK))


@pytest.mark.parametrize("mark", [JOB_MARK, "FW.json"])
def test_a_job_that_began_elsewhere_goes_on_in_a_copy(ionloop_db, tmp_path, monkeypatch, mark):
    """As of a machine that is lost, whose disk is at hand."""
    away = tmp_path / "away"
    away.mkdir()
    (away / mark).write_text("{}")
    (away / "checkpoint").write_text("half")
    before = {path.name: path.read_bytes() for path in away.iterdir()}
    assert run_sent_to(away, tmp_path, monkeypatch).state == "finished"
    assert {path.name: path.read_bytes() for path in away.iterdir()} == before
    (copy,) = (tmp_path / "runs" / "c").glob("*/checkpoint")
    assert copy.read_text() == "half"
    launch = database().launches.find_one()
    assert launch["launch_dir"] == str(copy.parent)
