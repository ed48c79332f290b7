"""``ionloop evaluate`` from files to table, JSON and picture."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import ase.io
import pytest
from labelled_cells import labelled_cells
from matplotlib.image import imread
from pymatgen.core import Structure
from typer.testing import CliRunner
from untrained_mace import write_model

from ionloop.cli.commands import app
from ionloop.errors import EvaluationError, StoreError
from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.store.scorecards import scorecards

PROFILE = """
name: Li3OCl
mobile_ion: Li
formal_charges: {Li: 1, O: -2, Cl: -1}
small_cell_reason: a test
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("evaluate")
    (made / "profile.yaml").write_text(PROFILE)
    ase.io.write(made / "labels.extxyz", labelled_cells(4))
    sites = [[0.5] * 3, [0] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    host = Structure([[3.87, 0, 0], [0, 3.87, 0], [0, 0, 3.87]], ["O", "Cl", *["Li"] * 3], sites)
    host.to(filename=str(made / "POSCAR"))
    return made


def invoke(folder, *arguments, status=0):
    command = ["evaluate", "buckingham", "--profile", str(folder / "profile.yaml"), *arguments]
    result = CliRunner().invoke(app, command, catch_exceptions=False, standalone_mode=False)
    assert (result.return_value or 0) == status, result.output
    return result


def test_json_is_the_document_and_the_picture_is_drawn(folder):
    labels, picture = str(folder / "labels.extxyz"), folder / "card.png"
    found = invoke(folder, "--data", labels, "--json", "--plot", str(picture))
    card = Scorecard.model_validate_json(found.stdout)
    assert card.kind == "ionloop evaluate"
    assert (card.accuracy.status, card.static.status) == ("done", "not asked")
    assert card.accuracy.result.n_frames == 4
    assert card.model.kind == "force field"
    assert "accuracy on 4 frames" in found.stderr
    assert imread(picture).std() > 0.05


def test_the_table_has_all_parts_and_the_folder_keeps_them(folder):
    arguments = ["--data", str(folder / "labels.extxyz"), "--structure", str(folder / "POSCAR"),
                 "--cost-seconds", "1", "--out", str(folder / "card")]  # fmt: skip
    first = invoke(folder, *arguments)
    for text in ("4 of 4 frames without group: treated as 4 blocks", "held-out frames", "s a step",
                 "B0 (volumes), GPa", "highest phonon", "no larger"):  # fmt: skip
        assert text in first.stdout
    again = invoke(folder, *arguments)
    assert again.stdout == first.stdout
    assert "done before" in again.stderr
    beside = ["--beside", str(folder / "card" / "scorecard.json"), "--plot", "x.txt"]
    with pytest.raises(Exception, match=r"ends in \.png"):
        invoke(folder, *arguments, *beside)


def test_a_part_that_is_missing_is_told_by_the_status(folder):
    host = Structure.from_file(folder / "POSCAR")
    host.replace(0, "S")
    host.to(filename=str(folder / "POSCAR_S"))
    structure = ["--structure", str(folder / "POSCAR_S")]
    found = invoke(folder, *structure, "--parts", "static", status=1)
    assert "static is missing" in found.stderr
    assert "got S" in found.stderr


def test_born_charges_split_optical_modes(folder):
    charges = {"O": -2, "Cl": -1, "Li": 1}
    lines = [f"{x} 0 0 0 {x} 0 0 0 {x}" for x in (1, *charges.values())]
    (folder / "BORN").write_text("\n".join(["default", *lines]))
    born = ["--born", str(folder / "BORN")]
    structure = ["--structure", str(folder / "POSCAR"), "--parts", "static"]
    found = invoke(folder, *structure, *born)
    assert "17.38" in found.stdout
    assert found.stdout.count("26.77") == 3
    with pytest.raises(EvaluationError, match="expected --structure with --born"):
        invoke(folder, "--data", str(folder / "labels.extxyz"), *born)


def test_nothing_to_do_is_refused(folder):
    with pytest.raises(EvaluationError, match="got neither"):
        invoke(folder)
    with pytest.raises(EvaluationError, match="got beauty"):
        invoke(folder, "--parts", "beauty")


def test_a_stored_card_is_the_printed_one(folder, ionloop_db):
    labels = ["--data", str(folder / "labels.extxyz"), "--json", "--store"]
    found = invoke(folder, *labels)
    (stored,) = scorecards("Li3OCl")
    assert stored.card == Scorecard.model_validate_json(found.stdout)
    assert f"stored as {stored.key}" in found.stderr


def test_a_database_that_is_away_is_said_before_the_work(folder, monkeypatch):
    monkeypatch.setenv("IONLOOP_DB_URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200")
    monkeypatch.setattr("ionloop.evaluate.card.evaluate", lambda *_: pytest.fail("it computed"))
    with pytest.raises(StoreError, match="expected a MongoDB at"):
        invoke(folder, "--data", str(folder / "labels.extxyz"), "--store")


def test_expansion_is_shown_and_not_run_again(folder):
    arguments = ["--structure", str(folder / "POSCAR"), "--parts", "expansion", "--out",
                 str(folder / "hot"), "--expansion-ps", "0.6", "--expansion-temperatures",
                 "300,500,700"]  # fmt: skip
    found = invoke(folder, *arguments)
    for text in ("135 atoms, 0.6 ps", "expansion of volume", "1e-6/K", "Lindemann ratio"):
        assert text in found.stdout
    again = invoke(folder, *arguments)
    assert "expansion: done before" in again.stderr
    assert again.stdout == found.stdout
    card = Scorecard.model_validate_json((folder / "hot" / "scorecard.json").read_text())
    assert [point.temperature for point in card.expansion.result.points] == [300, 500, 700]
    with pytest.raises(EvaluationError, match="3 or more temperatures"):
        invoke(folder, *arguments[:-1], "300,500")


def test_stability_is_shown_rule_by_rule(folder):
    arguments = ["--structure", str(folder / "POSCAR"), "--parts", "stability"]
    found = invoke(folder, *arguments, "--stability-ps", "1")
    for text in ("1 of 1 ps of 135 atoms", "ok   the framework stays solid", "energy is conserved"):
        assert text in found.stdout


def test_json_of_a_mace_model_is_json_alone(folder):
    """MACE prints as it is imported, so this needs a process of its own."""
    model = write_model(folder / "one.model", 0)
    command = [sys.executable, "-m", "ionloop.cli", "evaluate", str(model), "--json"]
    given = ["--profile", str(folder / "profile.yaml"), "--data", str(folder / "labels.extxyz")]
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=True)
    assert Scorecard.model_validate_json(done.stdout).accuracy.status == "done"


def test_the_page_has_this_model_and_those_beside_it(folder, tmp_path):
    labels = ["--data", str(folder / "labels.extxyz"), "--out", str(tmp_path / "card")]
    page = tmp_path / "page.html"
    invoke(folder, *labels)
    beside = str(tmp_path / "card" / "scorecard.json")
    invoke(folder, *labels, "--beside", beside, "--page", str(page))
    html = page.read_text(encoding="utf-8")
    assert "Li3OCl: 2 scorecards" in html
    assert "force RMSE, Li" in html
    with pytest.raises(Exception, match=r"--page: expected a name that ends in \.html"):
        invoke(folder, *labels, "--page", str(tmp_path / "page.png"))


def scorecards_command(*arguments):
    CliRunner().invoke(
        app, ["scorecards", *arguments], catch_exceptions=False, standalone_mode=False
    )


def test_pictures_after_the_paper_come_from_the_database(folder, ionloop_db, tmp_path):
    frames = labelled_cells(8)
    for i, atoms in enumerate(frames):
        hop = {"hop_ion": 4, "hop_progress": i / 7, "hop_path_class": "a", "hop_event": "e"}
        atoms.info |= {**hop, "group": f"run {i // 2}"}
    ase.io.write(tmp_path / "hops.extxyz", frames)
    invoke(folder, "--data", str(tmp_path / "hops.extxyz"), "--store")
    picture = tmp_path / "hops.png"
    scorecards_command("--hops", str(picture))
    assert imread(picture).std() > 0.02
    with pytest.raises(EvaluationError, match="the part diffusion, got none"):
        scorecards_command("--arrhenius", str(picture))
    with pytest.raises(EvaluationError, match="expected --arrhenius"):
        scorecards_command("--obelix", "all.csv")


def test_a_calibration_belongs_to_its_committee(folder, tmp_path):
    """Two models of no training, and the calibration of their spread: it says how bad it is."""
    files = [write_model(tmp_path / f"member-{i}.model", i) for i in (0, 1)]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    known = {
        "generation": 0, "n_frames": 1, "n_ions": 1, "held_out": "none", "scale": 1.0,
        "scale_90": 2.0, "coverage_90": 0.9, "rmse_forces": 0.1, "sigma_lo": 0.1, "sigma_hi": 0.5,
        "curve": [],
    }  # fmt: skip
    committee = tmp_path / "committee.json"
    members = [{"path": f.name, "sha256": h} for f, h in zip(files, hashes, strict=True)]
    committee.write_text(json.dumps({"members": members, "calibration": known}))

    def run(*models, status=0):
        command = [
            "evaluate",
            *map(str, models),
            "--profile",
            str(folder / "profile.yaml"),
            "--data",
            str(folder / "labels.extxyz"),
            "--calibration",
            str(committee),
        ]
        result = CliRunner().invoke(app, command, catch_exceptions=False, standalone_mode=False)
        assert (result.return_value or 0) == status, result.output
        return result

    said = run(*files).stdout
    assert "calibrated spread against errors of mobile ions" in said
    assert "AUROC" in said
    with pytest.raises(EvaluationError, match="the 1 MACE files given, got one of 2 files, of"):
        run(files[0])
    committee.write_text(json.dumps({"members": members}))
    with pytest.raises(EvaluationError, match="expected a calibration, got none"):
        run(*files)
