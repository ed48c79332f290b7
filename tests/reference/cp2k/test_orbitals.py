"""Wave functions that are handed on within a batch: fewer steps, the same labels."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ionloop.frame import Frame
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.makers import Cp2kStaticMaker
from ionloop.reference.cp2k.orbitals import Orbitals
from ionloop.reference.cp2k.settings import Cp2kSettings, Smearing
from ionloop.reference.folders import read_text
from ionloop.reference.schema import SinglePoint

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def cold(
    hydrogen: list[Frame],
    coarse: Cp2kSettings,
    run,
    round_trip,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[SinglePoint]:
    """The batch's labels, each from atoms."""
    reference = Cp2kReference(dft=coarse, frames_per_job=3, restart_orbitals=False)
    return run(round_trip(reference.static(hydrogen)), tmp_path_factory.mktemp("cold"))


def test_a_batch_takes_fewer_steps_to_the_same_labels(
    hydrogen, coarse, cold: list[SinglePoint], run, round_trip, tmp_path: Path
) -> None:
    reference = Cp2kReference(dft=coarse, frames_per_job=3, restart_orbitals=True)
    warm = run(round_trip(reference.static(hydrogen)), tmp_path)
    assert [p.failure for p in warm] == [None] * 3
    assert warm[0].n_scf == cold[0].n_scf
    assert sum(p.n_scf for p in warm[1:]) < sum(p.n_scf for p in cold[1:])
    for one, other in zip(warm, cold, strict=True):
        assert one.energy == pytest.approx(other.energy, abs=27.2 * coarse.eps_scf)
        np.testing.assert_allclose(one.forces, other.forces, atol=51.4 * coarse.eps_scf)
        assert one.settings_hash == other.settings_hash == reference.settings_hash
    assert not list(tmp_path.rglob("*.wfn*"))


def test_orbitals_that_are_no_use_are_replaced_by_atoms(
    machine, hydrogen, coarse, cold: list[SinglePoint], tmp_path: Path, caplog
) -> None:
    maker = Cp2kStaticMaker(input_set_generator=IonicSetGenerator(dft=coarse))
    with caplog.at_level(logging.WARNING), Orbitals(tmp_path, used=True) as orbitals:
        first = maker.compute(hydrogen[0], tmp_path, orbitals)
        assert first.failure is None
        content = bytearray(orbitals.path.read_bytes())
        content[8:12] = (2).to_bytes(4, "little")  # two spins, which CP2K refuses
        orbitals.path.write_bytes(content)
        second = maker.compute(hydrogen[1], tmp_path, orbitals)
    assert "computed again from atoms" in caplog.text
    assert (second.failure, second.n_scf) == (None, cold[1].n_scf)
    assert second.energy == pytest.approx(cold[1].energy, abs=1e-9)
    assert machine.n_runs == 3
    assert not list(tmp_path.rglob("*.wfn*"))


def test_a_killed_run_is_started_again_from_atoms(
    machine, hydrogen, coarse, cold: list[SinglePoint], tmp_path: Path
) -> None:
    """What it died of may be what it started from."""
    maker = Cp2kStaticMaker(input_set_generator=IonicSetGenerator(dft=coarse))
    with Orbitals(tmp_path, used=True) as orbitals:
        maker.compute(hydrogen[0], tmp_path, orbitals)
        machine.kill(1, "cp2k.out", "SCF WAVEFUNCTION OPTIMIZATION")
        second = maker.compute(hydrogen[1], tmp_path, orbitals)
    assert (second.failure, second.n_scf) == (None, cold[1].n_scf)
    assert machine.n_runs == 3


@pytest.mark.parametrize(
    "change",
    [{"spin_polarized": True}, {"smearing": Smearing(temperature=300, added_mos=2)}],
)
def test_no_electronic_state_is_inherited(
    hydrogen, coarse, tmp_path: Path, monkeypatch, caplog, change
) -> None:
    """With spin or smearing a neighbour's state could be kept where another one is lower."""
    monkeypatch.chdir(tmp_path)
    dft = coarse.model_copy(update=change)
    maker = Cp2kStaticMaker(input_set_generator=IonicSetGenerator(dft=dft))
    with caplog.at_level(logging.INFO):
        points = Cp2kStaticMaker.make.original(maker, hydrogen[:2])
    assert [point.failure for point in points] == [None, None]
    assert "spin or smearing" in caplog.text
    for point in points:
        assert "WFN_RESTART_FILE_NAME" not in read_text(Path(point.directory) / "cp2k.inp")


def test_another_charge_starts_from_atoms(hydrogen, tmp_path: Path) -> None:
    with Orbitals(tmp_path, used=True) as orbitals:
        assert not orbitals.give(hydrogen[0], tmp_path)  # the first one
        (tmp_path / "CP2K-RESTART.wfn").write_bytes(b"x")
        orbitals.take(hydrogen[0], tmp_path, good=True)
        assert not orbitals.give(hydrogen[1].model_copy(update={"charge": 1}), tmp_path)
        assert orbitals.give(hydrogen[1], tmp_path)
        (tmp_path / "CP2K-RESTART.wfn").write_bytes(b"not converged")
        orbitals.take(hydrogen[1], tmp_path, good=False)
        assert orbitals.path.read_bytes() == b"x"
    assert list(tmp_path.iterdir()) == []
