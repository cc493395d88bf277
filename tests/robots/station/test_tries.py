"""Tries in setup on a real station: nothing moves before a person's answer, and then only the plan."""

import asyncio
import concurrent.futures
import shutil

import numpy as np
import pytest

from robots.station.children import ChildFailed
from robots.station.trying import Errand, Permit, Trier
from robots.station.versions import Versions
from robots.wire import commands as c
from robots.wire.approvals import (
    ApprovalAnswer,
    ApprovalCard,
    ApprovalState,
    Scope,
    TryKind,
    TryState,
)
from robots.wire.events import (
    ApprovalAsked,
    ApprovalClosed,
    EpisodeStarted,
    GrantReceived,
    ResetBegan,
    ResetTried,
    ScopeEnded,
    TryFinished,
    VerifierTried,
)
from robots.wire.reception import Refused
from robots.wire.records import Mode
from robots.wire.station_replies import Done
from tests.robots.station.conftest import StationProcess
from tests.robots.station.scripted import REACH, ScriptedChildren, ScriptedReset, load

ANN = "operator/ann"
CAMERA = '\n[[cameras]]\nname = "top"\nheight = 48\nwidth = 64\n'


@pytest.fixture
def folder(tmp_path):
    """The test task with a camera, in a folder of its own."""
    folder = tmp_path / "reach"
    shutil.copytree(REACH, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "task.toml").write_text((folder / "task.toml").read_text() + CAMERA)
    return folder


@pytest.fixture
def setup(station: StationProcess, folder) -> StationProcess:
    station.configure(task=f'"{folder}"')
    station.start()
    return station


async def ask(station: StationProcess, command, result=None):
    """An operator's command, as the supervisor relays it."""
    relayed = c.OnBehalf(person=ANN, command=command)
    return await station.call("supervisor", relayed, result)


async def card(station: StationProcess, after: int = 0) -> ApprovalCard:
    await station.rows(is_(ApprovalAsked), after)
    return await station.call("viewer", c.GetApproval(), ApprovalCard)


def is_(kind):
    return lambda event: isinstance(event, kind)


def yes(card: ApprovalCard, scope: Scope | None = None) -> c.Approve:
    return c.Approve(
        approval_id=card.approval_id,
        plan_sha256=card.plan_sha256,
        scene_version=card.scene_version,
        scope=scope,
    )


def of(rows, kind) -> list:
    return [row.event for row in rows if isinstance(row.event, kind)]


async def test_an_approved_reset_moves_the_robot_and_its_outcome_is_on_record(setup):
    started = await ask(setup, c.TryReset(station="s1"), TryState)
    seen = await card(setup)

    assert (seen.task, seen.number, seen.count, seen.asked_by) == ("reach", 1, 1, ANN)
    assert (seen.image.width, seen.image.height, len(seen.image.rgb)) == (64, 48, 64 * 48 * 3)
    assert seen.plan.reached
    assert seen.plan.plan_sha256 == seen.plan_sha256
    assert seen.plan.tool == "body tool"
    assert len(seen.plan.pixels) == seen.plan.steps > 5
    assert all(0 <= x <= 64 and 0 <= y <= 48 for x, y in seen.plan.pixels)
    assert [check.name for check in seen.checks if not check.ok] == []
    assert "+class Reset:" in seen.diff
    assert seen.diff_base == ""
    assert seen.refusal == ""
    assert 0 < seen.left_s <= 120
    assert (await setup.report()).word == "ASKING"

    answer = await ask(setup, yes(seen), ApprovalAnswer)
    again = await ask(setup, yes(seen), ApprovalAnswer)
    assert (answer.repeated, again.repeated, again.by) == (False, True, ANN)
    assert (answer.state, answer.by) == (ApprovalState.APPROVED, ANN)
    await setup.grant(mode=Mode.SETUP)

    rows = await setup.rows(is_(TryFinished))
    assert of(rows, ResetBegan)[0].approval_id == seen.approval_id
    result = of(rows, ResetTried)[0].result
    assert (result.outcome, result.tries) == ("reached", 1)
    assert result.robot_s == pytest.approx(seen.plan.seconds)
    assert result.sight.failed == ""
    assert result.sight.latency_ms > 0
    finished = of(rows, TryFinished)[0]
    assert (finished.try_id, finished.reached, finished.resets) == (started.try_id, 1, 1)

    # The next card shows what differs from the approved version, and what came of it.
    reset = setup.home / "reach" / "reset.py"
    reset.write_text(reset.read_text().replace("0.004", "0.003"))
    await ask(setup, c.TryReset(station="s1"))
    following = await card(setup, rows[-1].seq)
    assert following.diff_base == seen.code_sha256
    assert "-        if np.linalg.norm" in following.diff
    assert following.all_code.reached == 1
    assert following.same_code.approved == 0
    assert following.past[0].outcome == "reached"


async def test_without_an_answer_nothing_moves_and_it_expires(station, folder):
    station.configure(task=f'"{folder}"', approval_s="1.0")
    station.start()
    await station.grant(mode=Mode.SETUP)
    await ask(station, c.TryReset(station="s1", count=3))

    rows = await station.rows(is_(TryFinished))

    assert of(rows, ApprovalClosed)[0].state is ApprovalState.EXPIRED
    assert of(rows, ResetBegan) == []
    assert [event.result.outcome for event in of(rows, ResetTried)] == ["expired"]
    with pytest.raises(Refused, match="answered: expired"):
        await station.call("viewer", c.GetApproval(approval_id="s1/a1"))


async def test_a_rejection_gives_the_words_back(setup):
    await ask(setup, c.TryReset(station="s1"))
    seen = await card(setup)

    reject = c.Reject(approval_id=seen.approval_id, words="stay left of the tray")
    answer = await ask(setup, reject, ApprovalAnswer)

    assert answer.state is ApprovalState.REJECTED
    rows = await setup.rows(is_(TryFinished))
    assert of(rows, ApprovalClosed)[0].by == ANN
    result = of(rows, ResetTried)[0].result
    assert (result.outcome, result.detail, result.tries) == ("rejected", reject.words, 0)
    with pytest.raises(Refused, match=r"answered: rejected by operator/ann"):
        await ask(setup, yes(seen))


async def test_one_changed_byte_between_asking_and_approving_voids_it(setup):
    await ask(setup, c.TryReset(station="s1"))
    seen = await card(setup)
    reset = setup.home / "reach" / "reset.py"
    reset.write_bytes(reset.read_bytes() + b"#")

    with pytest.raises(Refused, match="stale: the task's files have changed"):
        await ask(setup, yes(seen))

    await setup.grant(mode=Mode.SETUP)
    rows = await setup.rows(is_(TryFinished))
    assert of(rows, ApprovalClosed)[0].state is ApprovalState.VOID
    assert of(rows, ResetBegan) == []


async def test_an_operators_own_key_and_an_agents_have_no_say_at_the_station(setup):
    await ask(setup, c.TryReset(station="s1"))
    seen = await card(setup)

    with pytest.raises(Refused, match="a station takes no Approve"):
        await setup.call("operator", yes(seen))
    for peer in ("agent", "viewer"):
        with pytest.raises(Refused, match=r"^role"):
            await setup.call(peer, yes(seen))
        with pytest.raises(Refused, match=r"^role"):
            await setup.call(peer, c.OnBehalf(person=ANN, command=yes(seen)))
    with pytest.raises(Refused, match=r"^role"):
        await setup.call("agent", c.GetApproval())


async def test_a_hold_voids_what_waits(setup):
    await ask(setup, c.TryReset(station="s1"))
    seen = await card(setup)

    await setup.call("viewer", c.Hold(reason="a hand"), Done)

    rows = await setup.rows(is_(TryFinished))
    assert of(rows, ApprovalClosed)[0].state is ApprovalState.VOID
    with pytest.raises(Refused, match="answered: void"):
        await ask(setup, yes(seen))
    with pytest.raises(Refused, match="held"):
        await ask(setup, c.TryReset(station="s1"))


async def test_a_hold_ends_a_scope(setup):
    await ask(setup, c.TryReset(station="s1"))
    seen = await card(setup)
    await setup.grant(mode=Mode.SETUP)
    await ask(setup, yes(seen, Scope(count=10, seconds=600, code_sha256=seen.code_sha256)))
    await setup.rows(is_(TryFinished))

    await setup.call("viewer", c.Hold(reason="a hand"), Done)

    rows = await setup.rows(is_(ScopeEnded))
    assert rows[-1].event.reason == "the station was held"


async def test_a_restart_voids_what_waits(setup):
    await ask(setup, c.TryReset(station="s1"))
    seen = await card(setup)
    setup.kill()
    setup.start()

    rows = await setup.rows(is_(TryFinished))

    assert of(rows, ApprovalClosed)[0].reason == "the station was restarted"
    with pytest.raises(Refused, match="answered: void"):
        await ask(setup, yes(seen))


SLOW = """
import time
import numpy as np

class Reset:
    def reset(self, observation, target):
        self._target, self._steps = np.asarray(target), 0

    def act(self, observation):
        self._steps += 1
        time.sleep(0.2)
        return self._target if self._steps < 20 else None
"""


async def test_a_grant_that_lapses_holds_at_once_and_ends_the_try(setup):
    (setup.home / "reach" / "reset.py").write_text(SLOW)
    await ask(setup, c.TryReset(station="s1", count=2))
    seen = await card(setup)
    await ask(setup, yes(seen, Scope(count=2, seconds=600, code_sha256=seen.code_sha256)))
    await setup.rows(is_(ResetBegan))

    await setup.grant(mode=Mode.SETUP, ttl_s=1.0)

    rows = await setup.rows(is_(TryFinished))
    result = of(rows, ResetTried)[0].result
    assert (result.outcome, result.tries) == ("held", 1)
    assert result.detail.startswith("grant_lapsed")
    assert 0 < result.robot_s < seen.plan.seconds
    assert len(of(rows, ScopeEnded)) == 1


async def test_a_scope_covers_further_resets_of_the_same_code_only(setup):
    await ask(setup, c.TryReset(station="s1", count=3))
    seen = await card(setup)
    await setup.grant(mode=Mode.SETUP)
    await ask(setup, yes(seen, Scope(count=2, seconds=600, code_sha256=seen.code_sha256)))

    rows = await setup.rows(is_(ScopeEnded))
    assert [event.scoped for event in of(rows, ResetBegan)] == [False, True]
    assert "used up" in rows[-1].event.reason
    third = await card(setup, rows[-1].seq)
    assert third.number == 3

    scope = Scope(count=10, seconds=600, code_sha256=third.code_sha256)
    await ask(setup, yes(third, scope))
    rows = await setup.rows(is_(TryFinished))
    reset = setup.home / "reach" / "reset.py"
    reset.write_bytes(reset.read_bytes() + b"#")
    await ask(setup, c.TryReset(station="s1"))
    assert (await card(setup, rows[-1].seq)).approval_id == "s1/a3"


async def test_the_verifier_looks_without_any_approval(setup):
    await ask(setup, c.TryVerify(station="s1"))

    rows = await setup.rows(is_(TryFinished))

    sight = of(rows, VerifierTried)[0].sight
    assert (sight.success, sight.failed) == (False, "")
    assert sight.latency_ms > 0
    assert sight.gate == "the tool is not retracted"
    assert of(rows, ApprovalAsked) == []


async def test_in_setup_a_grant_alone_moves_no_batch(setup):
    await ask(setup, c.TryVerify(station="s1"))
    await setup.rows(is_(TryFinished))
    await setup.grant(mode=Mode.SETUP)
    await setup.batch(episodes=1)
    # The robot is there and idle: were it to move, it would begin within milliseconds.
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.0):
            await setup.rows(is_(EpisodeStarted))
    with pytest.raises(Refused, match="busy: batch b1"):
        await ask(setup, c.TryReset(station="s1"))

    await setup.grant(mode=Mode.AUTONOMOUS)

    rows = await setup.rows(is_(EpisodeStarted))
    modes = [event.mode for event in of(rows, GrantReceived)]
    assert modes == [Mode.SETUP, Mode.AUTONOMOUS]
    with pytest.raises(Refused, match="mode: the fleet is autonomous"):
        await ask(setup, c.TryReset(station="s1"))


async def test_what_was_published_is_tried_only_as_it_was_published(station, folder):
    from robots.station.tasks import read_task
    from robots.wire import codec
    from robots.wire.records import EnvironmentManifest
    from robots.wire.signing import SigningKey

    task, key = read_task(folder), SigningKey.generate()
    manifest = EnvironmentManifest(
        task="reach",
        manifest_sha256=task.manifest_sha256(),
        files=task.files(),
        published_wall_s=1.0,
    )
    signed = codec.encode(key.sign(manifest)).hex()
    station.configure(
        task=f'"{folder}"', publishers=f'["{key.public.hex()}"]', published=f'"{signed}"'
    )
    (folder / "reset.py").write_bytes((folder / "reset.py").read_bytes() + b"#")
    station.start()
    await ask(station, c.TryReset(station="s1"))

    rows = await station.rows(is_(TryFinished))

    assert rows[-1].event.detail.startswith("frozen")


async def test_an_empty_reset_cannot_be_approved_and_its_words_go_back(setup):
    (setup.home / "reach" / "reset.py").write_text("")
    await ask(setup, c.TryReset(station="s1"))
    seen = await card(setup)

    assert "Reset" in {check.name: check.detail for check in seen.checks}["faults"]
    assert seen.refusal.startswith("check: faults failed")
    with pytest.raises(Refused, match="check: faults failed"):
        await ask(setup, yes(seen))
    await ask(setup, c.Reject(approval_id=seen.approval_id, words="write one first"))
    rows = await setup.rows(is_(TryFinished))
    assert of(rows, ResetTried)[0].result.detail == "write one first"


async def test_a_scene_edited_under_the_station_is_not_tried(setup):
    await ask(setup, c.TryVerify(station="s1"))
    rows = await setup.rows(is_(TryFinished))
    path = setup.home / "reach" / "scene.xml"
    path.write_text(path.read_text() + "\n")
    await ask(setup, c.TryReset(station="s1"))

    rows = await setup.rows(is_(TryFinished), after=rows[-1].seq)

    assert "scene.xml" in rows[-1].event.detail


# --- on the batch thread ---------------------------------------------------------------------------


class Answering:
    """A desk that answers as told, after doing something to the world."""

    def __init__(self, meanwhile=lambda: None):
        self.events, self.voids, self.approvals = [], [], []
        self._meanwhile = meanwhile

    def tell(self, event):
        self.events.append(event)

    def ask(self, try_id, evidence):
        self.approvals.append(evidence)
        self._meanwhile()
        permit: concurrent.futures.Future[Permit] = concurrent.futures.Future()
        permit.set_result(Permit("s1/a1", ApprovalState.APPROVED))
        return permit

    def void(self, reason):
        self.voids.append(reason)

    def stopped(self, condition, detail):
        raise AssertionError(detail)

    def approved(self, code_sha256):
        pass

    @property
    def results(self):
        return [event.result for event in self.events if isinstance(event, ResetTried)]


class Opposite:
    """A reset that goes away from where its rehearsal went."""

    def reset(self, observation, target):
        self._target = 2.0 * observation["tool_position_m"] - target

    def act(self, observation):
        return self._target


def tried(rig, authority, desk, resets=1):
    Trier(rig, authority, desk).run(Errand("s1/t1", TryKind.RESET, resets))
    return desk.results


def test_a_reset_that_leaves_its_plan_is_held_before_it_has_left(make_rig, authority):
    class Changing(ScriptedChildren):
        resets = 0

        def reset(self):
            self.resets += 1
            rehearsed = load(REACH / "reset.py").Reset()
            return ScriptedReset(rehearsed if self.resets == 1 else Opposite())

    desk = Answering()
    rig = make_rig(children=Changing())
    start = np.array(rig.driver.setpoint())

    (result,) = tried(rig, authority, desk)

    assert (result.outcome, result.tries) == ("held", 1)
    assert result.detail.startswith("left_plan")
    assert desk.voids == [result.detail]
    # The plan led the other way: all that moved is the tube's half-width at most.
    gone = np.abs(np.array(rig.driver.setpoint()) - start)
    assert 0.0 < gone.max() <= max(desk.approvals[0].motion.tube)
    # What follows is bound by its own plan, not by this one.
    assert rig.env.resetter.guard([9.0, 9.0]) is None


def test_the_rehearsal_and_the_reset_are_the_same_motion(make_rig, authority):
    desk = Answering()
    rig = make_rig()
    before = rig.driver.data.qpos.copy()
    seen = []
    desk._meanwhile = lambda: seen.append((rig.driver.data.qpos.copy(), rig.driver.data.time))

    (result,) = tried(rig, authority, desk)

    # The rehearsal left the world as it was, and told what then happened.
    assert (seen[0][0] == before).all()
    assert seen[0][1] == 0.0
    assert result.outcome == "reached"
    assert result.robot_s == pytest.approx(desk.approvals[0].motion.seconds)


def test_a_scene_that_moves_before_the_answer_takes_effect_is_not_acted_on(make_rig, authority):
    rig = make_rig()

    def shove():
        rig.driver.data.qpos[0] += 0.05

    desk = Answering(shove)

    (result,) = tried(rig, authority, desk)

    assert (result.outcome, result.tries) == ("void", 0)
    assert "moved by 0.05" in result.detail
    assert [type(event).__name__ for event in desk.events] == ["ResetTried", "TryFinished"]


def test_a_cancellation_of_the_batch_before_does_not_reach_a_try(make_rig, authority):
    authority.begin_batch("b1")
    authority.cancel("b1", "withdrawn")

    (result,) = tried(make_rig(), authority, Answering())

    assert result.outcome == "reached"


def test_files_that_change_after_the_answer_are_not_run(make_rig, authority, folder):
    rig = make_rig(folder=folder)
    reset = folder / "reset.py"
    desk = Answering(lambda: reset.write_bytes(reset.read_bytes() + b"#"))

    (result,) = tried(rig, authority, desk)

    assert (result.outcome, result.tries) == ("void", 0)
    assert "files have changed" in result.detail


def test_what_the_code_raises_in_rehearsal_is_a_failed_check(make_rig, authority, folder):
    (folder / "reset.py").write_text(
        "class Reset:\n"
        "    def reset(self, observation, target): self._n = 0\n"
        "    def act(self, observation):\n"
        "        self._n += 1\n"
        "        if self._n > 20: raise ValueError('lost the block')\n"
        "        return observation['tool_position_m'] + 0.01\n"
    )
    desk = Answering()

    class Raising(ScriptedChildren):
        def reset(self):
            inner = load(self.folder / "reset.py").Reset()

            class Child(ScriptedReset):
                def act(self, observation):
                    try:
                        return super().act(observation)
                    except ValueError as error:
                        raise ChildFailed("reset_raised", str(error), ended=False) from error

            return Child(inner)

    rig = make_rig(folder=folder, children=Raising(folder=folder))
    tried(rig, authority, desk)

    checks = {check.name: check for check in desk.approvals[0].checks}
    assert not checks["faults"].ok
    assert "lost the block" in checks["faults"].detail
    assert not desk.approvals[0].motion.reached


def test_a_driver_without_a_copy_of_its_world_says_so_on_the_card(make_rig, authority, monkeypatch):
    from robots.drivers.mujoco import MujocoDriver

    monkeypatch.delattr(MujocoDriver, "twin")
    desk = Answering()
    rig = make_rig()

    (result,) = tried(rig, authority, desk)

    assert desk.approvals[0].motion is None
    assert "not known" in desk.approvals[0].plan_missing
    assert result.outcome == "reached"


def test_versions_show_what_changed_and_are_bounded(folder, tmp_path):
    from robots.station import versions
    from robots.station.tasks import read_task

    task, kept = read_task(folder), Versions(tmp_path / "approved")
    sha256 = task.manifest_sha256()
    kept.keep(task, sha256)
    assert kept.diff(task, sha256) == ("", sha256)

    (folder / "verify.py").write_text("escape = '\x1b[2J'\n" + "x = 1\n" * 100_000)
    diff, base = kept.diff(task, sha256)

    assert base == sha256
    assert len(diff) < versions.DIFF_LETTERS + 100
    assert "\x1b" not in diff
    assert kept.diff(task, "unknown")[1] == ""
