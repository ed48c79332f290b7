"""``ionloop import``: without a database into a file, with one into a shard; errors in a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from ase.io import read

from ionloop import cli
from ionloop.reference.base import hash_settings
from ionloop.store.connection import database

SUPPORT = Path(__file__).parent / "support"


@pytest.fixture
def main(monkeypatch, capsys):
    """Run the command line in this process; returns status, stdout and stderr."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ionloop", "import", *(str(arg) for arg in args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def vasp_files(monkeypatch):
    monkeypatch.syspath_prepend(str(SUPPORT))
    import vasp_files

    return vasp_files


@pytest.fixture
def run_folder(tmp_path, vasp_files):
    """A run of four steps, the third of which gave up."""
    run = vasp_files.Run(energies=(-7.0, -7.1, -7.2, -7.3), n_scf=(9, 9, 60, 9))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "vasprun.xml").write_text(run.xml())
    return folder


def bad(main, *args: object) -> str:
    status, out, err = main(*args)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("ionloop: error: ")
    return err


def test_into_a_file_without_a_database(main, ionloop_home, run_folder, tmp_path):
    out = tmp_path / "labels.extxyz"
    status, said, _ = main(run_folder, "--out", out, "--min-success", "0.5", "--json")
    assert status == 0
    summary = json.loads(said)
    assert (summary["n_admitted"], summary["n_quarantined"]) == (3, 1)
    assert summary["reasons"] == {"SCF not converged": 1}
    settings = json.loads((tmp_path / "labels.settings.json").read_text())
    frames = read(out, index=":")
    assert [atoms.info["REF_energy"] for atoms in frames] == [-7.0, -7.1, -7.3]
    assert {atoms.info["settings_hash"] for atoms in frames} == {hash_settings(settings)}
    assert {atoms.info["group"] for atoms in frames} == {str(run_folder / "vasprun.xml")}
    assert summary["files"][0]["n_admitted"] == 3
    assert not ionloop_home.exists()
    # What was written is taken again, without and with its settings.
    again = tmp_path / "again.extxyz"
    assert main(out, "--out", again)[0] == 0
    assert again.read_text() == out.read_text()
    status, said, _ = main(out, "--settings", tmp_path / "labels.settings.json", "--out", again)
    assert (status, again.read_text()) == (0, out.read_text())
    assert said.startswith(
        f"3 of 3 labels admitted from 1 files, settings {hash_settings(settings)}"
    )


def test_into_the_database(main, ionloop_db, run_folder):
    status, said, _ = main(run_folder, "--min-success", "0.5")
    assert status == 0
    assert "quarantined, 1 times: SCF not converged" in said
    document = database().outputs.find_one({"metadata.stage": "import"})
    assert f"stored as {document['uuid']}; give it to CampaignMaker(imported=[...])" in said
    assert document["output"]["n_admitted"] == 3


def test_stride_and_origin(main, ionloop_home, run_folder, tmp_path):
    out = tmp_path / "a.extxyz"
    assert main(run_folder, "--out", out, "--stride", "3", "--origin", "neb")[0] == 0
    frames = read(out, index=":")
    assert [(a.info["REF_energy"], a.info["origin"]) for a in frames] == [
        (-7.0, "neb"), (-7.3, "neb"),
    ]  # fmt: skip


def test_a_file_that_cant_be_read_among_others_is_named(main, ionloop_home, run_folder, tmp_path):
    (run_folder / "sub").mkdir()
    (run_folder / "sub" / "OUTCAR").write_text("cut off")
    out = tmp_path / "a.extxyz"
    status, said, _ = main(run_folder, "--out", out, "--min-success", "0")
    assert status == 0
    assert "OUTCAR: can't be read as an OUTCAR" in said


def test_a_file_of_other_settings_is_named_with_the_keys(
    main, ionloop_home, run_folder, tmp_path, vasp_files
):
    # Its first four frames are the other file's, where one of them isn't converged.
    tags = {"ISMEAR": ("int", "-5")}
    run = vasp_files.Run(
        energies=tuple(-7.0 - 0.1 * i for i in range(6)), n_scf=(9,) * 6, tags=tags
    )
    other = tmp_path / "other" / "vasprun.xml"
    other.parent.mkdir()
    other.write_text(run.xml())
    paths = (run_folder, other, "--out", tmp_path / "a.extxyz", "--min-success", "0")
    status, said, _ = main(*paths)
    assert status == 0
    assert "quarantined, 2 times: other settings" in said
    assert f"other settings in {other}: incar.ISMEAR: expected 0, got -5" in said


def test_what_can_go_wrong_is_one_line(main, ionloop_home, run_folder, tmp_path, vasp_files):
    out = tmp_path / "a.extxyz"
    assert "no file or folder" in bad(main, tmp_path / "none", "--out", out)
    assert "3 of 4 labels admitted, expected a share of at least 0.8; 1 times: SCF not" in bad(
        main, run_folder, "--out", out
    )
    silent = run_folder / "OUTCAR"
    silent.write_text(vasp_files.Run(version="5.4.4").outcar(echo=False))
    line = bad(main, silent, "--out", out)
    assert "doesn't prove its settings: incar.ADDGRID, incar.IVDW, incar.LUSE_VDW" in line
    assert main(silent, "--out", out, "--trust")[0] == 0
    out.unlink()
    stated = tmp_path / "settings.yaml"
    stated.write_text("- a list")
    assert "expected settings as JSON or YAML, got list" in bad(
        main, run_folder, "--settings", stated, "--out", out
    )
    stated.write_text("code: cp2k")
    assert "other settings: code: expected cp2k, got vasp" in bad(
        main, run_folder, "--settings", stated, "--out", out
    )
    assert "got both; give one" in bad(
        main, run_folder, "--settings", stated, "--campaign", "c", "--out", out
    )
    nowhere = tmp_path / "no" / "where.extxyz"
    assert "No such file" in bad(main, run_folder, "--out", nowhere, "--min-success", "0")
    assert "expected another file" in bad(
        main, run_folder / "vasprun.xml", "--out", run_folder / "vasprun.xml", "--min-success", "0"
    )
    assert not out.exists()
    bad(main)
    bad(main, run_folder, "--stride", "0")


def test_xdatcar_alone_says_what_is_missing(main, ionloop_home, tmp_path):
    path = tmp_path / "XDATCAR"
    path.write_text(
        "Li\n1.0\n3 0 0\n0 3 0\n0 0 3\nLi\n1\nDirect configuration=     1\n0.0 0.0 0.0\n"
    )
    assert "XDATCAR holds no forces; give the run's vasprun.xml" in bad(main, path)
