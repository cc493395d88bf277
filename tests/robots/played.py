"""The smallest lockstep station on which the tests of a task play it, and its shipped recipes."""

import importlib.util
import tomllib
from pathlib import Path

from robots.drivers.mujoco import MujocoDriver
from robots.safety.limits import Limiter

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


class Bench:
    """Limits the action, steps the world, observes."""

    def __init__(self, task, make_reset, station_seed):
        self.spec, self.make_reset = task.spec, make_reset
        self.driver = MujocoDriver(task, station_seed)
        self.simulation, self.data = self.driver.simulation, self.driver.data
        self.limiter = Limiter(self.spec.limits, self.spec.tick_s, self.driver.setpoint())
        self.k = self.episodes = 0

    def step(self, action):
        self.limiter.accept([float(value) for value in action])
        for _ in range(self.spec.tick_of(self.k + 1) - self.spec.tick_of(self.k)):
            self.limiter.tick()
            self.driver.drive(self.limiter.setpoint, 1)
        self.k += 1
        return self.driver.observe()

    def reset(self):
        self.episodes += 1
        self.driver.start_episode(self.episodes)
        target, reset = self.driver.reset_target(), self.make_reset()
        observation = self.driver.observe()
        reset.reset(observation, target)
        for _ in range(int(self.spec.reset_limit_s * self.spec.policy_hz)):
            action = reset.act(observation)
            if action is None:
                break
            observation = self.step(action)
        for _ in range(6):
            observation = self.step(self.limiter.setpoint)
        return self.driver.reset_reached(observation, target)

    def episode(self, policy):
        """Success by audit, gated and debounced as the verifier is, and the history."""
        observation = self.driver.observe()
        policy.reset(observation)
        history, good = [], 0
        for _ in range(int(self.spec.episode_limit_s * self.spec.policy_hz)):
            observation = self.step(policy.act(observation))
            history.append(observation)
            if self.driver.fault():
                break
            looked = self.driver.retracted(observation) and self.driver.plausible(observation)
            good = good + 1 if looked and self.driver.audit()["success"] else 0
            if good == self.spec.debounce_frames:
                return True, history
        return False, history


def load_recipe(task, name):
    """The policy of a shipped recipe, with its knobs as they stand there."""
    folder = RECIPES / task / name
    spec = importlib.util.spec_from_file_location(f"recipe_{task}_{name}", folder / "policy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    knobs = tomllib.loads((folder / "recipe.toml").read_text())["knobs"]
    return module.Policy({key: table["value"] for key, table in knobs.items()})
