"""Scripts as what a task's reset and a recipe's policy must be."""

import numpy as np
import pytest

from robots.skills import Hand, ScriptedPolicy, ScriptedReset, SkillFailed
from tests.robots.skills.arm import Bench


def played(adapter, bench, steps=200):
    """Actions until None, as the station asks for them: first with the observation of `reset`."""
    observation, actions = bench.observe(), []
    for _ in range(steps):
        action = adapter.act(observation)
        if action is None:
            break
        actions.append(action)
        observation = bench.step(action)
    return actions


def test_a_reset_ends_with_none_after_its_last_action():
    bench = Bench()

    class Reset(ScriptedReset):
        def script(self, observation, target):
            hand = Hand(bench.robot())
            assert observation is seen
            yield from hand.move(target, 0.3)

    reset = Reset()
    for target in ((0.1, 0.0, 0.1), (0.0, 0.0, 0.1)):
        seen = bench.observe()
        reset.reset(seen, np.array(target))
        actions = played(reset, bench)
        assert len(actions) == 10
        assert np.allclose(bench.place[0], target)
        assert reset.act(bench.observe()) is None


def test_each_action_answers_the_observation_before_it():
    bench = Bench(floor_m=0.05)
    heard = []

    class Reset(ScriptedReset):
        def script(self, observation, target):
            hand = Hand(bench.robot())
            felt = yield from hand.descend(4.0, 0.0, 0.03)
            heard.append(felt)
            yield from hand.hold(1)

    reset = Reset()
    reset.reset(bench.observe(), np.zeros(3))
    actions = played(reset, bench)
    assert heard[0].touched
    assert (actions[-1] == actions[-2]).all()


def test_a_reset_without_a_step_is_done_at_once():
    class Reset(ScriptedReset):
        def script(self, observation, target):
            return
            yield

    reset = Reset()
    reset.reset({}, np.zeros(1))
    assert reset.act({}) is None


def test_a_policy_keeps_its_last_action_in_force():
    bench = Bench()

    class Policy(ScriptedPolicy):
        def script(self, observation):
            yield from Hand(bench.robot()).move((0.0, self.knobs["far"], 0.1), 0.3)

    policy = Policy({"far": 0.03})
    policy.reset(bench.observe())
    actions = played(policy, bench, steps=20)
    assert len(actions) == 20
    assert np.allclose(actions[-1][:3], (0.0, 0.03, 0.1))
    policy.reset(bench.observe())
    assert np.allclose(policy.act(bench.observe())[:3], (0.0, 0.03, 0.1))


def test_a_failure_that_nobody_caught_is_told_by_name():
    class Policy(ScriptedPolicy):
        def script(self, observation):
            bench = Bench()
            yield from Hand(bench.robot()).move((float("inf"), 0.0, 0.0), 0.3)

    with pytest.raises(SkillFailed, match="out_of_reach"):
        Policy({}).reset({})
