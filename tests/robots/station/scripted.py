"""Children in process, for tests of what is around them; the sandboxed ones have their own."""

import importlib.util
import itertools
import time
from pathlib import Path

import numpy as np

from robots.station.children import Answer, ChildFailed, Sight

REACH = Path(__file__).with_name("reach")
_NAMES = itertools.count()


def load(path: Path):
    spec = importlib.util.spec_from_file_location(f"scripted_{next(_NAMES)}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class GoThere:
    """A policy that reaches the goal."""

    def reset(self, observation):
        pass

    def act(self, observation):
        return observation["goal_position_m"]


class Stay:
    """A policy that never moves."""

    def reset(self, observation):
        self._here = observation["tool_position_m"].copy()

    def act(self, observation):
        return self._here


class InProcess:
    """A child that is none."""

    pid = None

    def close(self):
        pass


class ScriptedPolicy(InProcess):
    def __init__(self, policy, cpu_s=0.001):
        self.policy = policy
        self.cpu_s = cpu_s
        self.closed = False

    def reset(self, observation):
        self.policy.reset(observation)
        return 0.0

    def act(self, observation):
        action = self.policy.act(observation)
        if isinstance(action, ChildFailed):
            raise action
        return Answer(action, self.cpu_s)

    def blocked(self):
        return []

    def close(self):
        self.closed = True


class ScriptedReset(InProcess):
    def __init__(self, child):
        self.child = child

    def reset(self, observation, target):
        self.child.reset(observation, target)

    def act(self, observation):
        return Answer(self.child.act(observation), 0.0)


class ScriptedVerify(InProcess):
    def __init__(self, verify):
        self.function = verify

    def verify(self, images, proprioception):
        verdict = self.function(images, proprioception)
        return Sight(verdict["success"], verdict["iou"])


class ScriptedChildren:
    """`policies` are handed out in turn, the last one again and again."""

    def __init__(self, *policies, folder=REACH, cpu_s=0.001):
        self.policies = list(policies or [GoThere()])
        self.folder = folder
        self.cpu_s = cpu_s
        self.started = []

    def policy(self, recipe):
        self.started.append(time.monotonic())
        policy = self.policies.pop(0) if len(self.policies) > 1 else self.policies[0]
        if isinstance(policy, ChildFailed):
            raise policy
        return ScriptedPolicy(policy, self.cpu_s)

    def reset(self):
        return ScriptedReset(load(self.folder / "reset.py").Reset())

    def verify(self):
        return ScriptedVerify(load(self.folder / "verify.py").verify)


def nowhere():
    return np.array([np.nan, 0.0])
