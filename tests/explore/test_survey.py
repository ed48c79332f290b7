"""Hops of trajectory files: a made crystal with known hops, and a real run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Structure

from ionloop.errors import ExplorationError
from ionloop.explore.survey import SurveyPlan, survey
from ionloop.trajectory import TrajectoryStream, open_trajectory

ROOT = Path(__file__).resolve().parents[2]
A = 4.0
GRID = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
HOST = Structure(Lattice.cubic(A), ["Li", "O"], [[0.5, 0.5, 0.5], [0.0, 0.0, 0.0]])
PLAN = SurveyPlan(mobile_ion="Li", temperature=600.0, frame_interval_fs=50.0)
#: Ions on sites 0 to 5 of 27; each hop: ion, frame of leaving, vector in lattice constants.
HOPS = [
    (1, 40, (0, 0, 1)),  # concerted with the next: 1 leaves its site, 0 moves in
    (0, 42, (0, 0, 1)),
    (4, 120, (1, 0, 0)),  # alone
    (3, 200, (0, 1, 0)),  # alone, and back later
    (3, 260, (0, -1, 0)),
]
STARTS = (0, 1, 6, 9, 20, 24)


def made(n_frames: int = 400, seed: int = 0, shift: float = 0.0) -> TrajectoryStream:
    """Ions in a drifting simple cubic framework."""
    rng = np.random.default_rng(seed)
    ions = np.tile((GRID[list(STARTS)] + 0.5) * A, (n_frames, 1, 1))
    for ion, frame, vector in HOPS:
        ramp = np.clip((np.arange(n_frames) - frame) / 3, 0, 1)
        ions[:, ion] += A * ramp[:, None] * np.array(vector)
    ions[300:302, 5] += [A, 0, 0]  # an excursion of 100 fs
    positions = np.concatenate([ions, np.tile(GRID * A, (n_frames, 1, 1))], axis=1)
    positions += rng.normal(scale=0.25, size=positions.shape)
    positions += shift + np.linspace(0, 3, n_frames)[:, None, None]
    symbols = ["Li"] * len(STARTS) + ["O"] * 27
    return open_trajectory([Atoms(symbols, x, cell=np.eye(3) * 3 * A, pbc=True) for x in positions])


def look(plan: SurveyPlan = PLAN, host: Structure | None = HOST, n: int = 1):
    streams = [made(seed=k, shift=0.7 * k) for k in range(n)]
    return survey(streams, plan, np.random.default_rng(0), host)


def test_known_hops_events_and_rates() -> None:
    found = look()
    (hops,) = found.hops
    assert [hop.ion for hop in hops] == [1, 0, 4, 3, 3]
    assert found.sites.source == "crystal"
    assert {hop.path_class for hop in hops} == {"Li-Li 4.00 A #0"}
    assert {hop.temperature for hop in hops} == {600.0}
    assert [hop.n_ions for hop in hops] == [2, 2, 1, 1, 1]
    assert hops[0].event == hops[1].event
    assert len({hop.event for hop in hops}) == 4
    assert found.concerted_share == pytest.approx(2 / 5)
    assert found.largest_event == 2
    assert found.returned_share == pytest.approx(1 / 5)
    assert found.n_changes >= 7  # the excursion's two changes
    assert found.ion_time_ps == pytest.approx(6 * 399 * 0.05)
    total = found.rates[0]
    assert (total.n_hops, total.n_events) == (5, 4)
    assert total.n_effective == pytest.approx(25 / 7)
    assert total.rate == pytest.approx(5 / found.ion_time_ps)
    assert total.low < total.rate < total.high
    for hop in hops:
        assert hop.t_arrive_fs > hop.t_leave_fs
        assert len(hop.progress) > 1
        assert hop.progress[0] < 0.5 < hop.progress[-1]


def test_runs_of_one_temperature_are_pooled_in_one_rest_frame() -> None:
    found = look(n=3)
    assert [[hop.ion for hop in hops] for hops in found.hops] == [[1, 0, 4, 3, 3]] * 3
    assert (found.rates[0].n_hops, found.rates[0].n_events) == (15, 12)


@pytest.mark.parametrize("host", [HOST, None])
def test_density_finds_the_visited_sites(host: Structure | None) -> None:
    """The framework's symmetry turns the few that were visited into all 27."""
    found = look(SurveyPlan("Li", 600.0, 50.0, choice="density"), host)
    assert found.sites.source == "density"
    assert found.sites.n_sites == 27
    assert [hop.ion for hop in found.hops[0]] == [1, 0, 4, 3, 3]
    assert all(hop.distance == pytest.approx(A, abs=0.1) for hop in found.hops[0])


def test_skip_and_stride_are_kept_in_time() -> None:
    found = look(SurveyPlan("Li", 600.0, 50.0, skip=100, stride=2))
    assert [hop.ion for hop in found.hops[0]] == [4, 3, 3]
    assert found.frame_interval_fs == 100.0
    assert found.hops[0][0].t_leave_fs == pytest.approx(20 * 50, abs=150)


def test_what_can_not_be_looked_at_is_refused() -> None:
    with pytest.raises(ExplorationError, match="host"):
        look(SurveyPlan("Li", 600.0, 50.0, choice="crystal"), host=None)
    with pytest.raises(ExplorationError, match="2 frames or more"):
        look(SurveyPlan("Li", 600.0, 50.0, skip=399))
    other = open_trajectory([Atoms("LiO", [[0, 0, 0], [2, 2, 2]], cell=[9, 9, 9], pbc=True)] * 3)
    with pytest.raises(ExplorationError, match="one by one"):
        survey([made(), other], PLAN, np.random.default_rng(0), HOST)


def test_a_real_run_of_argyrodite() -> None:
    """Ions rattle inside their cages; nearly none leaves one within 14 ps at 500 K."""
    folder = Path(os.environ.get("IONLOOP_TEST_DATA", ROOT.parent / "shared" / "data"))
    file = folder / "argyrodite_aimd" / "Li6PS5Cl_0p_run1.XDATCAR.gz"
    if not file.is_file():
        pytest.skip(f"no {file}; IONLOOP_TEST_DATA names the folder of real data")
    plan = SurveyPlan("Li", 500.0, 100.0, choice="density")
    found = survey([open_trajectory(file)], plan, np.random.default_rng(0))
    assert found.sites.symmetry == 768  # F-43m, 2 x 2 x 2
    assert found.sites.n_sites == 192  # 24g of each of 8 cells
    assert found.sites.share_within < 0.65  # it says that these are no good sites
    inside = sum(rate.n_hops for rate in found.rates[1:] if 2.9 < rate.distance < 3.5)
    assert inside > 0.98 * found.rates[0].n_hops
    assert found.concerted_share > found.chance_share + 5 * found.chance_error
    assert 800 < found.rates[0].n_hops < 1200
