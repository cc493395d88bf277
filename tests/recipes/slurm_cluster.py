"""A one-node Slurm of Debian's packages for the tests: real daemons, nothing of the machine's own."""

import os
import secrets
import shutil
import socket
import subprocess
import threading
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
START_S = 60.0


def missing() -> str:
    """Why there can be no cluster here, "" if there can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PLACES) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: slurm-wlm munge)"
    return "" if os.getuid() == 0 else "its daemons need root here"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """munged, slurmctld and slurmd below one folder.

    Args:
        folder: Theirs alone, short enough for a socket's path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "slurm.conf"
        self.processes: list[subprocess.Popen] = []

    def start(self) -> None:
        self.folder.mkdir(mode=0o755)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self.write_config()
        munge = [
            f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "log", "pid", "seed")
        ]
        self._run("munged", "--foreground", "--force", f"--socket={self.folder}/munge.sock", *munge)
        self._run("slurmctld", "-D", "-c", "-f", str(self.config))
        self._run("slurmd", "-D", "-c", "-f", str(self.config))
        for _ in range(int(START_S * 10)):
            if self.answer("sinfo", "--noheader", "--format=%T") == "idle":
                return
            assert all(process.poll() is None for process in self.processes), self.logs()
            threading.Event().wait(0.1)
        raise AssertionError(f"the node did not come up: {self.logs()}")

    def write_config(self) -> None:
        host, folder = socket.gethostname(), self.folder
        self.config.write_text(
            f"ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\n"
            f"AuthType=auth/munge\nAuthInfo=socket={folder}/munge.sock\nCredType=cred/munge\n"
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\n"
            "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\n"
            "JobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\n"
            f"SlurmctldPort={free_port()}\nSlurmdPort={free_port()}\nSlurmdSpoolDir={folder}/spool\n"
            f"StateSaveLocation={folder}/state\nSlurmctldPidFile={folder}/slurmctld.pid\n"
            f"SlurmdPidFile={folder}/slurmd.pid\nSlurmctldLogFile={folder}/slurmctld.log\n"
            f"SlurmdLogFile={folder}/slurmd.log\nKillWait=30\nMinJobAge=10\n"
            f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=2000 "
            "State=UNKNOWN\nPartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        )

    def answer(self, *argv: str) -> str:
        done = subprocess.run(
            argv, capture_output=True, text=True, env=self.environment(), timeout=30, check=False
        )
        return done.stdout.strip()

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.config)}

    def logs(self) -> str:
        found = [path.read_text()[-1500:] for path in sorted(self.folder.glob("*.log"))]
        return "\n---\n".join(found)

    def stop(self) -> None:
        self.answer("scancel", "--state=PENDING")
        self.answer("scancel", "--state=RUNNING")
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def _run(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=PLACES)
        log = (self.folder / f"{name}.out.log").open("ab")
        with log:
            self.processes.append(
                subprocess.Popen(
                    [program, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self.environment(),
                    start_new_session=True,
                )
            )
