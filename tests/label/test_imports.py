"""Files through the gate: one hash, the gate's reasons, no frame twice; and into a campaign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read
from hypothesis import given
from hypothesis import strategies as st

from ionloop.errors import ImportLabelsError, LabelError
from ionloop.frame import Origin
from ionloop.label.adopt import adopt
from ionloop.label.extxyz import write_extxyz
from ionloop.label.imports import (
    Imported,
    Terms,
    check_share,
    imported_shard,
    judge_readings,
)
from ionloop.label.maker import LabelMaker
from ionloop.profile import Profile
from ionloop.reference.base import hash_settings
from ionloop.reference.importers.reading import Reading, Step
from ionloop.reference.importers.xyz import read_extxyz
from ionloop.reference.vasp import VaspReference
from ionloop.reference.vasp.settings import VaspSettings

PROFILE = Profile(name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1})
SETTINGS = {"code": "vasp", "incar": {"ENCUT": 520.0}, "potcars": {"Li": {"symbol": "Li"}}}


def step(seed: int, **fields: object) -> Step:
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.05, seed=seed)
    rng = np.random.default_rng(seed)
    own = {
        "energy": float(rng.normal()), "forces": rng.normal(size=(8, 3)),
        "stress": rng.normal(size=(3, 3)),
    }  # fmt: skip
    symbols = list(atoms.get_chemical_symbols())
    return Step(symbols, atoms.positions, atoms.cell.array, **{**own, **fields})


def reading(*steps: Step, name: str = "a", settings: dict | None = None, **fields) -> Reading:
    return Reading(Path(name), "vasp 6", SETTINGS if settings is None else settings,
                   list(steps), **fields)  # fmt: skip


def judged(*readings: Reading, **terms: object) -> Imported:
    return judge_readings(readings, Terms(PROFILE, **terms))


def test_a_good_file_is_admitted_as_it_is_and_is_one_group():
    steps = [step(i) for i in range(3)]
    imported = judged(reading(*steps, temperature=600.0))
    assert imported.settings_hash == hash_settings(SETTINGS)
    for label, asked in zip(imported.labels, steps, strict=True):
        assert label.reasons == []
        assert (label.energy, label.settings_hash) == (asked.energy, imported.settings_hash)
        assert (np.array(label.forces) == asked.forces).all()
        assert (np.array(label.stress) == asked.stress).all()
        assert (label.frame.group, label.frame.origin) == ("a", Origin.AIMD)
        assert label.frame.temperature == 600.0
        assert label.directory == str(Path("a").resolve())


def test_the_gates_reasons_hold():
    wild = step(1)
    wild.forces[3, 0] = 99.0
    size = np.linalg.norm(wild.forces[3])
    bad = [step(2, converged=False), wild, step(3, forces=None), step(4, energy=float("nan"))]
    imported = judged(reading(step(0), *bad))
    assert [label.reasons for label in imported.labels] == [
        [], ["SCF not converged"],
        [f"force above the ceiling: {size:.2f} eV/Å on atom 3 (Cl), 30 allowed"],
        ["no energy or forces"], ["not a number: energy"],
    ]  # fmt: skip
    shard = imported_shard(imported)
    assert shard.reasons == dict.fromkeys(
        ["SCF not converged", "force above the ceiling", "no energy or forces", "not a number"], 1
    )
    assert (shard.n_admitted, shard.n_quarantined, shard.n_asked) == (1, 4, 0)
    assert shard.frame_hashes == [imported.labels[0].frame_hash]
    with pytest.raises(ImportLabelsError, match="1 of 5 labels admitted, expected a share of at"):
        check_share(shard, 0.8, {})
    check_share(shard, 0.2, {})


def test_a_batch_of_files_is_judged_for_jumps_of_magnetization():
    moments = (0.0, 0.1, 3.0)
    files = [reading(step(i, magnetization=m), name=f"f{i}") for i, m in enumerate(moments)]
    imported = judged(*files)
    assert [label.reasons for label in imported.labels] == [
        [], [], ["magnetization jump: 3.00 Bohr magnetons, the batch's median is 0.10"],
    ]  # fmt: skip
    # One file after another, nobody could tell; the campaign that takes them judges them again.
    shards = {f.path.name: imported_shard(judged(f)) for f in files}
    assert [shard.n_admitted for shard in shards.values()] == [1, 1, 1]
    taken = adopt(shards, SETTINGS, hash_settings(SETTINGS), PROFILE)
    assert (taken.n_admitted, taken.reasons) == (2, {"magnetization jump": 1})


def test_other_settings_are_quarantined_and_the_key_is_named():
    other = {**SETTINGS, "incar": {"ENCUT": 400.0}}
    imported = judged(reading(step(0)), reading(step(1), name="b", settings=other))
    assert [label.reasons for label in imported.labels] == [
        [], ["other settings: incar.ENCUT: expected 520.0, got 400.0"],
    ]  # fmt: skip
    assert imported.labels[1].settings_hash == hash_settings(other)
    assert imported.differing == {"b": ["incar.ENCUT: expected 520.0, got 400.0"]}


def test_expected_settings_give_the_hash_and_are_held_to():
    expected = {**SETTINGS, "extra": 1}
    with pytest.raises(ImportLabelsError, match="a doesn't prove its settings: extra; if you know"):
        judged(reading(step(0)), settings=expected)
    imported = judged(reading(step(0)), settings=expected, trust=True)
    assert imported.settings_hash == hash_settings(expected)
    assert imported.labels[0].reasons == []
    refused = judged(reading(step(0)), settings={**SETTINGS, "code": "cp2k"}, trust=True)
    assert refused.labels[0].reasons == ["other settings: code: expected cp2k, got vasp"]


def test_elements_of_later_files_join_the_hash():
    more = {**SETTINGS, "potcars": {"Cl": {"symbol": "Cl"}}}
    imported = judged(reading(step(0)), reading(step(1), name="b", settings=more))
    assert imported.settings["potcars"] == {"Cl": {"symbol": "Cl"}, "Li": {"symbol": "Li"}}
    assert {label.settings_hash for label in imported.labels} == {imported.settings_hash}
    assert all(label.reasons == [] for label in imported.labels)


def test_a_file_that_says_nothing_must_be_stated_or_trusted():
    silent = reading(step(0), settings={})
    with pytest.raises(
        ImportLabelsError, match=r"a says nothing of the settings .*--settings FILE"
    ):
        judged(silent)
    assert judged(silent, trust=True).settings["code"] == "unknown"
    stated = judged(silent, settings=SETTINGS, trust=True)
    assert stated.labels[0].settings_hash == hash_settings(SETTINGS)


def test_the_file_that_says_most_is_the_measure():
    partial = {"code": "vasp", "potcars": {"Li": {"symbol": "Li"}}}
    first = reading(step(0), settings=partial, unknown=["incar.ENCUT"])
    imported = judged(first, reading(step(1), name="b"), trust=True)
    assert imported.settings == SETTINGS
    assert all(label.reasons == [] for label in imported.labels)


def test_no_frame_twice_and_the_admitted_one_stays():
    bad = step(0, converged=False)
    imported = judged(reading(bad, step(1)), reading(step(0), step(1), name="b"))
    assert imported.duplicates == 2
    assert [(x.frame.group, x.reasons) for x in imported.labels] == [("a", []), ("b", [])]


def test_extxyz_comes_back_to_the_last_bit(tmp_path):
    steps = [step(0), step(1, stress=None)]
    imported = judged(reading(*steps, name='a "b" c', charge=-1, temperature=300.0))
    path = tmp_path / "labels.extxyz"
    assert write_extxyz(imported.labels, path) == 2
    back = judge_readings([read_extxyz(path)], Terms(PROFILE))
    assert back.settings is None
    assert back.settings_hash == imported.settings_hash
    assert [x.model_copy(update={"directory": ""}) for x in back.labels] == [
        x.model_copy(update={"directory": ""}) for x in imported.labels
    ]
    atoms = read(path, index=0)
    assert atoms.info["REF_energy"] == steps[0].energy
    assert (atoms.arrays["REF_forces"] == steps[0].forces).all()
    assert (atoms.info["REF_stress"].reshape(3, 3) == steps[0].stress).all()
    assert atoms.info["settings_hash"] == imported.settings_hash
    assert (atoms.info["config_energy_weight"], atoms.info["config_stress_weight"]) == (0, 0)
    assert list(tmp_path.iterdir()) == [path]


@given(st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_any_order_of_atoms_and_any_orientation_give_the_same_label(random, seed):
    one = step(0)
    order = random.sample(range(8), 8)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    other = Step(
        [one.symbols[i] for i in order], one.positions[order] @ turn, one.cell @ turn,
        one.energy, one.forces[order] @ turn, turn.T @ one.stress @ turn,
    )  # fmt: skip
    first, second = (judged(reading(s)).labels[0] for s in (one, other))
    assert (second.energy, second.reasons) == (first.energy, [])
    assert [second.frame.symbols[order.index(i)] for i in range(8)] == first.frame.symbols
    back = np.array(second.forces)[np.argsort(order)] @ turn.T
    np.testing.assert_allclose(back, first.forces, atol=1e-14)
    stress = turn @ np.array(second.stress) @ turn.T
    np.testing.assert_allclose(stress, first.stress, atol=1e-14)


def test_a_campaign_judges_imported_labels_by_its_own_limits():
    imported = judged(reading(step(0), step(1)), reading(step(2), name="charged", charge=1))
    shard = imported_shard(imported)
    settings = imported.settings
    taken = adopt({"u": shard}, settings, shard.settings_hash, PROFILE)
    assert (taken.n_admitted, taken.purpose, taken.n_asked) == (2, "imported", 0)
    assert taken.reasons == {"another charge than the campaign's cells": 1}
    strict = PROFILE.model_copy(update={"force_ceiling": 0.1})
    with pytest.raises(LabelError, match="none is admitted: force above the ceiling"):
        adopt({"u": shard}, settings, shard.settings_hash, strict)
    sodium = Profile(name="x", mobile_ion="Na", formal_charges={"Na": 1, "Cl": -1})
    with pytest.raises(LabelError, match="elements that the profile doesn't know: Li"):
        adopt({"u": shard}, settings, shard.settings_hash, sodium)


def test_a_campaign_refuses_a_shard_of_other_settings_by_key():
    shard = imported_shard(judged(reading(step(0))))
    own = {**SETTINGS, "incar": {"ENCUT": 600.0}}
    with pytest.raises(
        LabelError, match=r"in u: incar\.ENCUT: expected 600\.0, got 520\.0; labels"
    ):
        adopt({"u": shard}, own, hash_settings(own), PROFILE)


def test_a_stress_that_the_reference_doesnt_vouch_for_is_dropped():
    shard = imported_shard(judged(reading(step(0), step(1, converged=False))))
    own = SETTINGS, shard.settings_hash, PROFILE
    kept = adopt({"u": shard}, *own)
    taken = adopt({"u": shard}, *own, has_stress=False)
    assert all(label.stress is not None for label in [*kept.labels, *kept.quarantined])
    # The refused one, too: somebody may admit it.
    assert [len(taken.labels), len(taken.quarantined)] == [1, 1]
    assert [label.stress for label in [*taken.labels, *taken.quarantined]] == [None, None]
    assert taken.labels[0].forces == kept.labels[0].forces


def test_settings_without_stress_leave_none_in_a_file(tmp_path):
    imported = judged(reading(step(0)), settings={**SETTINGS, "stress": False}, trust=True)
    write_extxyz(imported.labels, tmp_path / "labels.extxyz")
    atoms = read(tmp_path / "labels.extxyz")
    assert "REF_stress" not in atoms.info
    assert "REF_forces" in atoms.arrays
    with_stress = judged(reading(step(0)), settings={**SETTINGS, "stress": True}, trust=True)
    assert with_stress.labels[0].stress is not None


@pytest.mark.parametrize("has_stress", [True, False])
def test_the_adopting_job_knows_whether_the_reference_has_stress(has_stress):
    reference = VaspReference(dft=VaspSettings(stress=has_stress))
    job = LabelMaker().adopt(["u"], reference, PROFILE, {})
    assert job.function_kwargs["has_stress"] is has_stress
