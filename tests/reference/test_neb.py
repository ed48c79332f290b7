"""Bands on the teacher: against symmetry and a constrained search, and through a death."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from ase.constraints import FixedPlane
from ase.geometry import find_mic
from ase.io import read, write
from ase.optimize import BFGS

from ionloop.errors import ExplorationError
from ionloop.frame import Frame
from ionloop.reference import buckingham
from ionloop.reference.ends import RelaxedEnds
from ionloop.reference.neb import relax_band
from ionloop.reference.schema import Band
from ionloop.seed.schema import Hop

FMAX = 0.03


class _DeathError(RuntimeError):
    """What ends a job here, as a killed worker does."""


def make(_: int = 0) -> Calculator:
    return buckingham.calculator(buckingham.LI3OCL)


def mortal(calls: int) -> Callable[[int], Calculator]:
    """Make calculators that all die at a given force call of theirs together."""
    left = [calls]

    def make_mortal(_: int) -> Calculator:
        calculator = make()
        calculate = calculator.calculate

        def calculate_once_more(*args: object, **kwargs: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise _DeathError
            calculate(*args, **kwargs)

        calculator.calculate = calculate_once_more
        return calculator

    make_mortal.left = left
    return make_mortal


def relax(hop: Hop, maker: Callable[[int], Calculator] = make, **options: object) -> Band:
    defaults = {"n_images": 3, "fmax": FMAX, "max_steps": 80, "engine": "e", "settings_hash": "s"}
    return relax_band(hop, maker, **{**defaults, **options})


@pytest.fixture(scope="module")
def band(li3ocl_hop: Hop) -> Band:
    return relax(li3ocl_hop)


def test_the_band_is_complete(band: Band, li3ocl_hop: Hop) -> None:
    assert band.converged
    assert np.shape(band.images) == (5, 38, 3)
    assert len(band.energies) == 5
    assert (band.symbols, band.ion) == (li3ocl_hop.start.symbols, li3ocl_hop.ion)
    assert (band.engine, band.settings_hash, band.fmax) == ("e", "s", FMAX)
    for atoms, energy in zip(band.to_atoms(), band.energies, strict=True):
        atoms.calc = make()
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-8)


def test_a_symmetric_hop_has_a_symmetric_band(band: Band) -> None:
    """Both ends are one configuration to the crystal: far from the Cl vacancy on a diagonal."""
    assert band.energies[0] == pytest.approx(band.energies[-1], abs=1e-4)
    assert band.energies[1] == pytest.approx(band.energies[3], abs=2e-3)
    assert np.argmax(band.energies) == 2
    np.testing.assert_allclose(band.progress()[2], 0.5, atol=5e-3)


def test_the_way_back_is_the_way_there(band: Band, li3ocl_hop: Hop) -> None:
    back = relax(li3ocl_hop.model_copy(update={"start": li3ocl_hop.end, "end": li3ocl_hop.start}))
    assert back.barrier == pytest.approx(max(band.energies) - band.energies[-1], abs=2e-3)


def test_the_saddle_is_that_of_a_constrained_search(band: Band) -> None:
    """The ion held on the plane half-way, all else free: no band and no springs."""
    first, *_, last = band.to_atoms()
    step, _ = find_mic(last.positions - first.positions, first.cell)
    middle = first.copy()
    middle.positions += step / 2
    middle.set_constraint(FixedPlane(band.ion, step[band.ion]))
    middle.calc = make()
    assert BFGS(middle, logfile=None).run(fmax=0.01, steps=200)
    scanned = middle.get_potential_energy() - band.energies[0]
    assert band.barrier == pytest.approx(scanned, abs=3e-3)
    assert 0.2 < band.barrier < 0.3


def test_the_highest_image_climbs(band: Band, li3ocl_hop: Hop) -> None:
    """Two images would lie on both sides of the saddle, about 0.05 eV below it."""
    two = relax(li3ocl_hop, n_images=2)
    assert two.converged
    assert two.barrier == pytest.approx(band.barrier, abs=5e-3)


def test_the_ends_are_minima(band: Band) -> None:
    for atoms in (band.to_atoms()[0], band.to_atoms()[-1]):
        atoms.calc = make()
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() <= FMAX


def test_a_killed_band_goes_on_from_its_checkpoint(
    band: Band, li3ocl_hop: Hop, tmp_path: Path
) -> None:
    """Death shortly before the end: the same barrier, and next to nothing done twice."""
    checkpoint = tmp_path / "band.extxyz"
    with pytest.raises(_DeathError):
        relax(li3ocl_hop, mortal(110), checkpoint=checkpoint)
    maker = mortal(10_000)
    earlier_s = read(checkpoint, 0).info["earlier_s"]
    again = relax(li3ocl_hop, maker, checkpoint=checkpoint)
    assert again.wall_s > earlier_s > 0  # of both launches
    assert again.converged
    assert again.barrier == pytest.approx(band.barrier, abs=5e-3)
    assert 10_000 - maker.left[0] < band.n_force_calls / 2
    # The calls of the first attempt count too, all but those of its last, unfinished step.
    assert again.n_force_calls >= 110 - 3 + (10_000 - maker.left[0])
    finished = relax(li3ocl_hop, checkpoint=checkpoint)
    assert finished.wall_s > read(checkpoint, 0).info["earlier_s"] > earlier_s
    assert finished.n_force_calls - again.n_force_calls <= 10
    assert finished.barrier == pytest.approx(again.barrier, abs=1e-4)


def test_an_unfinished_band_says_so_and_counts_its_calls(
    li3ocl_hop: Hop, caplog: pytest.LogCaptureFixture
) -> None:
    maker = mortal(10_000)
    with caplog.at_level(logging.WARNING):
        band = relax(li3ocl_hop, maker, max_steps=2)
    assert not band.converged
    assert "not converged" in caplog.text
    assert len(band.images) == 5
    # Each of the two relaxations of the band finds the forces of its start in the cache.
    used = 10_000 - maker.left[0]
    assert used <= band.n_force_calls <= used + 6


def test_a_relaxed_end_is_not_relaxed_again(band: Band, li3ocl_hop: Hop, tmp_path: Path) -> None:
    """Death in the second end, or at once after it: what was done stands, calls included."""
    checkpoint = tmp_path / "band.extxyz"
    first = mortal(10_000)
    first_end = relax_end_calls(li3ocl_hop.start, first)
    both_ends = first_end + relax_end_calls(li3ocl_hop.end, first)
    for n_calls, n_images in ((first_end + 1, 1), (both_ends - first_end, 5)):
        with pytest.raises(_DeathError):
            relax(li3ocl_hop, mortal(n_calls), checkpoint=checkpoint)
        assert len(read(checkpoint, ":")) == n_images
    again = relax(li3ocl_hop, checkpoint=checkpoint)
    assert again.converged
    assert again.barrier == pytest.approx(band.barrier, abs=5e-3)
    # The first end's energy is computed once more, that of the second too after its death.
    assert again.n_force_calls == pytest.approx(band.n_force_calls, abs=10)


def test_hops_of_one_structure_relax_its_end_once(li3ocl_hop: Hop) -> None:
    back = li3ocl_hop.model_copy(update={"start": li3ocl_hop.end, "end": li3ocl_hop.start})
    shared, counted = RelaxedEnds(), mortal(10_000)
    bands, used = [], []
    for hop in (li3ocl_hop, back):
        before = counted.left[0]
        bands.append(relax(hop, counted, shared=shared))
        used.append(before - counted.left[0])
    there, again = bands
    assert used[0] - used[1] > 10
    assert again.n_force_calls == there.n_force_calls - sum(
        relax_end_calls(end, mortal(1000)) for end in (li3ocl_hop.start, li3ocl_hop.end)
    )
    assert again.images[0] == there.images[-1]
    assert again.energies[0] == there.energies[-1]
    assert again.barrier == pytest.approx(there.barrier, abs=5e-3)
    assert again.converged


def test_ends_are_shared_with_what_is_known_of_them(li3ocl_hop: Hop) -> None:
    """An end that did not converge doesn't in the next band, and a tighter one is relaxed anew."""
    shared = RelaxedEnds()
    assert not relax(li3ocl_hop, fmax=0.2, end_steps=1, shared=shared).converged
    assert not relax(li3ocl_hop, fmax=0.2, end_steps=60, shared=shared).converged
    tight = relax(li3ocl_hop, fmax=0.2, end_fmax=0.02, shared=shared)
    assert tight.converged
    ends = tight.to_atoms()
    for atoms in (ends[0], ends[-1]):
        atoms.calc = make()
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.02


def relax_end_calls(frame: Frame, maker: Callable[[int], Calculator]) -> int:
    before = maker.left[0]
    atoms = frame.to_atoms()
    atoms.calc = maker(0)
    assert BFGS(atoms, logfile=None).run(fmax=FMAX, steps=60)
    return before - maker.left[0]


def test_a_band_on_ends_that_did_not_converge_did_not_converge(
    li3ocl_hop: Hop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The images between them may, and the flag outlives a death."""
    checkpoint = tmp_path / "band.extxyz"
    loose = {"fmax": 0.2, "end_steps": 1, "checkpoint": checkpoint}
    with caplog.at_level(logging.WARNING):
        band = relax(li3ocl_hop, **loose)
    assert "an end not converged" in caplog.text
    assert not band.converged
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert not relax(li3ocl_hop, **loose).converged
    assert "not converged" not in caplog.text  # the images themselves converged


def test_a_checkpoint_that_does_not_speak_of_its_ends_is_not_converged(
    band: Band, li3ocl_hop: Hop, tmp_path: Path
) -> None:
    write(tmp_path / "band.extxyz", list(band.to_atoms()), "extxyz")
    assert not relax(li3ocl_hop, checkpoint=tmp_path / "band.extxyz").converged


def test_ends_that_fall_together_are_refused(li3ocl_hop: Hop, tmp_path: Path) -> None:
    """An end that is a third of the way off rolls back to the start."""
    start, end = np.array(li3ocl_hop.start.positions), np.array(li3ocl_hop.end.positions)
    near = Frame(
        **{**li3ocl_hop.end.model_dump(), "positions": (start + (end - start) / 4).tolist()}
    )
    hop = li3ocl_hop.model_copy(update={"end": near})
    with pytest.raises(ExplorationError, match=r"2\.76 Å apart, got 0\.\d\d Å: .*drop this hop"):
        relax(hop, checkpoint=tmp_path / "band.extxyz")
