"""A throw-away real SLURM of one node, with a partition each for CPU and GPU jobs.

``munged``, ``slurmctld`` and ``slurmd`` run on loopback, with a key, folders and ports of
their own, and end with the block or with this process. Neither systemd nor cgroups are
needed; nothing of an installed SLURM's configuration is read or changed.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ionloop.errors import IonloopError
from ionloop.processes import RUN_MARK, die_with_parent, kill_marked

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
#: How long the node may take to be idle after the daemons' start, s.
_PATIENCE_S = 60.0
#: How long the daemons may take to end, s.
_STOP_S = 5.0
#: The node claims these, whatever the machine has: workers of tests wait more than they work.
_CPUS, _MEMORY_MB = 16, 4000
#: Files that stand for GPUs: SLURM counts what exists.
_GPUS = ("/dev/null", "/dev/zero")

#: cgroups are left out, since a container has none; there is no accounting database.
_CONF = """\
ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctl_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
SwitchType=switch/none
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
MinJobAge=3600
KillWait={kill_wait}
OverTimeLimit=0
InactiveLimit=0
SlurmctldTimeout=60
SlurmdTimeout=120
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A running SLURM; its commands find it by ``SLURM_CONF``, which the block has set."""

    folder: Path

    @property
    def conf(self) -> Path:
        """The configuration file."""
        return self.folder / "slurm.conf"

    def run(self, *command: str) -> str:
        """Run one of SLURM's commands; return what it says.

        Raises
        ------
        IonloopError
            If it fails.
        """
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            msg = f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}"
            raise IonloopError(msg)
        return done.stdout

    def jobs(self) -> dict[int, str]:
        """Return the states of the jobs that haven't ended, by id."""
        lines = self.run("squeue", "-h", "-o", "%A %T").splitlines()
        return {int(number): state for number, state in (line.split() for line in lines)}


@contextmanager
def throwaway_slurm(kill_wait_s: int = 10) -> Iterator[Slurm]:
    """Run a SLURM that ends with this block, or with this process; set ``SLURM_CONF``.

    Parameters
    ----------
    kill_wait_s
        Time between SIGTERM and SIGKILL for a job that is cancelled or out of time, s.

    Raises
    ------
    IonloopError
        If SLURM isn't installed, or doesn't start.
    """
    from ionloop.testing import environment

    check_installed()
    folder = Path(tempfile.mkdtemp(prefix="ionloop-slurm-"))
    mark = str(folder)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(kill_marked, mark)  # daemons, jobs, and what jobs left behind
        for name in ("munge", "state", "spool", "log"):
            (folder / name).mkdir(mode=0o755)
        _configure(folder, kill_wait_s)
        variables = {"SLURM_CONF": str(folder / "slurm.conf"), RUN_MARK: mark}
        stack.enter_context(environment(variables))
        slurm = Slurm(folder)
        daemons = _start(folder)
        stack.callback(_stop, slurm, daemons)
        _wait_until_idle(slurm, daemons)
        yield slurm


def check_installed() -> None:
    """Say what to install where SLURM is missing.

    Raises
    ------
    IonloopError
        If one of its programs isn't there.
    """
    missing = [name for name in _PROGRAMS if _find(name) is None]
    if missing:
        msg = (
            f"expected a real SLURM, got no {', '.join(missing)}; "
            "apt-get install --no-install-recommends slurm-wlm munge"
        )
        raise IonloopError(msg)


def _find(name: str) -> str | None:
    """Find a daemon: Debian keeps those out of a user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _configure(folder: Path, kill_wait_s: int) -> None:
    ctl_port, node_port = _free_ports(2)
    text = _CONF.format(
        host=socket.gethostname().partition(".")[0],
        folder=folder,
        ctl_port=ctl_port,
        node_port=node_port,
        user=getpass.getuser(),
        kill_wait=kill_wait_s,
        cpus=_CPUS,
        gpus=len(_GPUS),
        memory=_MEMORY_MB,
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={name}\n" for name in _GPUS))
    folder.chmod(0o755)  # munge refuses a socket that not everyone can reach
    with os.fdopen(os.open(folder / "munge" / "key", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as key:
        key.write(secrets.token_bytes(1024))


def _free_ports(n: int) -> list[int]:
    """Return ports that are free now; all are held at once, so that none comes twice."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(n)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in socks]


def _start(folder: Path) -> list[subprocess.Popen[bytes]]:
    """Start the daemons in the foreground, each tied to this process."""
    munge = folder / "munge"
    commands: list[list[str]] = [
        [
            "munged", "--foreground", "--force", f"--key-file={munge}/key",
            f"--socket={munge}/socket", f"--pid-file={munge}/pid", f"--seed-file={munge}/seed",
            f"--log-file={folder}/log/munged.log", "--num-threads=2",
        ],
        ["slurmctld", "-D", "-f", f"{folder}/slurm.conf"],
        ["slurmd", "-D", "-f", f"{folder}/slurm.conf"],
    ]  # fmt: skip
    daemons = []
    for command in commands:
        daemons.append(_daemon(command, folder))
        if command[0] == "munged":
            _wait_for(munge / "socket", daemons[0])
    return daemons


def _daemon(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log" / f"{command[0]}.out").open("ab") as log:
        return subprocess.Popen(
            [_find(command[0]) or command[0], *command[1:]],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )


def _wait_for(path: Path, daemon: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not path.exists():
        if daemon.poll() is not None or time.monotonic() > end:
            raise IonloopError(_no_start(path.parents[1]))
        time.sleep(0.02)


def _wait_until_idle(slurm: Slurm, daemons: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until the node takes jobs."""
    end = time.monotonic() + _PATIENCE_S
    state = subprocess.CompletedProcess[str]([], 0, "", "")
    while "idle" not in state.stdout:
        if any(d.poll() is not None for d in daemons) or time.monotonic() > end:
            raise IonloopError(_no_start(slurm.folder))
        time.sleep(0.05)
        command = ["sinfo", "-h", "-p", "gpu", "-o", "%T"]
        state = subprocess.run(command, capture_output=True, text=True, check=False)


def _no_start(folder: Path) -> str:
    words = [
        f"{log.name}: {' | '.join(log.read_text(errors='replace').splitlines()[-5:])}"
        for log in sorted((folder / "log").iterdir())
    ]
    said = "; ".join(words)
    return f"expected a SLURM whose node is idle, got none in {_PATIENCE_S:.0f} s; {said}"


def _stop(slurm: Slurm, daemons: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the jobs at once, then the daemons: they end their helpers."""
    for job in slurm.jobs():
        slurm.run("scancel", "--signal=KILL", "--full", str(job))
    for daemon in reversed(daemons):
        daemon.terminate()
    for daemon in daemons:
        try:
            daemon.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
