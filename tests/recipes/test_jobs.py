"""Jobs on this machine: real processes, real sandboxes, real kills."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from recipes.jobs import runner, store, verbs
from recipes.jobs.box import Box, LocalShell
from recipes.jobs.records import JobRefused, JobSpec, JobState, Needs
from robots.station import archive
from robots.wire.processes import is_alive, read_pid_file, send_signal
from robots.wire.records import RecipeArchive

COUNTING = """
import sys, time
from recipes.learning.job import Job
job = Job.here()
steps, pause = int(sys.argv[1]), float(sys.argv[2])
for step in range(1, steps + 1):
    job.progress(step, steps, loss=1.0 / step)
    time.sleep(pause)
print("done", flush=True)
"""
NEEDS = Needs(cpus=1.0, memory_gib=0.5, minutes=2.0)


def recipe(train: str = COUNTING) -> RecipeArchive:
    files = {"train.py": train.encode()}
    return RecipeArchive(files=files, sha256=archive.sha256(files))


def spec(job_id: str, *arguments: str, train: str = COUNTING, **more) -> JobSpec:
    more.setdefault("needs", NEEDS)
    return JobSpec(job_id=job_id, recipe=recipe(train), arguments=arguments, **more)


@pytest.fixture
def box(tmp_path) -> Box:
    return Box("here", LocalShell(), tmp_path / "jobs")


async def ended(box: Box, job_id: str, seconds: float = 60.0):
    async with asyncio.timeout(seconds):
        while not (status := await box.status(job_id)).state.ended:  # noqa: ASYNC110 - a box is asked
            await asyncio.sleep(0.1)
    return status


async def running(box: Box, job_id: str, rows: int = 1):
    async with asyncio.timeout(30):
        while (await box.status(job_id)).progress.get("step", 0) < rows:  # noqa: ASYNC110 - a box is asked
            await asyncio.sleep(0.05)


async def test_a_job_runs_in_its_sandbox_and_is_followed_to_its_end(box) -> None:
    await box.submit(spec("j1", "20", "0.02"))
    rows = [row async for _, row in box.follow("j1", every_s=0.05)]

    assert [row["step"] for row in rows[:-1]] == list(range(1, 21))
    assert rows[-1].state is JobState.SUCCEEDED
    assert rows[-1].progress["seconds_left"] == 0.0
    assert await box.read("j1", "console.txt") == b"done\n"


async def test_ten_submissions_of_one_id_start_one_process(box) -> None:
    wanted = spec("j1", "40", "0.05")
    answers = await asyncio.gather(*(box.submit(wanted) for _ in range(10)))
    status = await ended(box, "j1")
    log = await box.read("j1", "out/log.jsonl")

    assert {answer.job_id for answer in answers} == {"j1"}
    assert status.state is JobState.SUCCEEDED
    # A second process would have written its rows into the same log.
    assert [msgspec.json.decode(line)["step"] for line in log.splitlines()] == list(range(1, 41))


async def test_a_second_runner_finds_the_job_claimed(box, tmp_path) -> None:
    await box.submit(spec("j1", "3", "0.01"))
    await ended(box, "j1")
    again = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "recipes.jobs", "run", str(tmp_path / "jobs" / "j1"),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, words = await again.communicate()

    assert again.returncode == 0
    assert b"another runner has this job" in words
    assert (await box.read("j1", "out/log.jsonl")).count(b"\n") == 3


async def test_another_job_cannot_have_the_id(box) -> None:
    await box.submit(spec("j1", "1", "0"))
    with pytest.raises(JobRefused, match="another job's"):
        await box.submit(spec("j1", "2", "0"))


async def test_a_submission_that_died_before_the_launch_is_made_good(box, tmp_path) -> None:
    # As a kill between claim and launch leaves it.
    store.Store(tmp_path / "jobs").claim(spec("j1", "2", "0"))
    assert (await box.status("j1")).state is JobState.QUEUED

    await box.submit(spec("j1", "2", "0"))

    assert (await ended(box, "j1")).state is JobState.SUCCEEDED


async def test_a_job_outlives_its_client(box, tmp_path) -> None:
    client = (
        "import asyncio, sys, msgspec\n"
        "from pathlib import Path\n"
        "from recipes.jobs.box import Box, LocalShell\n"
        "from recipes.jobs.records import JobSpec\n"
        "async def main():\n"
        "    spec = msgspec.msgpack.decode(Path(sys.argv[2]).read_bytes(), type=JobSpec)\n"
        "    box = Box('here', LocalShell(), sys.argv[1])\n"
        "    await box.submit(spec)\n"
        "    async for offset, row in box.follow(spec.job_id, every_s=0.05):\n"
        "        print(offset, flush=True)\n"
        "asyncio.run(main())\n"
    )
    wanted = tmp_path / "spec"
    wanted.write_bytes(msgspec.msgpack.encode(spec("j1", "60", "0.05")))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", client, str(tmp_path / "jobs"), str(wanted),
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    offset = 0
    for _ in range(5):
        offset = int(await process.stdout.readline())
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    rows = [row async for _, row in box.follow("j1", offset, every_s=0.05)]

    assert [row["step"] for row in rows[:-1]] == list(range(6, 61))
    assert rows[-1].state is JobState.SUCCEEDED


async def test_a_cancelled_job_may_write_its_checkpoint_first(box) -> None:
    train = COUNTING.replace(
        "job = Job.here()",
        "job = Job.here()\nimport signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: (job.write('saved'), sys.exit(0)))",
    )
    await box.submit(spec("j1", "1000", "0.05", train=train))
    await running(box, "j1")
    await box.cancel("j1")
    status = await ended(box, "j1")

    assert (status.state, status.detail) == (JobState.CANCELLED, "cancelled")
    assert store.last_row(Path(box._root) / "j1", "out/log.jsonl")["kind"] == "saved"


async def test_a_killed_runner_is_lost_and_takes_its_program_along(box, tmp_path) -> None:
    await box.submit(spec("j1", "1000", "0.05"))
    await running(box, "j1")
    process = read_pid_file(tmp_path / "jobs" / "j1" / "process")
    send_signal(process, signal.SIGKILL)
    status = await ended(box, "j1")
    size = status.log_bytes
    await asyncio.sleep(0.5)

    assert status.state is JobState.LOST
    assert "left no exit record" in status.detail
    assert not is_alive(process)
    assert (await box.status("j1")).log_bytes == size


async def test_a_program_that_fails_fails_the_job_with_its_words(box) -> None:
    await box.submit(spec("j1", train="raise ValueError('no data')"))
    status = await ended(box, "j1")

    assert (status.state, status.detail) == (JobState.FAILED, "ended with exit code 1")
    assert b"ValueError: no data" in await box.read("j1", "console.txt")


async def test_a_job_ends_at_its_limit(box, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    await box.submit(spec("j1", "1000", "0.05", needs=msgspec.structs.replace(NEEDS, minutes=0.02)))
    status = await ended(box, "j1")

    assert (status.state, status.detail) == (JobState.FAILED, "ran longer than its 0.02 minutes")


async def test_a_job_sees_its_data_and_what_it_resumes_and_nothing_else(box, tmp_path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.joinpath("rows.txt").write_text("seven")
    look = (
        "from pathlib import Path\n"
        "from recipes.learning.job import Job\n"
        "job = Job.here()\n"
        "text = (job.data[0] / 'rows.txt').read_text()\n"
        "old = (Path('/job/resume/log.jsonl')).read_bytes().count(b'\\n')\n"
        "hidden = [p for p in ('/etc/passwd', '/home', '/var', '/job/job.json') if Path(p).exists()]\n"
        "import recipes, recipes.learning\n"
        "others = sorted(p.name for p in Path(recipes.__file__).parent.iterdir())\n"
        "job.write('seen', text=text, old=old, hidden=str(hidden), others=str(others))\n"
    )
    await box.submit(spec("j1", "4", "0"))
    await ended(box, "j1")
    await box.submit(spec("j2", train=look, data=(str(data),), resume_from="j1"))
    await ended(box, "j2")
    row = store.last_row(tmp_path / "jobs" / "j2", "out/log.jsonl")

    assert (row["text"], row["old"], row["hidden"]) == ("seven", 4, "[]")
    assert row["others"] == "['__init__.py', 'learning']"


async def test_only_a_jobs_own_files_are_read(box) -> None:
    await box.submit(spec("j1", "1", "0"))
    await ended(box, "j1")
    for name in ("job.json", "../j1/job.json", "out/checkpoints/../../job.json"):
        with pytest.raises(JobRefused, match="file"):
            await box.read("j1", name)


LEADS_OUT = """
import os
from pathlib import Path
out = Path(os.environ["ENPIRE_JOB"]) / "out"
(out / "policy").mkdir(exist_ok=True)
(out / "policy" / "linked.toml").symlink_to("/job/../elsewhere.txt")
(out / "checkpoints" / "piped.safetensors").unlink(missing_ok=True)
os.mkfifo(out / "checkpoints" / "piped.safetensors")
(out / "log.jsonl").unlink(missing_ok=True)
os.mkfifo(out / "log.jsonl")
"""


async def test_what_a_job_makes_of_its_files_leads_nowhere_and_blocks_nobody(box, tmp_path) -> None:
    await box.submit(spec("j1", train=LEADS_OUT))
    assert (await ended(box, "j1")).progress == {}
    for name in ("out/policy/linked.toml", "out/checkpoints/piped.safetensors", "out/log.jsonl"):
        with pytest.raises(JobRefused, match="link"):
            await box.read("j1", name)


def test_a_linked_folder_and_a_linked_log_are_not_followed(tmp_path) -> None:
    folder, outside = tmp_path / "j1", tmp_path / "outside"
    (folder / "out").mkdir(parents=True)
    outside.mkdir()
    (outside / "policy.py").write_text("secret")
    (outside / "log.jsonl").write_text('{"kind": "progress", "step": 7}\n')
    (folder / "out" / "policy").symlink_to(outside)
    (folder / "out" / "log.jsonl").symlink_to(outside / "log.jsonl")
    with pytest.raises(JobRefused, match="link"):
        verbs.read(folder, "out/policy/policy.py", 0, 100)
    assert store.last_row(folder, "out/log.jsonl") == {}


def test_a_link_within_a_job_is_refused_as_well(tmp_path) -> None:
    folder = tmp_path / "j1"
    (folder / "out" / "policy").mkdir(parents=True)
    (folder / "job.json").write_text("{}")
    (folder / "out" / "policy" / "policy.py").symlink_to(folder / "job.json")
    with pytest.raises(JobRefused, match="link"):
        verbs.read(folder, "out/policy/policy.py", 0, 100)


def test_progress_is_numbers_and_words(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    row = '{"kind": "progress", "step": [1, 2], "loss": 0.5, "deep": {"a": 1}, "lost": null}\n'
    (tmp_path / "out" / "log.jsonl").write_text(row)
    told = store.status(tmp_path, None).progress
    assert told == {"kind": "progress", "loss": 0.5, "lost": None}


def test_what_a_job_may_not_be_called() -> None:
    for name in ("", "..", "a/b", "-x", "x" * 65):
        with pytest.raises(JobRefused, match="job_id"):
            spec(name)
    with pytest.raises(JobRefused, match=r"no learn\.py"):
        spec("j1", entry="learn.py")


def test_several_processes_are_started_by_torchrun(tmp_path) -> None:
    told = runner.command_of(spec("j1", "1", needs=Needs(processes=2)))
    assert told[2:] == [
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py", "1"
    ]  # fmt: skip


TOGETHER = """
import os, torch, torch.distributed as dist
from recipes.learning.job import Job
dist.init_process_group("gloo")
total = torch.tensor([dist.get_rank() + 1.0])
dist.all_reduce(total)
if dist.get_rank() == 0:
    Job.here().write("met", total=total.item(), world=dist.get_world_size())
dist.destroy_process_group()
"""


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_processes_of_one_job_meet_in_their_sandbox(box, tmp_path) -> None:
    pytest.importorskip("torch")
    needs = Needs(cpus=2.0, memory_gib=4.0, processes=2, minutes=4.0)
    await box.submit(spec("j1", train=TOGETHER, needs=needs))
    status = await ended(box, "j1", 240.0)
    console = (await box.read("j1", "console.txt")).decode()

    assert status.state is JobState.SUCCEEDED, console
    row = store.last_row(tmp_path / "jobs" / "j1", "out/log.jsonl")
    assert (row["total"], row["world"]) == (3.0, 2)


async def test_use_of_the_box_is_sampled_while_a_job_runs(box, tmp_path) -> None:
    held = "held = bytearray(b'1') * (64 << 20)\n" + COUNTING
    await box.submit(spec("j1", "1000", "0.05", train=held))
    async with asyncio.timeout(60):
        while (use := (await box.status("j1")).use) is None or use.memory_bytes < 64 << 20:  # noqa: ASYNC110 - a box is asked
            await asyncio.sleep(0.1)
    await box.cancel("j1")
    await ended(box, "j1")
    assert use.cpus >= 0.0
    assert len(use.gpus) == len(runner.gpus_in_use())


def test_a_job_sees_gpus_only_if_it_asks_for_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(runner, "gpu_devices", lambda: (Path("/dev/null"),))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    for name in ("recipe", "out"):
        (tmp_path / name).mkdir()
    without = runner.sandbox_of(tmp_path, spec("j1"))
    asked = runner.sandbox_of(tmp_path, spec("j1", needs=msgspec.structs.replace(NEEDS, gpus=1)))

    assert without.devices == ()
    assert asked.devices == (Path("/dev/null"),)
    assert asked.environment["CUDA_VISIBLE_DEVICES"] == "3"


def test_the_nodes_of_a_gpu_are_found_and_nothing_else(tmp_path) -> None:
    (tmp_path / "nvidia0").touch()
    assert runner.gpu_devices(tmp_path) == ()
    if os.geteuid() == 0:
        os.mknod(tmp_path / "nvidiactl", 0o020666, os.makedev(1, 3))
        assert runner.gpu_devices(tmp_path) == (tmp_path / "nvidiactl",)


def test_the_libraries_of_training_code_come_with_what_they_need() -> None:
    names = runner.installed(("pytest",))
    assert {"pytest", "pluggy", "iniconfig", "packaging"} <= set(names)


async def test_a_queue_that_does_not_answer_makes_a_job_unknown_and_not_refused(
    tmp_path, monkeypatch
) -> None:
    programs = {
        "sbatch": "echo 7",
        "squeue": f"cat {tmp_path}/word || (echo no controller >&2; exit 1)",
    }
    (tmp_path / "bin").mkdir()
    for name, script in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "word").write_text("PENDING\n")
    box = Box("cluster", LocalShell(), tmp_path / "jobs", launcher="slurm")

    assert (await box.submit(spec("j1", "1", "0"))).state is JobState.QUEUED
    (tmp_path / "word").unlink()
    silent = await box.status("j1")
    assert silent.state is JobState.UNKNOWN
    assert "no controller" in silent.detail
    assert "last known: queued" in silent.detail
    (tmp_path / "word").write_text("PENDING\n")
    assert (await box.status("j1")).state is JobState.QUEUED
