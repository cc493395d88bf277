"""The `train` tool on a box behind a real sshd: submitted once, cut off, and fetched into the tree."""

import getpass
import signal
import sys

import pytest

from agents.tools import calls as t
from recipes.jobs.far import BoxSpec, write_box
from recipes.jobs.records import JobState
from robots.wire.processes import identify, send_signal
from robots.wire.ssh import HostSpec
from tests.agents.test_daemon import Fleet, open_idea, scripted
from tests.enpire_tui.test_link import SSHD, Sshd

pytestmark = pytest.mark.skipif(SSHD is None, reason="sshd is not installed")

TRAIN = """
import time
from recipes.learning.job import Job
job = Job.here()
for step in range(1, 21):
    job.progress(step, 20, loss=1.0 / step)
    time.sleep(0.05)
print("trained there")
(job.out / "policy").mkdir()
(job.out / "policy" / "weights.json").write_text("[6, 7]")
"""


@pytest.fixture
def sshd(fleet: Fleet, tmp_path):
    """An sshd, and what the fleet's home says of the box behind it."""
    folder = tmp_path / "sshd"
    folder.mkdir(mode=0o700)
    made = Sshd(folder)
    made.start()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{made.port} {made.host_key}\n")
    host = HostSpec(
        name="gpu", address="127.0.0.1", port=made.port, username=getpass.getuser(),
        client_key=f"{folder}/client_key", known_hosts=str(known), home=str(tmp_path / "far"),
        python=sys.executable,
    )  # fmt: skip
    write_box(fleet.home, BoxSpec(name="big", root=f"{host.home}/jobs", host=host))
    yield made
    made.stop()


async def test_an_agent_trains_on_a_box_behind_ssh_and_a_cut_costs_nothing(
    fleet: Fleet, sshd: Sshd, tmp_path
) -> None:
    tools = await scripted(fleet, box="big")
    await tools.call(open_idea())
    await tools.tree.put({"recipe/train.py": TRAIN.encode()})
    job_id = tools.training.job_of("call-1")
    await tools.training.submit(job_id, (), 2.0)
    for pid in sshd.sessions():
        send_signal(identify(pid), signal.SIGKILL)
    again = await tools.training.submit(job_id, (), 2.0)
    status = await tools.training.wait(job_id, 100.0)
    told = await tools.training.take(status)
    there = [path.name for path in (tmp_path / "far" / "jobs").iterdir() if path.name == job_id]

    assert again.job_id == job_id
    assert status.state is JobState.SUCCEEDED, status
    assert "trained there" in await tools.training.console(job_id)
    assert told == ["recipe/weights.json is in the working tree"]
    assert await tools.tree.whole("recipe/weights.json") == "[6, 7]"
    assert there == [job_id]
    assert not (fleet.home / "jobs" / job_id).exists()


async def test_a_host_key_that_is_not_known_is_refused_in_words(
    fleet: Fleet, sshd, tmp_path
) -> None:
    (tmp_path / "known_hosts").write_text("")
    tools = await scripted(fleet, box="big")
    await tools.call(open_idea())
    await tools.tree.put({"recipe/train.py": TRAIN.encode()})
    with pytest.raises(t.ToolRefused, match="is unknown and is refused"):
        await tools.training.submit("a1-1", (), 2.0)
    with pytest.raises(t.ToolRefused, match="is unknown and is refused"):
        await tools.training.wait("a1-1", 1.0)


async def test_a_box_that_nobody_described_is_refused_in_words(fleet: Fleet) -> None:
    tools = await scripted(fleet, box="huge")
    await tools.call(open_idea())
    await tools.tree.put({"recipe/train.py": TRAIN.encode()})
    with pytest.raises(t.ToolRefused, match=r"huge\.json.*`enpire-tui up` writes it"):
        await tools.training.submit("a1-1", (), 2.0)
