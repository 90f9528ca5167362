"""Start a Slurm cluster of one node on this machine, for the tests of the slurm backend.

The packages are Debian's; configuration, state and logs lie below one directory. The daemons listen
on loopback alone where this machine's name stands for an address of it, as Debian sets it up; else
on all addresses, where only who has root's munge key is obeyed. The cluster outlives this script:
`--stop` ends it. Nothing is done where it runs already, and nothing is enforced on tasks: it has no
cgroups and no accounting.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

DIRECTORY = Path("/var/lib/batchcore-slurm")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
DAEMONS = ("slurmd", "slurmctld", "munged")
START_SECONDS = 60
STOP_SECONDS = 20
COMMAND_SECONDS = 20

# By these, daemons listen where the machine's name points to (slurm.conf(5)).
LOOPBACK_ONLY = "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny"

# Each choice is for tests: start at once, forget late, and give a small machine many slots.
CONFIG = """\
ClusterName=batchcore
SlurmctldHost={host}({address})
SlurmctldPort={controller_port}
SlurmdPort={node_port}
{listening}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
MinJobAge={min_job_age}
KillWait=2
MaxArraySize=64
FirstJobId=1000
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=16
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
NodeName={host} NodeAddr={address} CPUs=16 RealMemory={memory}
PartitionName=batch Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes={host} MaxTime=1 State=UP
PartitionName=urgent Nodes={host} PriorityTier=10 State=UP
"""


def ensure(directory: Path, *, min_job_age: int) -> None:
    """Return when the node of the cluster is idle; raise SetupError with the reason otherwise."""
    if _answers(directory):
        return
    obstacle = machine.why_no_packages()
    missing = [name for name in (*DAEMONS, "sbatch") if _program(name) is None]
    if obstacle is not None:
        raise machine.SetupError(f"no Slurm cluster answers, and {obstacle}")
    if missing:
        machine.say("installing Slurm from Debian's packages")
        machine.install_packages(*PACKAGES)
    machine.say("starting a Slurm cluster of one node")
    stop(directory)
    _configure(directory, min_job_age)
    _start(directory)


def stop(directory: Path) -> None:
    """End the daemons that were started below a directory, and nothing else."""
    for name in DAEMONS:
        pid = _pid(directory, name)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while _pid(directory, name) is not None and time.monotonic() < deadline:
                time.sleep(0.1)


def _configure(directory: Path, min_job_age: int) -> None:
    for name in ("state", "spool"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    key = directory / "munge.key"
    if not key.exists():
        _write_key(key)
    address = _own_address()
    controller_port, node_port = _free_ports()
    text = CONFIG.format(
        host=socket.gethostname().partition(".")[0],
        directory=directory,
        address=address or "127.0.0.1",
        listening=LOOPBACK_ONLY if address else "",
        controller_port=controller_port,
        node_port=node_port,
        min_job_age=min_job_age,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
    )
    (directory / "slurm.conf").write_text(text)


def _write_key(key: Path) -> None:
    """Write a new key, which nobody else may read at any time."""
    with tempfile.NamedTemporaryFile(dir=key.parent, delete=False) as fresh:
        fresh.write(secrets.token_bytes(128))
    Path(fresh.name).rename(key)


def _own_address() -> str | None:
    """Return the loopback address that this machine's name stands for, None where it is another."""
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        return None
    return address if address.startswith("127.") else None


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _start(directory: Path) -> None:
    """Start the daemons, each of which goes into the background by itself."""
    munge = [f"--{part}-file={directory}/munge.{part}" for part in ("key", "seed", "pid", "log")]
    config = str(directory / "slurm.conf")
    _run(directory, "munged", "--force", f"--socket={directory}/munge.socket", *munge)
    _run(directory, "slurmctld", "-f", config)
    _run(directory, "slurmd", "-f", config)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(directory):
        if time.monotonic() > deadline:
            raise machine.SetupError(f"the cluster does not come up; see {directory}/*.log")
        time.sleep(0.2)


def _answers(directory: Path) -> bool:
    """Return whether the cluster's node takes jobs."""
    config = directory / "slurm.conf"
    if shutil.which("sinfo") is None or not config.exists():
        return False
    try:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            env={**os.environ, "SLURM_CONF": str(config)},
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and bool({"idle", "mix", "alloc"} & set(done.stdout.split()))


def _run(directory: Path, name: str, *arguments: str) -> None:
    program = _program(name)
    if program is None:
        raise machine.SetupError(f"there is no {name}, though its package is installed")
    try:
        with (directory / f"{name}.out").open("wb") as log:
            done = subprocess.run(
                [program, *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=START_SECONDS,
            )
    except subprocess.TimeoutExpired as error:
        raise machine.SetupError(f"{name} did not start in {START_SECONDS} s") from error
    if done.returncode != 0:
        machine.say((directory / f"{name}.out").read_text(errors="replace"))
        raise machine.SetupError(f"{name} does not start")


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _pid(directory: Path, name: str) -> int | None:
    """Return the process of a daemon, None where it does not run; a number may be used again."""
    file = directory / ("munge.pid" if name == "munged" else f"{name}.pid")
    try:
        pid = int(file.read_text())
        comm = Path("/proc", str(pid), "comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if comm == name else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    parser.add_argument("--min-job-age", type=int, default=600, help="seconds to remember a job")
    parser.add_argument("--stop", action="store_true", help="end it instead")
    chosen = parser.parse_args()
    try:
        if chosen.stop:
            stop(chosen.directory)
        else:
            ensure(chosen.directory, min_job_age=chosen.min_job_age)
    except machine.SetupError as error:
        sys.exit(f"slurm: {error}; the tests that need it will be skipped")
