"""Reset of the test task: go to the drawn target."""

import numpy as np


class Reset:
    def reset(self, observation, target):
        self._target = np.asarray(target)

    def act(self, observation):
        if np.linalg.norm(observation["tool_position_m"] - self._target) < 0.004:
            return None
        return self._target
