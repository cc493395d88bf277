"""Training jobs on a box behind a real sshd: submitted once, cut off, killed, and nothing lost."""

import asyncio
import getpass
import json
import os
import signal
import sys

import msgspec
import pytest

from enpire_tui.boxes import box_of
from enpire_tui.cli import main
from enpire_tui.fleet import FleetError, check, demo_fleet, read_fleet
from recipes.jobs.records import JobRefused, JobState, JobStatus
from robots.wire.processes import identify, send_signal
from tests.enpire_tui.test_link import SSHD, Proxy, Sshd
from tests.recipes.test_jobs import spec

pytestmark = pytest.mark.skipif(SSHD is None, reason="sshd is not installed")


def written(folder, sshd: Sshd, port: int):
    """A fleet file with a box behind an sshd, reached at a port."""
    known, path = folder / "known_hosts", folder / "lab.toml"
    known.write_text(f"[127.0.0.1]:{port} {sshd.host_key}\n")
    path.write_text(
        '[[station]]\nname = "s1"\n'
        f'[hosts.gpu]\naddress = "127.0.0.1"\nport = {port}\nuser = "{getpass.getuser()}"\n'
        f'key = "{sshd.folder}/client_key"\nknown_hosts = "{known}"\nhome = "{folder}/far"\n'
        f'python = "{sys.executable}"\n[boxes.big]\nkind = "ssh"\nhost = "gpu"\n'
    )
    return path


@pytest.fixture
async def far(tmp_path):
    """A fleet with a box behind sshd, the sshd, and the network in between."""
    folder = tmp_path / "sshd"
    folder.mkdir(mode=0o700)
    sshd = Sshd(folder)
    sshd.start()
    proxy = Proxy(sshd.port)
    await proxy.mend()
    path = written(tmp_path, sshd, proxy.port)
    yield read_fleet(path), sshd, proxy, tmp_path / "known_hosts"
    await proxy.cut()
    sshd.stop()


async def steps(box, job_id: str, offset: int = 0) -> tuple[list[int], list[JobStatus]]:
    rows, told = [], []
    async with asyncio.timeout(60):
        async for _, row in box.follow(job_id, offset, every_s=0.05):
            (told if isinstance(row, JobStatus) else rows).append(row)
    return [row["step"] for row in rows], told


async def test_a_cut_link_is_unknown_and_no_line_is_lost(far, tmp_path) -> None:
    fleet, _, proxy, _ = far
    box = box_of(fleet, "big", tmp_path / "near")
    await box.submit(spec("j1", "60", "0.05"))

    async def cut() -> None:
        async with asyncio.timeout(30):
            while (await box.status("j1")).progress.get("step", 0) < 5:  # noqa: ASYNC110 - a box is asked
                await asyncio.sleep(0.02)
        await proxy.cut()
        assert (await box.status("j1")).state is JobState.UNKNOWN
        await asyncio.sleep(0.3)
        await proxy.mend()

    (rows, told), _ = await asyncio.gather(steps(box, "j1"), cut())

    assert rows == list(range(1, 61))
    assert JobState.UNKNOWN in [status.state for status in told]
    assert told[-1].state is JobState.SUCCEEDED


async def test_killed_sessions_lose_no_line_and_end_nothing(far, tmp_path) -> None:
    fleet, sshd, _, _ = far
    box = box_of(fleet, "big", tmp_path / "near")
    await box.submit(spec("j1", "60", "0.05"))
    rows = []
    async with asyncio.timeout(60):
        async for _, row in box.follow("j1", every_s=0.05):
            if isinstance(row, JobStatus):
                last = row
                continue
            rows.append(row["step"])
            if len(rows) in (5, 20):
                for pid in sshd.sessions():
                    send_signal(identify(pid), signal.SIGKILL)

    assert rows == list(range(1, 61))
    assert last.state is JobState.SUCCEEDED


async def test_ten_submissions_over_ssh_are_one_job(far, tmp_path) -> None:
    fleet, _, _, _ = far
    boxes = [box_of(fleet, "big", tmp_path / "near") for _ in range(3)]
    wanted = spec("j1", "30", "0.03")
    await asyncio.gather(*(boxes[number % 3].submit(wanted) for number in range(10)))

    assert (await steps(boxes[0], "j1"))[0] == list(range(1, 31))
    assert [status.job_id for status in await boxes[1].all()] == ["j1"]


CLIENT = """
import asyncio, sys, msgspec
from pathlib import Path
from enpire_tui.boxes import box_of
from enpire_tui.fleet import read_fleet
from recipes.jobs.records import JobSpec, JobStatus

async def main():
    fleet, home, wanted = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    spec = msgspec.msgpack.decode(wanted.read_bytes(), type=JobSpec)
    box = box_of(read_fleet(fleet), "big", home)
    await box.submit(spec)
    async for offset, row in box.follow(spec.job_id, every_s=0.05):
        if not isinstance(row, JobStatus):
            print(offset, row["step"], flush=True)

asyncio.run(main())
"""


async def test_everything_on_our_side_killed_loses_no_line_and_starts_nothing_twice(
    far, tmp_path
) -> None:
    """A supervisor that starts clients, and dies with them while the link is cut."""
    fleet, sshd, proxy, _ = far
    (tmp_path / "spec").write_bytes(msgspec.msgpack.encode(spec("j1", "80", "0.05")))
    (tmp_path / "client.py").write_text(CLIENT)
    client = [
        sys.executable, str(tmp_path / "client.py"),
        str(tmp_path / "lab.toml"), str(tmp_path / "near"), str(tmp_path / "spec"),
    ]  # fmt: skip
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *client,
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    rows, offset = [], 0
    async with asyncio.timeout(60):
        while len(rows) < 5:
            offset, step = map(int, (await supervisor.stdout.readline()).split())
            rows.append(step)
    # The whole session: the supervisor, then its client, neither with a chance to say goodbye.
    os.killpg(supervisor.pid, signal.SIGKILL)
    await supervisor.wait()
    await proxy.cut()
    for pid in sshd.sessions():
        send_signal(identify(pid), signal.SIGKILL)
    await proxy.mend()

    # Whoever comes back knows the offset it has journalled, and submits what it cannot know was taken.
    box = box_of(fleet, "big", tmp_path / "near")
    await box.submit(spec("j1", "80", "0.05"))
    more, told = await steps(box, "j1", offset)

    assert rows + more == list(range(1, 81))
    assert told[-1].state is JobState.SUCCEEDED
    assert [status.job_id for status in await box.all()] == ["j1"]


async def test_a_file_is_fetched_whole(far, tmp_path) -> None:
    fleet, _, _, _ = far
    box = box_of(fleet, "big", tmp_path / "near")
    train = (
        "import os\nfrom recipes.learning.job import Job\n"
        "(Job.here().out / 'checkpoints' / 'last.safetensors').write_bytes(os.urandom(3 << 20))\n"
    )
    await box.submit(spec("j1", train=train))
    await steps(box, "j1")
    status = await box.status("j1")
    size = await box.fetch("j1", "out/checkpoints/last.safetensors", tmp_path / "copy")
    there = tmp_path / "far" / "jobs" / "j1" / "out" / "checkpoints" / "last.safetensors"

    assert status.checkpoints == ("last.safetensors",)
    assert size == 3 << 20
    assert (tmp_path / "copy").read_bytes() == there.read_bytes()


async def test_an_unknown_host_key_is_refused_not_waited_for(far, tmp_path) -> None:
    fleet, _, _, known = far
    known.write_text("")
    with pytest.raises(JobRefused, match="is unknown and is refused"):
        await box_of(fleet, "big", tmp_path / "near").submit(spec("j1", "1", "0"))


CLONING = """
from recipes.learning.job import Job
job = Job.here()
assert (job.data[0] / "meta" / "info.json").read_text() == "{}"
job.progress(1, 1, loss=0.5)
(job.out / "policy").mkdir()
(job.out / "policy" / "weights.npz").write_bytes(b"weights")
"""


def test_the_command_trains_there_on_data_from_here_and_brings_the_recipe_back(
    tmp_path, monkeypatch, capsys
) -> None:
    folder, recipe, data = tmp_path / "sshd", tmp_path / "mine", tmp_path / "set"
    folder.mkdir(mode=0o700)
    recipe.mkdir()
    (recipe / "train.py").write_text(CLONING)
    (recipe / "policy.py").write_text("class Policy: pass\n")
    (data / "meta").mkdir(parents=True)
    (data / "meta" / "info.json").write_text("{}")
    monkeypatch.setenv("ENPIRE_HOME", str(tmp_path / "near"))
    sshd = Sshd(folder)
    sshd.start()
    try:
        lab = written(tmp_path, sshd, sshd.port)
        told = ["train", str(recipe), "--fleet", str(lab), "--box", "big", "--id", "j1"]
        code = main([*told, "--data", str(data), "--json"])
        seen = main(["jobs", "--fleet", str(lab), "--box", "big", "--json"])
    finally:
        sshd.stop()
    trained, listed = map(json.loads, capsys.readouterr().out.splitlines()[-2:])

    assert (code, trained["state"]) == (0, "succeeded")
    assert (tmp_path / "near" / "trained" / "j1" / "weights.npz").read_bytes() == b"weights"
    assert (tmp_path / "near" / "trained" / "j1" / "policy.py").exists()
    assert (tmp_path / "far" / "jobs" / "j1").is_dir()
    assert not (tmp_path / "near" / "jobs").exists()
    assert (seen, [job["job_id"] for job in listed["jobs"]]) == (0, ["j1"])


def test_boxes_that_cannot_be() -> None:
    fleet = demo_fleet()
    entry = fleet.boxes["local"]
    for change, words in (
        ({"kind": "pbs"}, "use one of local, ssh, slurm, ray"),
        ({"kind": "ssh"}, "is missing; name one of"),
        ({"kind": "ssh", "host": "x"}, r"add \[hosts.x\]"),
    ):
        wrong = {"local": msgspec.structs.replace(entry, **change)}
        with pytest.raises(FleetError, match=words):
            check(msgspec.structs.replace(fleet, boxes=wrong), "lab.toml")
    agents = msgspec.structs.replace(fleet.agent, box="big")
    with pytest.raises(FleetError, match=r"agent\.box: 'big'.*use one of local"):
        check(msgspec.structs.replace(fleet, agent=agents), "lab.toml")
    with pytest.raises(FleetError, match="no such box; known are local"):
        box_of(fleet, "gpu", None)
