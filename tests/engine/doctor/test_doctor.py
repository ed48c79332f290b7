"""Each check finds its planted fault, and is green where there is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import ANY

import pytest
from jobflow import Flow, job
from pymongo import MongoClient

from ionloop import cli
from ionloop.engine import submit
from ionloop.engine.doctor import (
    PROBES,
    Reference,
    Role,
    compute,
    data,
    disk,
    examine,
    programs,
    queue,
    server,
    workers,
)
from ionloop.engine.doctor.check import ALL, COMPUTE, SUBMIT, Found, Probe, Scene, run_probes
from ionloop.processes import die_with_parent
from ionloop.settings import get_settings
from ionloop.store import health
from ionloop.store.connection import database
from ionloop.store.indexes import create_indexes
from ionloop.store.mongod import find_mongod, free_port
from ionloop.testing import environment
from ionloop.testing.potcars import write_potcars

# ---------------------------------------------------------------- how checks are run


def run_one(look, role: Role = Role.RUN, **options):
    probe = Probe("x", look, **options)
    return run_probes([probe], Scene(settings=get_settings()), role)[0]


def test_a_check_that_raises_is_a_finding():
    def broken(_: Scene) -> Found:
        msg = "two\nlines"
        raise ValueError(msg)

    found = run_one(broken, needed_for=ALL)
    assert (found.ok, found.needed, found.detail) == (False, True, "ValueError: two lines")


def test_a_check_that_hangs_is_a_finding_and_holds_nothing_up():
    def hangs(_: Scene) -> Found:
        time.sleep(60)
        return Found(ok=True, detail="")

    start = time.monotonic()
    slow = Probe("slow", hangs, limit_s=0.2)
    fine = Probe("fine", lambda _: Found(ok=True, detail="here", mend="none"))
    found = run_probes([slow, fine], Scene(settings=get_settings()), Role.RUN)
    assert time.monotonic() - start < 10
    assert [(c.name, c.ok) for c in found] == [("slow", False), ("fine", True)]
    assert found[0].detail == "no answer within 0 s"
    assert (found[1].detail, found[1].mend) == ("here", "")  # nothing to mend


def test_what_is_needed_depends_on_what_the_machine_is_for():
    def missing(_: Scene) -> Found:
        return Found(ok=False, detail="none")

    assert list(Role) == ["run", "work", "submit", "read"]
    needed = [run_one(missing, role, needed_for=COMPUTE).needed for role in Role]
    assert needed == [True, True, False, False]
    assert not run_one(lambda _: Found(ok=False, detail="", minor=True), needed_for=ALL).needed


#: What each kind of machine needs, of all that is looked at.
WRITES = {
    "database", "database access", "replica set", "indexes", "write concern", "clock",
    "versions", "FireWorks", "disk", "work folder", "secrets",
}  # fmt: skip
NEEDS = {
    Role.RUN: WRITES | {"mongod", "torch", "mace-torch", "device"},
    Role.WORK: WRITES | {"torch", "mace-torch", "device"},
    Role.SUBMIT: WRITES | {"queue", "partitions", "queue adapter", "jobs in the queue"},
    Role.READ: {"database", "database access"},
}
#: What a reference's own check before a campaign asks for.
COMPUTED_BY = {
    Reference.VASP: {"vasp", "vasp neb", "potcar"},
    Reference.CP2K: {"cp2k", "cp2k shell", "cp2k data"},
}


@pytest.mark.parametrize("role", Role)
def test_each_role_and_each_reference_has_its_needs(role):
    def needed(reference: Reference | None) -> set[str]:
        return {probe.name for probe in PROBES if probe.is_needed(role, reference)}

    assert needed(None) == NEEDS[role]
    for reference, names in COMPUTED_BY.items():
        assert needed(reference) == NEEDS[role] | (names if role in COMPUTE else set())


def test_without_a_database_its_checks_say_so():
    found = run_one(server.indexes, asks=True)
    assert (found.ok, found.detail, found.mend) == (False, "no database", "see database")


# ---------------------------------------------------------------- the database


@pytest.fixture
def scene(ionloop_db):
    return Scene(settings=get_settings(), db=database())


def start_mongod(folder: Path, *options: str) -> tuple[subprocess.Popen, int]:
    port = free_port()
    command = [str(find_mongod()), "--dbpath", str(folder), "--port", str(port), "--nounixsocket",
               "--wiredTigerCacheSizeGB", "0.25", *options]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        preexec_fn=die_with_parent,  # noqa: PLW1509
        cwd=folder,
    )
    with MongoClient(port=port, serverSelectionTimeoutMS=60_000) as client:
        client.admin.command("ping")
    return process, port


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """A server without replica set or password that others reach, and that can be made slow."""
    options = ("--bind_ip", "0.0.0.0", "--setParameter", "enableTestCommands=1")
    process, port = start_mongod(tmp_path_factory.mktemp("lone"), *options)
    yield f"mongodb://127.0.0.1:{port}/"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with a password; yields its port."""
    process, port = start_mongod(tmp_path_factory.mktemp("guarded"), "--auth", "--bind_ip_all")
    with MongoClient(port=port) as client:
        rights = [{"role": "readWrite", "db": "ionloop"}]
        client.admin.command("createUser", "root", pwd="canary", roles=["root"])
    with MongoClient(f"mongodb://root:canary@127.0.0.1:{port}/") as client:
        client.ionloop.command("createUser", "runner", pwd="canary", roles=rights)
    yield port
    process.kill()
    process.wait()


def at(uri: str) -> Scene:
    with environment({"IONLOOP_DB_URI": uri, "IONLOOP_DB_NAME": "ionloop"}) as settings:
        return Scene(settings=settings, db=database(settings))


def test_a_mongod_is_found_or_not(ionloop_home, monkeypatch):
    assert server.local_mongod(Scene(settings=get_settings())).ok
    monkeypatch.setenv("IONLOOP_MONGOD", "/nowhere/mongod")
    found = server.local_mongod(Scene(settings=get_settings()))
    assert (found.ok, found.minor) == (False, False)
    assert "/nowhere/mongod" in found.mend
    monkeypatch.setenv("IONLOOP_DB_URI", "mongodb://elsewhere/")
    assert server.local_mongod(Scene(settings=get_settings())).minor


def test_the_database_answers_or_not(scene, ionloop_home):
    assert server.answers(scene).detail.startswith("MongoDB ")
    found = server.answers(Scene(settings=get_settings(), silent="start it"))
    assert (found.ok, found.mend) == (False, "start it")


def test_a_release_past_its_end_of_life_is_told(scene, monkeypatch):
    release = ".".join(scene.db.client.server_info()["version"].split(".")[:2])
    monkeypatch.setitem(health.END_OF_LIFE, release, date(2025, 7, 31))
    assert "support ended 2025-07-31" in server.supported(scene).detail
    assert not server.supported(scene).ok
    monkeypatch.setitem(health.END_OF_LIFE, release, date(2999, 1, 1))
    assert server.supported(scene).ok
    monkeypatch.delitem(health.END_OF_LIFE, release)
    assert server.supported(scene).ok
    assert health.end_of_life("6.0.12") is None or release != "6.0"


def test_an_open_server_is_green_only_out_of_others_reach(scene, lone):
    assert server.protected(scene).ok
    found = server.protected(at(lone))
    assert not found.ok
    assert "other machines reach the server" in found.detail


def test_a_guarded_server_is_green_and_its_password_isnt_shown(guarded):
    inside = at(f"mongodb://runner:canary@127.0.0.1:{guarded}/ionloop")
    assert server.answers(inside).ok
    assert server.protected(inside) == Found(ok=True, detail="signed in as runner@ionloop")
    outside = at(f"mongodb://127.0.0.1:{guarded}/")
    found = server.answers(outside)
    assert not found.ok
    assert "requires authentication" in found.detail
    assert "canary" not in f"{found}{server.answers(inside)}"


def test_a_lone_server_is_told(scene, lone):
    assert server.replica_set(scene).detail == "rs0"
    assert not server.replica_set(at(lone)).ok


def test_a_sharded_cluster_is_replica_sets():
    """Its router names none. No mongos is at hand: its words are MongoDB's manual's."""
    said = {"isWritablePrimary": True, "msg": "isdbgrid"}
    client = SimpleNamespace(admin=SimpleNamespace(command=lambda _: said))
    routed = Scene(settings=get_settings(), db=SimpleNamespace(client=client))
    assert server.replica_set(routed) == Found(ok=True, detail="sharded cluster", mend=ANY)


def test_missing_indexes_are_told(scene):
    found = server.indexes(scene)
    assert not found.ok
    assert found.detail.endswith("missing")
    create_indexes(scene.db)
    assert server.indexes(scene).ok


def test_an_unsafe_write_concern_is_told(scene, mongod_uri):
    assert sorted(server.writes(scene).detail.split(", ")) == ["j=True", "w=majority"]
    assert not server.writes(at(f"{mongod_uri}&w=1")).ok
    assert not server.writes(at(f"{mongod_uri}&journal=false")).ok


def test_a_slow_server_is_told(scene, lone):
    assert server.fast(scene).ok
    with MongoClient(lone) as client:
        slow = {"failCommands": ["ping"], "blockConnection": True, "blockTimeMS": 80}
        point = {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": slow}
        far = at(lone)
        client.admin.command(point)
        try:
            found = server.fast(far)
        finally:
            client.admin.command({**point, "mode": "off"})
    assert not found.ok
    assert float(found.detail.split()[0]) > 80


@pytest.mark.parametrize(("shift", "which"), [(60.0, "60.0 s ahead of"), (-60.0, "60.0 s behind")])
def test_a_wrong_clock_is_told(scene, monkeypatch, shift, which):
    assert server.clock(scene).ok
    true = time.time
    monkeypatch.setattr(health.time, "time", lambda: true() + shift)
    found = server.clock(scene)
    assert not found.ok
    assert which in found.detail


# ---------------------------------------------------------------- workers


@pytest.fixture
def camp(ionloop_db, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "support"))
    monkeypatch.chdir(Path.cwd())
    import jobflow

    from ionloop.store.connection import job_store

    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    import controlled

    return controlled


def looked(camp, tmp_path, monkeypatch, during) -> list[Found]:
    """Look while a job runs, as its worker would have left it."""
    from ionloop.engine.launchpad import launchpad

    monkeypatch.chdir(tmp_path)
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    scene = Scene(settings=get_settings(), db=database())
    found = []
    camp.rocket_that(launchpad(), lambda: found.extend(during(scene)))
    return found


def test_jobs_that_wait_for_no_one_are_told(camp, tmp_path, monkeypatch):
    def during(scene):
        yield workers.at_work(scene)
        old = {"time_start": "2020-01-01T00:00:00", "state_history": [], "heartbeat": None}
        scene.db.launches.update_many({}, {"$set": old})
        yield workers.at_work(scene)

    scene = Scene(settings=get_settings(), db=database())
    assert workers.at_work(scene) == Found(ok=True, detail="none seen yet")
    fine, silent = looked(camp, tmp_path, monkeypatch, during)
    assert fine.ok
    assert "1 jobs run" in fine.detail
    assert os.uname().nodename in fine.detail
    assert not silent.ok
    assert silent.detail.startswith("silent for long, with running jobs: ")
    # now its labels wait, and no one runs any
    waits = workers.at_work(scene)
    assert not waits.ok
    assert "2 jobs wait" in waits.detail
    assert "ionloop resume c" in waits.mend


@pytest.mark.parametrize(("promised", "limit_s"), [({}, 4 * 3600), ({"lost_after_s": 600}, 600)])
def test_a_worker_is_silent_when_others_would_take_its_job(
    camp, tmp_path, monkeypatch, promised, limit_s
):
    """By its own IONLOOP_LOST_AFTER_S, which its launches tell; others' is FireWorks' 4 h."""
    from ionloop.engine.cluster.lost import described, verdict
    from ionloop.engine.launchpad import launchpad

    def during(scene):
        for silent_s in (limit_s - 60, limit_s + 60):
            then = datetime.now(UTC) - timedelta(seconds=silent_s)
            told = {"fworker.name": "elsewhere", "fworker.env": promised, "heartbeat": then}
            old = {"time_start": "2020-01-01T00:00:00", "state_history": []}
            scene.db.launches.update_many({}, {"$set": {**told, **old}})
            (launch,) = described(launchpad(), "c")
            found = workers.at_work(scene)
            assert found.ok is (verdict(launch, None) is None)
            yield found

    fine, silent = looked(camp, tmp_path, monkeypatch, during)
    assert fine.ok
    assert silent.detail == "silent for long, with running jobs: elsewhere"


def test_other_versions_on_a_worker_are_told(camp, tmp_path, monkeypatch):
    def during(scene):
        for told in (version("jobflow"), "0.0.1"):
            env = {"versions": {"jobflow": told, "not-installed-here": "1"}}
            scene.db.launches.update_many({}, {"$set": {"fworker.env": env}})
            yield workers.same_versions(scene)

    fine, wrong = looked(camp, tmp_path, monkeypatch, during)
    assert fine.ok
    assert fine.detail == "as here: 1 workers"
    assert not wrong.ok
    assert f"jobflow 0.0.1, here {version('jobflow')}" in wrong.detail
    # It has ended: today's worker counts, last week's doesn't.
    scene = Scene(settings=get_settings(), db=database())
    assert not workers.same_versions(scene).ok
    old = {"time_start": "2020-01-01T00:00:00", "time_end": None, "state_history": []}
    scene.db.launches.update_many({}, {"$set": {**old, "heartbeat": None}})
    assert workers.same_versions(scene).detail == "no worker has told yet"


@pytest.mark.parametrize(("told", "ok"), [(version("jobflow"), True), ("0.0.1", False)])
def test_other_versions_of_the_launcher_are_told(scene, told, ok):
    submit(Flow([job(print)()]), "c")
    start = {"@class": "CampaignStart", "campaign_id": "c", "versions": {"jobflow": told}}
    scene.db.outputs.insert_one(
        {"uuid": "u", "index": 1, "metadata": {"campaign_id": "c"}, "output": start}
    )
    found = workers.same_versions(scene)
    assert found.ok is ok
    assert ok or "c was launched with jobflow 0.0.1" in found.detail


# ---------------------------------------------------------------- the queue


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_machine_without_batch_system_is_told(scene, monkeypatch):
    monkeypatch.setenv("PATH", "")
    for look in (queue.commands, queue.partitions, queue.queued):
        assert not look(scene).ok
        assert run_one(look, Role.SUBMIT, needed_for=SUBMIT).needed


def test_what_asks_a_queue_submits_nothing(scene, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    script(tmp_path, "squeue", "exit 0")
    assert queue.commands(scene).detail == "no sbatch, no qsub"
    script(tmp_path, "sbatch", "exit 0")
    assert queue.commands(scene).detail == "sbatch, squeue"


def test_another_batch_system_has_none_of_slurms_programs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    script(tmp_path, "qsub", "exit 0")
    asked = {p.name: run_one(p.look, Role.SUBMIT, needed_for=SUBMIT) for p in queue.PROBES}
    assert asked["queue"].ok
    for name in ("partitions", "jobs in the queue"):
        assert (asked[name].ok, asked[name].needed) == (False, False)


def test_a_batch_system_that_doesnt_answer_is_told(scene, monkeypatch, tmp_path):
    """SLURM's own programs, without a controller."""
    assert queue.commands(scene).ok
    (tmp_path / "slurm.conf").write_text(
        "ClusterName=none\nSlurmctldHost=nowhere(127.0.0.1)\nSlurmctldPort=1\nAuthType=auth/none\n"
        "NodeName=nowhere\nPartitionName=x Nodes=nowhere\nMessageTimeout=1\n"
    )
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    for look in (queue.partitions, queue.queued):
        found = look(scene)
        assert not found.ok
        assert found.detail


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("_fw_name: CommonAdapter\n_fw_q_type: SLURM\n", ""),
        ("_fw_name: CommonAdapter\n", ""),
        ("rocket_launch: [\n", "while parsing"),
        ("just words\n", "no _fw_name"),
        ("_fw_name: CommonAdapter\nqueue: <DFT_PARTITION>  # x\n", "<DFT_PARTITION> isn't filled"),
        ("# what stands in <> or <X>\n_fw_name: CommonAdapter\n", ""),
    ],
)
def test_a_queue_adapter_is_read(scene, tmp_path, monkeypatch, text, wrong):
    monkeypatch.chdir(tmp_path)
    assert "none in" in queue.adapters(scene).detail
    monkeypatch.setenv("JOBFLOW_CONFIG_FILE", str(tmp_path / "cluster" / "jobflow.yaml"))
    (tmp_path / "cluster" / "dft").mkdir(parents=True)
    (tmp_path / "cluster" / "dft" / "my_qadapter.yaml").write_text(text)
    found = queue.adapters(scene)
    assert found.ok is not bool(wrong)
    assert wrong in found.detail
    assert "my_qadapter.yaml" in found.detail


# ---------------------------------------------------------------- programs


def test_packages_are_found_or_not(scene, tmp_path, monkeypatch):
    for look in (programs.torch, programs.mace, programs.fireworks):
        assert look(scene).ok
    assert not programs.package("no-such-package", "install it").ok
    (tmp_path / "half_gone-1.0.dist-info").mkdir()
    (tmp_path / "half_gone-1.0.dist-info" / "METADATA").write_text(
        "Name: half-gone\nVersion: 1.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = programs.package("half-gone", "", module="half_gone")
    assert (found.detail, found.mend) == ("broken", "reinstall half-gone")


def test_cp2k_is_asked_for_its_version(scene, tmp_path, monkeypatch):
    found = programs.cp2k(scene)
    assert found.ok
    assert found.detail[0].isdigit()
    broken = script(
        tmp_path, "cp2k", "echo error while loading shared libraries: libmpi.so; exit 127"
    )
    for command, said in (
        (str(broken), "libmpi.so"),
        ("no-such-cp2k", "no 'no-such-cp2k'"),
        ("", ""),
    ):
        monkeypatch.setenv("IONLOOP_CP2K_CMD", command)
        found = programs.cp2k(Scene(settings=get_settings()))
        assert not found.ok
        assert said in found.detail


@pytest.mark.parametrize("launcher", ["env", "mpirun -np 2", "srun --mpi=pmix -p cpu", "env A=1"])
def test_a_program_behind_a_launcher_is_looked_for(scene, tmp_path, monkeypatch, launcher):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("IONLOOP_VASP_CMD", f"{launcher} vasp_std")
    monkeypatch.setenv("IONLOOP_CP2K_CMD", f"{launcher} cp2k.psmp")
    asked = Scene(settings=get_settings())
    script(tmp_path, "vasp_std", "exit 0")
    script(tmp_path, "cp2k.psmp", "echo CP2K version 2026.1")
    assert not programs.vasp(asked).ok  # no launcher
    script(tmp_path, launcher.split()[0], "exit 1")
    assert str(tmp_path / "vasp_std") in programs.vasp(asked).detail
    assert programs.cp2k(asked).detail.startswith("2026.1")
    for name in ("vasp_std", "cp2k.psmp"):
        (tmp_path / name).unlink()
    assert not programs.vasp(asked).ok
    assert not programs.cp2k(asked).ok


def test_a_module_behind_a_launcher_is_pythons():
    command = f"env {sys.executable} -m ionloop.testing.vasp_std"
    assert programs.program(command) == sys.executable


def test_programs_of_bands_are_found_or_not(scene, tmp_path, monkeypatch):
    assert "IONLOOP_VASP_CMD is used" in programs.vasp_neb(scene).detail
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not programs.cp2k_shell(scene).ok
    script(tmp_path, "cp2k_shell.psmp", "exit 0")
    assert programs.cp2k_shell(scene).ok
    monkeypatch.setenv("IONLOOP_VASP_NEB_CMD", "vasp_vtst")
    assert not programs.vasp_neb(Scene(settings=get_settings())).ok


def test_vasp_is_found_or_not(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for look in (programs.vasp, programs.vasp_gamma):
        assert not look(scene).ok
    for name in ("vasp_std", "vasp_gam"):
        script(tmp_path, name, f"exec {sys.executable} -m ionloop.testing.vasp_std")
    for look, name in ((programs.vasp, "vasp_std"), (programs.vasp_gamma, "vasp_gam")):
        found = look(scene)
        assert found.ok
        assert str(tmp_path / name) in found.detail


def test_torch_computes(ionloop_home):
    found = compute.device(Scene(settings=get_settings()))
    assert found.ok or found.minor, found  # there may be a GPU
    assert found.detail.startswith("cpu")
    assert "torch " in found.detail


@pytest.mark.parametrize(
    ("name", "cuda", "ok"),
    [("cpu", False, True), ("cpu", True, False), ("cpu:0", True, False), ("cuda", True, True)],
)
def test_a_gpu_that_is_left_alone_is_a_remark(ionloop_home, monkeypatch, name, cuda, ok):
    """No GPU is at hand: the probe's answer is planted."""
    answer = {"torch": "2", "cuda": cuda, "devices": ["H100"] * cuda, "mace": ""}
    answer |= {"float32": "", "float64": ""}
    monkeypatch.setattr(compute, "_asked", lambda _: answer)
    monkeypatch.setenv("IONLOOP_DEVICE", name)
    found = run_one(compute.device, Role.WORK, needed_for=COMPUTE)
    assert (found.ok, found.needed) == (ok, ok)
    assert ("sees a GPU: H100" in found.detail) is not ok
    assert ("IONLOOP_DEVICE=cuda" in found.mend) is not ok


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    # meta: torch's device without numbers
    [("cuda", "sees no GPU"), ("meta", "meta doesn't compute in float32"), ("x", "in float32")],
)
def test_a_device_that_doesnt_compute_is_told(ionloop_home, monkeypatch, name, said):
    import torch

    if name == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setenv("IONLOOP_DEVICE", name)
    found = compute.device(Scene(settings=get_settings()))
    assert not found.ok
    assert said in found.detail


def test_a_broken_torch_is_told(ionloop_home, tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch_cpu.so: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("IONLOOP_DEVICE", "cpu:0")  # one that wasn't asked for yet
    found = compute.device(Scene(settings=get_settings()))
    assert not found.ok
    assert "libtorch_cpu.so" in found.detail


# ---------------------------------------------------------------- data, disk, secrets


def test_potcars_are_found_or_not(scene, tmp_path, monkeypatch):
    from pymatgen.core import SETTINGS

    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "none"))
    found = data.potcars(scene)
    assert not found.ok
    assert "PMG_VASP_PSP_DIR" in found.mend
    folder = write_potcars(tmp_path / "old", "Li_sv", "O", releases=("POT_GGA_PAW_PBE",))
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(folder))
    assert "no PBE_54" in data.potcars(scene).detail
    folder = write_potcars(tmp_path / "new", "Li_sv", "O")
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(folder))
    found = data.potcars(scene)
    assert found.ok
    assert "2 of PBE_54" in found.detail


def test_cp2k_data_are_found_or_not(scene, tmp_path, monkeypatch):
    assert data.cp2k_data(scene).ok
    (tmp_path / "BASIS_MOLOPT").touch()
    monkeypatch.setenv("IONLOOP_CP2K_DATA_DIR", str(tmp_path))
    found = data.cp2k_data(Scene(settings=get_settings()))
    assert not found.ok
    assert "no GTH_POTENTIALS in" in found.detail


def test_a_full_or_closed_disk_is_told(scene, monkeypatch):
    assert disk.home(scene).ok
    assert disk.work(scene).ok
    with monkeypatch.context() as patch:
        patch.setattr(disk, "DISK_GB", 1e9)
        assert "too little" in disk.home(scene).detail
        assert not disk.home(scene).ok
    with monkeypatch.context() as patch:
        patch.setattr(disk, "INODES", 10**15)
        patch.chdir("/dev/shm")
        assert "more files" in disk.work(scene).detail
    monkeypatch.chdir("/proc")
    assert "not writable" in disk.work(scene).detail
    monkeypatch.chdir("/tmp")
    monkeypatch.setenv("IONLOOP_WORK_DIR", "/proc/nowhere")
    found = disk.work(Scene(settings=get_settings()))
    assert not found.ok
    assert "/proc/nowhere" in found.detail
    monkeypatch.setenv("IONLOOP_HOME", "/proc/home")
    assert not disk.home(Scene(settings=get_settings())).ok


@pytest.mark.parametrize("name", [*disk.SECRETS, "named"])
def test_secrets_that_others_can_read_are_told(scene, ionloop_home, monkeypatch, name):
    ionloop_home.mkdir(exist_ok=True)
    assert disk.secrets(scene).ok
    file = ionloop_home / name
    file.touch()
    monkeypatch.setenv("JOBFLOW_CONFIG_FILE", str(ionloop_home / "named"))
    file.chmod(0o600)
    assert disk.secrets(scene).ok
    file.chmod(0o640)
    found = disk.secrets(scene)
    assert not found.ok
    assert "640" in found.detail
    assert f"chmod 600 {file}" in found.mend


def test_a_password_file_that_others_can_read_is_told(tmp_path, monkeypatch):
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(0o644)
    monkeypatch.setenv("IONLOOP_DB_PASSWORD_FILE", str(file))
    assert f"chmod 600 {file}" in disk.secrets(Scene(settings=get_settings())).mend


# ---------------------------------------------------------------- the command


@pytest.fixture
def main(monkeypatch, capsys):
    def call(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ionloop", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_the_command_has_stable_keys_and_an_exit_status(main, ionloop_db, monkeypatch):
    create_indexes(database())
    code, out, _ = main("doctor", "--json")
    checks = json.loads(out)
    assert {tuple(check) for check in checks} == {("name", "ok", "needed", "detail", "mend")}
    assert all(check["mend"] for check in checks if not check["ok"])
    names = {check["name"] for check in checks}
    assert {"database", "workers", "versions", "device", "clock", "secrets", "potcar"} <= names
    assert (code, [c for c in checks if c["needed"] and not c["ok"]]) == (0, [])
    code, out, _ = main("doctor")
    assert code == 0
    assert len(out.splitlines()) == len(checks)
    monkeypatch.setenv("IONLOOP_DB_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    for role in Role:
        assert main("doctor", "--for", role)[0] == 1
    code, _, err = main("doctor", "--for", "nonsense")
    assert code == 2
    assert "expected run, work, submit, read, got 'nonsense'" in err
    code, _, err = main("doctor", "--reference", "qe")
    assert code == 2
    assert "expected vasp, cp2k, got 'qe'" in err


def red(said: str) -> set[str]:
    """Return the names of checks that count."""
    lines = (line.removeprefix("FAIL ") for line in said.splitlines() if line.startswith("FAIL "))
    return {line.partition(":")[0] for line in lines}


@pytest.mark.parametrize(("role", "code"), [("run", 1), ("work", 1), ("read", 0)])
def test_missing_indexes_count_where_it_is_written(main, ionloop_db, role, code):
    found = main("doctor", "--for", role)
    assert (found[0], red(found[1])) == (code, {"indexes"} if code else set())
    create_indexes(database())
    assert main("doctor", "--for", role)[0] == 0


@pytest.mark.parametrize("role", ["run", "work"])
def test_a_lone_server_counts_where_it_is_written(main, ionloop_db, lone, monkeypatch, role):
    monkeypatch.setenv("IONLOOP_DB_URI", lone)
    create_indexes(database())
    code, out, _ = main("doctor", "--for", role)
    assert (code, red(out)) == (1, {"replica set", "database access"})
    assert red(main("doctor", "--for", "read")[1]) == {"database access"}


def test_only_the_reference_that_is_named_counts(main, ionloop_db, tmp_path, monkeypatch):
    from pymatgen.core import SETTINGS

    create_indexes(database())
    monkeypatch.setenv("IONLOOP_VASP_CMD", "no-such-vasp")
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "none"))
    assert main("doctor")[0] == 0
    assert main("doctor", "--reference", "cp2k")[0] == 0
    code, out, _ = main("doctor", "--for", "work", "--reference", "vasp")
    assert (code, red(out)) == (1, {"vasp", "potcar"})
    assert main("doctor", "--for", "read", "--reference", "vasp")[0] == 0
    monkeypatch.setenv("IONLOOP_CP2K_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IONLOOP_CP2K_SHELL_CMD", "no-such-shell")
    code, out, _ = main("doctor", "--reference", "cp2k")
    assert (code, red(out)) == (1, {"cp2k data", "cp2k shell"})


def test_nothing_hangs_where_the_server_does(ionloop_db, mongod_uri, monkeypatch):
    """A server that is stopped by SIGSTOP takes connections and says nothing."""
    process, port = start_mongod(Path(os.environ["IONLOOP_HOME"]).parent, "--bind_ip", "127.0.0.1")
    try:
        scene = at(f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=500")
        process.send_signal(signal.SIGSTOP)
        asking = [replace(p, limit_s=1.0) for p in (*server.PROBES, *workers.PROBES) if p.asks]
        start = time.monotonic()
        found = run_probes(asking, scene, Role.RUN)
        assert time.monotonic() - start < 20
        # asked of our side of the connection only
        assert [check.name for check in found if check.ok] == ["write concern"]
    finally:
        process.kill()
        process.wait()


def test_all_is_looked_at(ionloop_db):
    names = [check.name for check in examine()]
    assert len(names) == len(set(names)) == 30
