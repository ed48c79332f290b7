"""The reference: settings, inputs, and what a machine may lack."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure

from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.settings import Cp2kSettings, kind_of
from ionloop.seed.schema import Hop

# --- settings and inputs ---


def test_settings_hash_follows_physics_not_names() -> None:
    reference = Cp2kReference()
    assert Cp2kReference(name="another").settings_hash == reference.settings_hash
    for change in ({"cutoff": 400}, {"smoothing": False}, {"version": "2024.1"}):
        assert Cp2kReference(dft=Cp2kSettings(**change)).settings_hash != reference.settings_hash


def test_settings_hash_follows_the_data_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Cp2kReference().settings_hash
    for name in ("BASIS_MOLOPT", "GTH_POTENTIALS"):
        (tmp_path / name).write_text("# another file\n")
    monkeypatch.setenv("IONLOOP_CP2K_DATA_DIR", str(tmp_path))
    assert Cp2kReference().settings_hash != before


def test_kinds_are_own_or_of_the_family() -> None:
    dft = Cp2kSettings()
    assert kind_of("Li", dft).basis == "DZVP-ION-GTH-q3"
    assert kind_of("O", dft).potential == "GTH-PBE-q6"
    with pytest.raises(ReferenceSetupError, match=r"DZVP-MOLOPT-SR-GTH basis for La"):
        kind_of("La", dft)


def test_input_holds_charge_order_and_no_stress(frame: Frame) -> None:
    charged = frame.model_copy(update={"charge": -1})
    text = str(IonicSetGenerator().get_input_set(charged.to_structure()).cp2k_input)
    assert "CHARGE -1" in text
    assert "STRESS_TENSOR NONE" in text
    assert "MAX_SCF 60" in text
    rows = text.split("&COORD")[1].split("&END", maxsplit=1)[0].split("\n")[1:-1]
    assert [row.split()[0].split("_")[0] for row in rows] == frame.symbols


def test_jobs_survive_json(frame: Frame, round_trip) -> None:
    reference = Cp2kReference(dft=Cp2kSettings(cutoff=310))
    hop = Hop(start=frame, end=frame, ion=0, distance=1.0, path_class="x", multiplicity=1)
    run_length = {"n_steps": 3, "time_step": 2.0, "store_every": 1}
    jobs = [
        reference.static([frame]),
        reference.md(frame, temperature=600, seed=1, group="a", **run_length),
        reference.neb(hop, n_images=1, fmax=0.1, max_steps=5),
    ]
    for job in jobs:
        again = round_trip(job)
        assert list(again.function_args) == list(job.function_args)
        assert len(job.to_json()) < 20_000
        if job.maker is not None:
            assert again.maker.as_dict() == job.maker.as_dict()
            assert again.maker.input_set_generator.dft.cutoff == 310


def test_skewed_cells_are_warned_of(frame: Frame, caplog: pytest.LogCaptureFixture) -> None:
    cell = np.array(frame.cell)
    cell[1, 0] = 1.0
    with caplog.at_level(logging.WARNING):
        Cp2kReference().static([frame])
        assert not caplog.records
        Cp2kReference().static([frame.model_copy(update={"cell": cell.tolist()})])
    assert "isn't orthorhombic" in caplog.text


# --- what is missing ---


@pytest.mark.parametrize("name", ["IONLOOP_CP2K_CMD", "IONLOOP_CP2K_SHELL_CMD"])
def test_missing_program_says_what_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch, salt: Structure
) -> None:
    monkeypatch.setenv(name, "no-such-cp2k.psmp")
    with pytest.raises(ReferenceSetupError, match=r"apt-get install cp2k.*IONLOOP_CP2K_CMD"):
        Cp2kReference().check(salt)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, salt: Structure) -> None:
    with pytest.raises(ReferenceSetupError, match=r"expected CP2K 2024\.1, got 2023\.1"):
        Cp2kReference(dft=Cp2kSettings(version="2024.1")).check(salt)
    monkeypatch.setenv("IONLOOP_CP2K_CMD", "true")
    with pytest.raises(ReferenceSetupError, match=r"expected CP2K 2023\.1, got true .GNU"):
        Cp2kReference().check(salt)


def test_missing_data_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, salt: Structure
) -> None:
    monkeypatch.setenv("IONLOOP_CP2K_DATA_DIR", str(tmp_path))
    with pytest.raises(ReferenceSetupError, match="IONLOOP_CP2K_DATA_DIR"):
        Cp2kReference().check(salt)
