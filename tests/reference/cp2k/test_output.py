"""What CP2K leaves behind, as texts."""

from __future__ import annotations

import numpy as np

from ionloop.reference.cp2k.output import failure_reason, read_xyz, total_cores, total_time

XYZ = """ 2
 i = 0, time = 0.000, E = -1.0
Li_1 0.0 0.0 -0.5
Cl_1 9.0 2.5 2.5
 2
 i = 5, time = 10.000, E = -1.0
Li_1 0.1 0.0 -0.5
Cl_1 9.0 2.5 2.5
"""


def test_read_xyz_drops_a_frame_that_was_cut_off() -> None:
    positions, steps = read_xyz(XYZ, 2)
    assert steps == [0, 5]
    np.testing.assert_allclose(positions[1], [[0.1, 0, -0.5], [9, 2.5, 2.5]])
    assert read_xyz(XYZ[: XYZ.rindex(" 2.5")], 2)[1] == [0]
    assert len(read_xyz("", 2)[0]) == 0


def test_failure_reason_reads_outputs() -> None:
    good = " CP2K| version string:   CP2K version 2023.1\n  SCF run converged in 9 steps\n"
    assert "ends without" in failure_reason(good, "2023.1")
    assert failure_reason(f"{good} PROGRAM ENDED AT now", "2023.1") is None
    assert "expected CP2K 2024.1, got 2023.1" in failure_reason(good, "2024.1")


def test_total_time_is_the_last_column() -> None:
    assert total_time(" CP2K        1  1.0    0.010    0.011    3.330    3.339\n") == 3.339
    assert total_time("no table") == 0.0


def test_cores_are_processes_times_threads() -> None:
    lines = [
        " GLOBAL| Total number of message passing processes                            16\n",
        " GLOBAL| Number of threads for this process                                    2\n",
    ]
    assert total_cores("".join(lines)) == 32
    assert total_cores(lines[0]) is None
