"""A job's own process on its box: claims the job, runs it in the sandbox, samples, records its end."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from recipes.jobs import store
from recipes.jobs.records import Ended, JobSpec, JobState, Needs, Use
from robots.sandbox import (
    SITE,
    Bind,
    Data,
    ExitReason,
    Limits,
    Mount,
    Sandbox,
    SandboxError,
    SandboxSpec,
    python_mounts,
    start,
)
from robots.sandbox.spec import GIB, SANDBOX_UID
from robots.wire.processes import identify

INSIDE = "/job"
SAMPLE_S = 2.0
GRACE_S = 20.0
"""From SIGTERM to the end: time to write a checkpoint."""

MOST_PROCESSES = 512
LEAST_BYTES = 4096
"""What a file counts for at least: empty ones use up a disk too."""
FREE_BYTES = GIB
"""What a job leaves free on the disk that it writes to, however little it has written itself."""

LIBRARIES = ("numpy", "torch", "safetensors", "pyarrow", "av", "pyzmq", "msgspec")
"""Distributions that training code may import, with whatever they need, where they are installed."""

HOSTS = b"127.0.0.1 localhost sandbox\n::1 localhost\n"
GPU_CHOICE = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")

_FLOORS = Path(__file__).resolve().parents[2]
_OURS = ("recipes/learning", "robots/dataset", "robots/wire")
"""What training code may import of this project."""


def run(folder: Path) -> int:
    """Be the runner of a job, from its claim to its exit record; 0 if another has claimed it."""
    spec = store.read(folder / "job.json", JobSpec)
    assert spec is not None, folder
    if not _claim(folder):
        sys.stderr.write("another runner has this job\n")
        return 0
    ended = _Run(folder, spec).carry_out()
    store.write(folder / "exit.json", ended)
    return 0


def _claim(folder: Path) -> bool:
    me = identify(os.getpid())
    assert me is not None
    try:
        descriptor = os.open(folder / "process", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{me.pid} {me.start_ticks} {me.boot_id}\n")
        file.flush()
        os.fsync(file.fileno())
    return True


class _Run:
    def __init__(self, folder: Path, spec: JobSpec) -> None:
        self._folder = folder
        self._spec = spec
        self._told = False
        self._until_s = time.monotonic() + spec.needs.minutes * 60.0
        self._cpu_s = 0.0
        self._sampled_s = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def carry_out(self) -> Ended:
        if (self._folder / "cancel").exists():
            return _ended(JobState.CANCELLED, None, "cancelled before it began")
        try:
            with (self._folder / "console.txt").open("ab") as console:
                sandbox = start(
                    sandbox_of(self._folder, self._spec),
                    command_of(self._spec),
                    sandboxed=not self._spec.unsandboxed,
                    stdout=console.fileno(),
                    stderr=console.fileno(),
                )
        except SandboxError as error:
            return _ended(JobState.FAILED, None, f"its sandbox could not be set up: {error}")
        with sandbox:
            return self._follow(sandbox)

    def _follow(self, sandbox: Sandbox) -> Ended:
        while not self._told and time.monotonic() < self._until_s:
            if sandbox.wait(SAMPLE_S) is not None:
                break
            self._sample(sandbox)
            if full := overfull(self._folder, self._spec.needs):
                # There may be no room left for a checkpoint: it gets no time to write one.
                return _ended(JobState.FAILED, sandbox.close().code, full)
        late = not self._told and sandbox.poll() is None
        if sandbox.poll() is None:
            with contextlib.suppress(OSError, SandboxError):
                os.kill(sandbox.inner_pid, signal.SIGTERM)
            sandbox.wait(GRACE_S)
        found = sandbox.close()
        if (self._folder / "cancel").exists():
            return _ended(JobState.CANCELLED, found.code, "cancelled")
        if late:
            minutes = self._spec.needs.minutes
            return _ended(JobState.FAILED, found.code, f"ran longer than its {minutes:g} minutes")
        if self._told:
            return _ended(JobState.FAILED, found.code, "its box ended it (SIGTERM)")
        done = found.reason is ExitReason.EXITED and found.code == 0
        return _ended(JobState.SUCCEEDED if done else JobState.FAILED, found.code, found.detail)

    def _on_signal(self, number: int, frame: object) -> None:
        del number, frame
        self._told = True

    def _sample(self, sandbox: Sandbox) -> None:
        now_s = time.monotonic()
        try:
            cpu_s = sandbox.cpu_s()
        except (OSError, SandboxError):
            return
        cpus = (cpu_s - self._cpu_s) / max(now_s - self._sampled_s, 1e-3)
        self._cpu_s, self._sampled_s = cpu_s, now_s
        use = Use(
            wall_s=time.time(),
            cpus=round(cpus, 3),
            memory_bytes=sandbox.memory_bytes(),
            gpus=gpus_in_use(),
        )
        # On a disk that the job has just filled, its end is what matters.
        with contextlib.suppress(OSError), (self._folder / "use.jsonl").open("ab") as file:
            file.write(store.line(use))


def sandbox_of(folder: Path, spec: JobSpec) -> SandboxSpec:
    """What a job sees: its recipe, its data, the library of recipes that learn, and where it writes."""
    out = folder / "out"
    if os.geteuid() == 0:
        for path in (out, *out.rglob("*")):
            os.chown(path, SANDBOX_UID, SANDBOX_UID)
    floors = dict.fromkeys(name.partition("/")[0] for name in _OURS)
    mounts: list[Mount] = [
        *python_mounts(installed(LIBRARIES)).mounts,
        *(Bind(path, f"{SITE}/{path.name}") for path in _beside("pyzmq")),
        *(Data(b"", f"{SITE}/{floor}/__init__.py") for floor in floors),
        *(Bind(_FLOORS / name, f"{SITE}/{name}") for name in _OURS),
        # torchrun asks for `localhost` by name, and waits for ever where nobody answers.
        Data(HOSTS, "/etc/hosts"),
        Bind((folder / "recipe").resolve(), f"{INSIDE}/recipe"),
        Bind(out.resolve(), f"{INSIDE}/out", writable=True),
    ]
    for number, data in enumerate(spec.data):
        mounts.append(Bind(Path(data).resolve(), f"{INSIDE}/data/{number}"))
    if spec.resume_from:
        earlier = (folder.parent / spec.resume_from / "out").resolve()
        mounts.append(Bind(earlier, f"{INSIDE}/resume"))
    needs = spec.needs
    environment = {"ENPIRE_JOB": INSIDE, "PYTHONUNBUFFERED": "1", "HOME": "/tmp"}  # noqa: S108
    environment["OMP_NUM_THREADS"] = str(max(1, int(needs.cpus) // needs.processes))
    # Which GPUs are this job's is the queue's to say; without one all are.
    environment |= {name: os.environ[name] for name in GPU_CHOICE if name in os.environ}
    # Processes of one job meet on the sandbox's own loopback.
    environment |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return SandboxSpec(
        mounts=tuple(mounts),
        devices=gpu_devices() if needs.gpus else (),
        environment={**environment, "PYTHONPATH": SITE},
        directory=f"{INSIDE}/recipe",
        limits=Limits(
            memory_bytes=int(needs.memory_gib * GIB),
            processes=MOST_PROCESSES,
            cpus=needs.cpus or None,
            file_bytes=int(needs.disk_gib * GIB),
            open_files=4096,
            scratch_bytes=2 * GIB,
        ),
    )


def overfull(folder: Path, needs: Needs) -> str:
    """Why a job may not write on: what it wrote, or what is left; "" if it may."""
    limit = int(needs.disk_gib * GIB)
    if used_bytes(folder, limit) > limit:
        return f"passed its cap on disk, {needs.disk_gib:g} GiB"
    disk = os.statvfs(folder)
    # What was unlinked and is still written to is seen here alone.
    if disk.f_bavail * disk.f_frsize < FREE_BYTES:
        return f"the disk of its box has less than {FREE_BYTES / GIB:g} GiB left"
    return ""


def used_bytes(folder: Path, enough: int) -> int:
    """Bytes on disk of what a job wrote; no further than `enough`, however many files there are."""
    used, waiting = (folder / "console.txt").stat().st_size, [folder / "out"]
    while waiting:
        # Training code may take away at any moment what is looked at.
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as found:
            for entry in found:
                if used > enough:
                    return used
                status = entry.stat(follow_symlinks=False)
                used += max(status.st_blocks * 512, LEAST_BYTES)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
    return used


def gpu_devices(folder: Path = Path("/dev")) -> tuple[Path, ...]:
    """Device nodes of this box's NVIDIA GPUs and of their driver."""
    found = [*folder.glob("nvidia*"), *folder.glob("nvidia-caps/*")]
    return tuple(sorted(path for path in found if path.is_char_device()))


def command_of(spec: JobSpec) -> list[str]:
    """What is run: the entry point, by torchrun where it is to be several processes."""
    python = python_mounts(()).executable
    program = [python, "-s"]
    if spec.needs.processes > 1:
        each = f"--nproc-per-node={spec.needs.processes}"
        program += ["-m", "torch.distributed.run", "--standalone", each]
    return [*program, spec.entry, *spec.arguments]


def installed(distributions: Sequence[str]) -> tuple[str, ...]:
    """Import names of distributions and all they need; those that are not installed are left out."""
    names: dict[str, None] = {}
    for distribution in _closure(distributions):
        for name in _imported(distribution):
            names[name] = None
    return tuple(names)


def _beside(distribution: str) -> tuple[Path, ...]:
    """Shared libraries beside a package whose import name is not its distribution's."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return ()
    libraries = Path(str(found.locate_file(f"{distribution}.libs"))).resolve()
    return (libraries,) if libraries.is_dir() else ()


def _closure(distributions: Sequence[str]) -> Iterator[metadata.Distribution]:
    seen: set[str] = set()
    waiting = list(distributions)
    while waiting:
        name = waiting.pop(0).lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        yield found
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)


def _imported(distribution: metadata.Distribution) -> Iterator[str]:
    """Top-level packages and modules that a distribution brings."""
    for name in {path.parts[0] for path in distribution.files or () if len(path.parts) > 1}:
        if name.isidentifier() and name != "__pycache__":
            yield name
    for path in distribution.files or ():
        if len(path.parts) == 1 and path.name.endswith((".py", ".so")):
            yield path.name.partition(".")[0]


def gpus_in_use() -> tuple[tuple[float, int], ...]:
    """Of each NVIDIA GPU of this box: share of time in use, bytes of memory in use."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    told = [program, "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(told, capture_output=True, text=True, timeout=10, check=True)
        rows = [line.split(",") for line in done.stdout.splitlines()]
        return tuple((float(busy) / 100.0, int(mib) << 20) for busy, mib in rows)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def _ended(state: JobState, code: int | None, reason: str) -> Ended:
    return Ended(state=state, code=code, reason=reason, wall_s=time.time())
