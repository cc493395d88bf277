"""Episodes in lockstep: every way they can end, and the row of the safety table behind it."""

import itertools
import math
import os
import shutil
import threading

import numpy as np
import pytest

from robots.safety.table import Condition
from robots.station.children import ChildFailed
from robots.station.lockstep import Lockstep
from robots.station.resetting import TRIES
from robots.wire.records import Mode, Outcome, Purpose
from tests.robots.station.conftest import plan
from tests.robots.station.scripted import REACH, GoThere, InProcess, ScriptedChildren, Stay

PERIOD_S = 1 / 30


class Returns:
    """A policy that returns one thing."""

    def __init__(self, value):
        self.value = value

    def reset(self, observation):
        pass

    def act(self, observation):
        return self.value(observation) if callable(self.value) else self.value


def only(end):
    assert len(end.episodes) == 1
    return end.episodes[0]


def run_one(make_rig, watched, policy, **options):
    return only(make_rig(policy, **options).run(plan(1), watched))


def test_a_policy_that_reaches_the_goal_succeeds(make_rig, watched):
    episode = run_one(make_rig, watched, GoThere())

    assert (episode.outcome, episode.reason) == (Outcome.SUCCESS, "verified")
    assert episode.reset_tries == 1
    assert episode.reset_s > 0
    assert episode.robot_s == pytest.approx(episode.steps * PERIOD_S, abs=0.01)


def test_a_policy_that_stays_fails_at_the_episode_limit(make_rig, watched):
    episode = run_one(make_rig, watched, Stay())

    assert (episode.outcome, episode.reason) == (Outcome.FAILURE, "episode_limit")
    assert episode.robot_s == pytest.approx(4.0, abs=PERIOD_S)
    assert episode.tags == ("far",)
    assert episode.figures["distance_m"] > 0.05
    assert (0, Condition.EPISODE_LIMIT, "hold") in watched.acted


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.array([np.nan, 0.0]), "action_not_finite"),
        (np.array([np.inf, 0.0]), "action_not_finite"),
        (np.array([0.0]), "action_shape"),
        (np.array(["a", "b"]), "action_shape"),
        (None, "action_shape"),
        ({"action": np.zeros(2)}, "action_shape"),
    ],
)
def test_an_invalid_action_is_a_failure_and_moves_nothing(make_rig, watched, value, reason):
    rig = make_rig(Returns(value))

    episode = only(rig.run(plan(1), watched))

    assert (episode.outcome, episode.reason) == (Outcome.FAILURE, reason)
    assert episode.robot_s == 0.0
    assert all(math.isfinite(value) for value in rig.driver.setpoint())


def test_a_huge_action_is_clipped_reported_and_counts_on(make_rig, watched):
    rig = make_rig(Returns(np.array([1e30, 0.0])))
    positions = []
    drive = rig.driver.drive

    def seen(setpoint, ticks):
        positions.append(list(setpoint))
        drive(setpoint, ticks)

    rig.driver.drive = seen
    episode = only(rig.run(plan(1), watched))

    assert episode.reason == "episode_limit"
    assert (0, Condition.ACTION_CLIPPED, "clip") in watched.acted
    assert max(position[0] for position in positions) == pytest.approx(0.3)
    fastest = max(math.dist(a, b) for a, b in itertools.pairwise(positions))
    assert fastest <= 0.5 * 0.01 * (1 + 1e-9)


def test_a_broken_task_limit_ramps_down_and_fails(make_rig, watched):
    # The corner of the table is within the position limits and beyond the task's.
    episode = run_one(make_rig, watched, Returns(np.array([0.3, 0.3])))

    assert (episode.outcome, episode.reason) == (Outcome.FAILURE, "task_limit: workspace")
    assert any(condition is Condition.TASK_LIMIT for _, condition, _ in watched.acted)


def test_the_next_episode_after_a_broken_task_limit_is_reset_automatically(make_rig, watched):
    end = make_rig(Returns(np.array([0.3, 0.3]))).run(plan(3), watched)

    assert [episode.reason for episode in end.episodes] == ["task_limit: workspace"] * 3
    assert not end.void


def test_a_simulation_warning_stops_the_station_until_it_is_released(make_rig, watched, authority):
    rig = make_rig(GoThere())
    diverged = []

    def poison(index):
        if index == 0:
            observe = rig.driver.observe

            def later():
                if not diverged and rig.motion.time_s > 0.3:
                    diverged.append(True)
                    rig.driver.data.qvel[:] = np.nan
                return observe()

            rig.driver.observe = later

    watched.on_start = poison
    # Released as an operator would, from elsewhere.
    watched.on_stop = lambda: threading.Timer(0.05, authority.release).start()
    end = rig.run(plan(2), watched)

    assert watched.stops
    assert watched.stops[0][0] is Condition.SIMULATION_WARNING
    assert end.episodes[0].outcome in (Outcome.FAILURE, Outcome.VOID)
    assert end.episodes[0].reason.startswith("simulation_warning")
    assert end.audit["0"] == {}
    assert end.episodes[-1].reason == "verified"


def test_without_auto_reset_a_diverged_world_never_counts_as_reset(make_rig):
    rig = make_rig()

    rig.driver.data.qvel[:] = 1e12
    rig.driver.advance(50)

    assert rig.driver.fault().condition is Condition.SIMULATION_WARNING


# --- latency -------------------------------------------------------------------------------------


def ticks_after(make_rig, latency_s):
    """Ticks, and where the set-point got to, for one action that came late."""
    rig = make_rig()
    reported = []
    motion = Lockstep(rig.driver, rig.task.spec, reported.append)
    motion.begin()
    held = list(motion.limiter.setpoint)
    motion.step([held[0] + 0.15, held[1]], 0.0)
    after_first = motion.tick
    accepted = motion.step([held[0], held[1]], latency_s)
    return rig, motion, after_first, accepted, reported


def test_an_action_within_its_period_applies_at_once(make_rig):
    _, motion, first, accepted, reported = ticks_after(make_rig, PERIOD_S)

    assert accepted
    assert reported == []
    assert motion.tick - first == 7 - 3


def test_a_late_action_lets_the_world_go_on_under_the_one_before(make_rig):
    _, motion, first, accepted, reported = ticks_after(make_rig, 0.05)

    assert accepted
    assert reported == []
    # Five ticks pass before it applies; the next policy step on the grid is at tick 10.
    assert first + 5 < motion.tick == 10


def test_an_action_older_than_three_periods_makes_the_robot_hold(make_rig):
    _, motion, first, accepted, reported = ticks_after(make_rig, 0.25)

    assert accepted
    assert reported == [Condition.ACTION_STALE]
    assert motion.tick >= first + 25


def test_holding_begins_after_exactly_three_periods(make_rig):
    rig = make_rig()
    motion = Lockstep(rig.driver, rig.task.spec, lambda condition: None)
    motion.limiter.relocate([-0.2, 0.0])
    motion.begin()
    motion.limiter.accept([0.0, 0.0])
    places = []
    advance, drive = rig.driver.advance, rig.driver.drive

    def stayed(ticks):
        advance(ticks)
        places.extend([motion.limiter.setpoint[0]] * ticks)

    def driven(setpoint, ticks):
        drive(setpoint, ticks)
        places.extend([setpoint[0]] * ticks)

    rig.driver.advance, rig.driver.drive = stayed, driven
    motion.step([0.0, 0.0], 0.3)

    moving = [b > a for a, b in itertools.pairwise(places)]
    # Ten ticks of three periods under the old action, twenty held, then the new one.
    assert moving[:9] == [True] * 9
    assert moving[10:29] == [False] * 19


def test_an_action_older_than_fifteen_periods_fails_the_episode(make_rig, watched):
    episode = run_one(make_rig, watched, GoThere(), cpu_s=0.51)

    assert (episode.outcome, episode.reason) == (Outcome.FAILURE, "policy_timeout")
    assert (0, Condition.ACTION_STALE, "decelerate_hold") in watched.acted
    assert (0, Condition.ACTION_LOST, "hold") in watched.acted
    assert episode.robot_s == pytest.approx(0.5, abs=0.02)


def test_a_slow_policy_still_counts_when_it_stays_under_the_limit(make_rig, watched):
    episode = run_one(make_rig, watched, GoThere(), cpu_s=0.2)

    assert episode.outcome is Outcome.SUCCESS
    assert episode.policy_cpu_s == pytest.approx(0.2 * episode.steps, rel=0.01)


# --- the policy's process ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        (ChildFailed("policy_raised", "ValueError: no", ended=False), "policy_raised"),
        (ChildFailed("policy_timeout"), "policy_timeout"),
        (ChildFailed("policy_memory"), "policy_memory"),
        (ChildFailed("policy_exited"), "policy_exited"),
        (ChildFailed("bad_reply"), "bad_reply"),
    ],
)
def test_a_policy_whose_process_fails_is_a_failure_and_the_batch_goes_on(
    make_rig, watched, failed, reason
):
    rig = make_rig(Returns(failed))

    end = rig.run(plan(2), watched)

    assert [(e.outcome, e.reason) for e in end.episodes] == [(Outcome.FAILURE, reason)] * 2
    assert len(rig.children.started) == (2 if failed.ended else 1)


def test_a_policy_that_cannot_be_loaded_fails_every_episode(make_rig, watched):
    end = make_rig(ChildFailed("policy_raised", "x\nSyntaxError: bad")).run(plan(3), watched)

    assert [episode.reason for episode in end.episodes] == ["policy_raised"] * 3
    assert end.episodes[0].tags == ("SyntaxError: bad",)
    assert not end.void


def test_a_sandbox_that_cannot_start_voids_and_does_not_blame_the_policy(make_rig, watched):
    end = make_rig(ChildFailed("sandbox_failed", "no bwrap")).run(plan(3), watched)

    assert {episode.outcome for episode in end.episodes} == {Outcome.VOID}
    assert end.void
    assert len(end.episodes) == 2


# --- reset and verifier --------------------------------------------------------------------------


class Children(ScriptedChildren):
    """Children whose reset or verifier is replaced."""

    def __init__(self, reset=None, verify=None, policy=None):
        super().__init__(policy or GoThere())
        self.make_reset, self.make_verify = reset, verify
        self.resets = self.verifiers = 0

    def reset(self):
        self.resets += 1
        return self.make_reset(self.resets) if self.make_reset else super().reset()

    def verify(self):
        self.verifiers += 1
        return self.make_verify(self.verifiers) if self.make_verify else super().verify()


class Reset(InProcess):
    """A scripted reset child: `act` is what it does."""

    def __init__(self, act):
        self.act_on = act
        self.target = None

    def reset(self, observation, target):
        self.target = target

    def act(self, observation):
        from robots.station.children import Answer

        return Answer(self.act_on(self, observation), 0.0)

    def close(self):
        pass


def test_a_reset_that_lies_is_not_believed_and_the_station_quarantines(make_rig, watched):
    children = Children(reset=lambda n: Reset(lambda self, observation: None))
    rig = make_rig(children=children)

    end = rig.run(plan(3), watched)

    episode = only(end)
    assert (episode.outcome, episode.reason) == (Outcome.VOID, "reset_failed")
    assert episode.reset_tries == TRIES + 1
    assert end.quarantine
    assert end.void
    # The alternative is a child without memory of the tries.
    assert children.resets == 2


def test_the_alternative_may_save_a_reset(make_rig, watched):
    def reset(number):
        if number == 1:
            return Reset(lambda self, observation: None)
        return ScriptedChildren().reset()

    episode = only(make_rig(children=Children(reset=reset)).run(plan(1), watched))

    assert episode.outcome is Outcome.SUCCESS
    assert episode.reset_tries == TRIES + 1


def test_a_reset_that_never_ends_is_cut_at_its_limit(make_rig, watched):
    never = Children(
        reset=lambda n: Reset(lambda self, observation: observation["tool_position_m"])
    )

    end = make_rig(children=never).run(plan(1), watched)

    assert end.quarantine
    assert only(end).reset_s == pytest.approx((4.0 + 0.2) * (TRIES + 1), abs=0.3)


def test_a_reset_whose_process_dies_voids_the_episode_and_is_replaced(make_rig, watched):
    def reset(number):
        if number == 1:

            def die(self, observation):
                raise ChildFailed("reset_exited")

            return Reset(die)
        return ScriptedChildren().reset()

    end = make_rig(children=Children(reset=reset)).run(plan(3), watched)

    assert [e.outcome for e in end.episodes] == [Outcome.VOID] + [Outcome.SUCCESS] * 3
    assert end.episodes[0].reason.startswith("reset_died")
    assert not end.void


def test_a_resets_nan_wastes_a_try_and_nothing_else(make_rig, watched):
    tries = []

    def act(self, observation):
        if not tries:
            tries.append(True)
            return np.array([np.nan, np.nan])
        return (
            None
            if np.linalg.norm(observation["tool_position_m"] - self.target) < 0.004
            else self.target
        )

    episode = only(make_rig(children=Children(reset=lambda n: Reset(act))).run(plan(1), watched))

    assert episode.outcome is Outcome.SUCCESS
    assert episode.reset_tries == 2


class Verify(InProcess):
    """A scripted verifier child."""

    def __init__(self, verdicts):
        self.verdicts = iter(verdicts)
        self.asked = 0

    def verify(self, images, proprioception):
        from robots.station.children import Sight

        self.asked += 1
        verdict = next(self.verdicts, False)
        if isinstance(verdict, ChildFailed):
            raise verdict
        return Sight(verdict, 0.5)

    def close(self):
        pass


def test_a_verifier_whose_process_dies_voids_the_episode_and_is_replaced(make_rig, watched):
    def verify(number):
        if number == 1:
            return Verify([ChildFailed("verifier_exited")])
        return ScriptedChildren().verify()

    end = make_rig(children=Children(verify=verify)).run(plan(2), watched)

    assert [e.outcome for e in end.episodes] == [Outcome.VOID, Outcome.SUCCESS, Outcome.SUCCESS]
    assert end.episodes[0].reason.startswith("verifier_died")


def test_success_needs_three_verdicts_in_a_row(make_rig, watched):
    verifier = Verify([True, True, False, True, True, True])

    episode = only(make_rig(children=Children(verify=lambda n: verifier)).run(plan(1), watched))

    assert episode.outcome is Outcome.SUCCESS
    assert verifier.asked == 6


def test_the_verifier_is_not_asked_while_the_tool_is_in_view(make_rig, watched):
    verifier = Verify([])

    episode = only(
        make_rig(children=Children(verify=lambda n: verifier, policy=Stay())).run(plan(1), watched)
    )

    assert episode.outcome is Outcome.FAILURE
    assert verifier.asked == 0
    assert episode.score is None


def test_the_verifier_is_not_asked_about_what_sensors_exclude(make_rig, watched):
    verifier = Verify([])
    rig = make_rig(children=Children(verify=lambda n: verifier))
    rig.driver.plausible = lambda observation: False

    episode = only(rig.run(plan(1), watched))

    assert episode.outcome is Outcome.FAILURE
    assert verifier.asked == 0


def test_a_negative_verdict_is_asked_again_seldom(make_rig, watched):
    verifier = Verify([])

    episode = only(make_rig(children=Children(verify=lambda n: verifier)).run(plan(1), watched))

    assert episode.reason == "episode_limit"
    assert 3 <= verifier.asked <= 5
    assert episode.score == 0.5


# --- holds and grants ----------------------------------------------------------------------------


def hold_in_policy(rig, authority, condition=Condition.HOLD, **how):
    """Hold as soon as the policy's part runs."""
    step = rig.motion.step

    def stepped(action, latency_s):
        if rig.env.history and authority.stopped is None:
            authority.stop(condition, "by hand", **how)
        return step(action, latency_s)

    rig.motion.step = stepped


def test_an_operators_hold_voids_the_batch_visibly(make_rig, watched, authority):
    rig = make_rig()
    hold_in_policy(rig, authority)

    end = rig.run(plan(5), watched)

    assert only(end).outcome is Outcome.VOID
    assert only(end).reason == "held: by hand"
    assert end.void
    assert end.void_reason == "hold: by hand"


def test_an_agents_hold_is_its_policys_failure_and_the_batch_goes_on(make_rig, watched, authority):
    rig = make_rig()
    hold_in_policy(rig, authority, by_agent=True)
    threading.Timer(
        0.2,
        lambda: (
            setattr(rig.motion, "step", type(rig.motion).step.__get__(rig.motion)),
            authority.release(),
        ),
    ).start()

    end = rig.run(plan(2), watched)

    assert end.episodes[0].outcome is Outcome.FAILURE
    assert end.episodes[1].outcome is Outcome.SUCCESS
    assert not end.void


def test_an_emergency_stop_outranks_an_agents_hold(authority):
    authority.stop(Condition.HOLD, "agent", by_agent=True)
    authority.stop(Condition.EMERGENCY_STOP, "person")
    authority.stop(Condition.HOLD, "operator")

    assert authority.stopped is Condition.EMERGENCY_STOP


def test_no_step_is_taken_after_a_hold(make_rig, watched, authority):
    rig = make_rig()
    ticks = []
    hold_in_policy(rig, authority)
    advance, drive = rig.driver.advance, rig.driver.drive

    def stayed(count):
        ticks.append(0 if authority.stopped is None else count)
        advance(count)

    def driven(setpoint, count):
        ticks.append(0 if authority.stopped is None else count)
        drive(setpoint, count)

    rig.driver.advance, rig.driver.drive = stayed, driven
    rig.run(plan(5), watched)

    # The step in which it came is at most one policy period.
    assert sum(ticks) <= 4


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def lapse(make_rig, watched, lapses):
    """End autonomy in the first episode's policy, grant it again as soon as the robot waits."""
    from robots.drivers.mujoco import MujocoDriver
    from robots.station.authority import Authority
    from robots.station.rollout import Rig
    from robots.station.tasks import read_task
    from tests.robots.station.conftest import Counter

    clock = Clock()
    authority = Authority(clock, needs_grant=True)
    authority.grant(Mode.AUTONOMOUS, 100.0)
    task = read_task(REACH)
    rig = Rig(task, MujocoDriver(task, 1), ScriptedChildren(), authority, Counter())
    steps_without = []
    step = rig.motion.step

    def stepped(action, latency_s):
        if len(rig.env.history) == 5 and len(watched.started) == 1:
            lapses(authority, clock)
        if not authority.licensed() or authority.mode is Mode.SETUP:
            steps_without.append(len(watched.started))
        return step(action, latency_s)

    rig.motion.step = stepped
    waiting = threading.Event()
    wait = authority._changed.wait

    def waits(timeout=None):
        waiting.set()
        return wait(0.01)

    authority._changed.wait = waits

    def renew():
        waiting.wait(10)
        authority.grant(Mode.AUTONOMOUS, 1000.0)

    thread = threading.Thread(target=renew)
    thread.start()
    end = rig.run(plan(2), watched)
    thread.join()
    rig.close()
    return end, steps_without


def test_a_fleet_taken_back_to_setup_holds_at_once_and_the_episode_counts_on(make_rig, watched):
    # Not even a grant in force moves a batch in setup: nobody approved it.
    end, steps_without = lapse(
        make_rig, watched, lambda authority, clock: authority.grant(Mode.SETUP, 100.0)
    )

    # The step under way is finished; none begins without a grant.
    assert len(steps_without) <= 1
    assert [e.outcome for e in end.episodes] == [Outcome.SUCCESS] * 2


def test_a_lapsed_grant_in_autonomous_finishes_the_episode_then_holds(make_rig, watched):
    end, steps_without = lapse(
        make_rig, watched, lambda authority, clock: setattr(clock, "now", 200.0)
    )

    assert len(steps_without) > 3
    assert set(steps_without) == {1}
    assert [e.outcome for e in end.episodes] == [Outcome.SUCCESS] * 2


# --- the frozen environment ----------------------------------------------------------------------


def test_an_edited_environment_voids_the_batch(make_rig, watched, tmp_path):
    folder = tmp_path / "reach"
    shutil.copytree(REACH, folder)
    rig = make_rig(folder=folder)
    stat = (folder / "verify.py").stat()

    def edit(index):
        (folder / "verify.py").write_text(
            "def verify(images, proprioception): return {'success': True, 'iou': 1.0}\n"
        )
        os.utime(folder / "verify.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))

    watched.on_start = edit
    end = rig.run(plan(1), watched)

    assert end.void
    assert end.void_reason == "manifest_changed"


def test_an_edit_between_two_batches_voids_the_next(make_rig, watched, tmp_path):
    folder = tmp_path / "reach"
    shutil.copytree(REACH, folder)
    rig = make_rig(folder=folder)
    assert not rig.run(plan(1), watched).void
    (folder / "task.toml").write_text((folder / "task.toml").read_text() + "\n")

    end = rig.run(plan(1, batch_id="b2"), watched)

    assert end.void_reason == "manifest_changed"
    assert end.episodes == ()


def test_a_link_in_place_of_the_verifier_changes_the_manifest(tmp_path):
    from robots.station.tasks import read_task

    folder = tmp_path / "reach"
    shutil.copytree(REACH, folder)
    task = read_task(folder)
    before = task.manifest_sha256()
    moved = tmp_path / "verify.py"
    (folder / "verify.py").rename(moved)
    (folder / "verify.py").symlink_to(moved)

    assert task.manifest_sha256() != before


def test_seeds_reach_agents_in_explore_batches_only(make_rig, watched):
    sealed = make_rig().run(plan(1), watched)
    explored = make_rig().run(plan(1, purpose=Purpose.EXPLORE, seeds=(7,)), watched)

    assert only(sealed).seed is None
    assert only(explored).seed == 7
