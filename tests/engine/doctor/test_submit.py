"""A login node: a real SLURM and the files of ``make_cluster.py``, as the how-to has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ionloop.testing.slurm import throwaway_slurm

MAKE = Path(__file__).resolve().parents[3] / "workflows" / "make_cluster.py"


def doctor(folder: Path, then: str = "") -> tuple[int, dict[str, dict]]:
    """Look at this machine as a login node; return the exit status and what counts and isn't ok."""
    line = f'source "{folder}/environment.sh"; {then} ionloop doctor --for submit --json'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    red = {name: one for name, one in checks.items() if one["needed"] and not one["ok"]}
    return done.returncode, red


def test_a_login_node_needs_its_queue_and_its_adapters(ionloop_db, ionloop_home, tmp_path):
    folder = tmp_path / "cluster"
    command = [sys.executable, str(MAKE), str(folder), "--work-dir", str(tmp_path / "work"),
               "--dft-partition", "cpu", "--gpu-partition", "gpu"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    # Neither a device nor a program of a reference is asked of it.
    bare = "export IONLOOP_DEVICE=cuda IONLOOP_CP2K_CMD=none IONLOOP_VASP_CMD=none;"
    with throwaway_slurm() as slurm:
        assert doctor(folder, bare) == (0, {})
        slurm.run("scontrol", "update", "PartitionName=cpu", "State=DOWN")
        slurm.run("scontrol", "update", "PartitionName=gpu", "State=DOWN")
        (folder / "dft" / "my_qadapter.yaml").write_text("_fw_name: CommonAdapter\nqueue: <CPU>\n")
        code, red = doctor(folder)
        assert (code, red.keys()) == (1, {"partitions", "queue adapter"})
        assert red["partitions"]["detail"] == "up: none; down: cpu, gpu"
        assert "<CPU> isn't filled in" in red["queue adapter"]["detail"]
    (folder / "dft" / "my_qadapter.yaml").unlink()
    # No controller any more, and a folder without adapters.
    nowhere = (
        f"export FW_CONFIG_FILE={tmp_path}/none.yaml JOBFLOW_CONFIG_FILE={tmp_path}/none.yaml;"
    )
    code, red = doctor(folder, nowhere)
    assert (code, red.keys()) == (1, {"partitions", "jobs in the queue", "queue adapter"})
