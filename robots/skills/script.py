"""From one script of skills to what a task's `reset.py` or a recipe's `policy.py` must define."""

from typing import Any

from robots.skills.robot import Array, Observation, Script


class _Scripted:
    """Runs one script, an action an observation."""

    _running: Script[None] | None = None
    _action: Array | None = None
    _fresh = False

    def _begin(self, script: Script[None]) -> None:
        """Run a script to its first action, which the first `act` gives."""
        self._running, self._action, self._fresh = script, None, True
        self._advance(None)

    def act(self, observation: Observation) -> Array | None:
        """Next action.

        Raises:
            SkillFailed: A skill gave up, and the script did not catch it.
        """
        if self._fresh:
            self._fresh = False
        else:
            self._advance(observation)
        return self._action

    def _advance(self, observation: Observation | None) -> None:
        if self._running is not None:
            try:
                self._action = self._running.send(observation)  # pyright: ignore[reportArgumentType]
            except StopIteration:
                self._running = None
                self._ended()

    def _ended(self) -> None:
        self._action = None


class ScriptedReset(_Scripted):
    """Base of a task's `class Reset`; what derives from it defines `script`. Its end ends the reset."""

    def script(self, observation: Observation, target: Array) -> Script[None]:
        """The whole reset, as a generator: made once a try, from the station's sensors now."""
        raise NotImplementedError

    def reset(self, observation: Observation, target: Array) -> None:
        """Begins a try."""
        self._begin(self.script(observation, target))


class ScriptedPolicy(_Scripted):
    """Base of a recipe's `class Policy`; what derives from it defines `script`.

    After its end the last action stays in force: the station decides when an episode is over.
    """

    def __init__(self, knobs: dict[str, Any]) -> None:
        self.knobs = knobs

    def script(self, observation: Observation) -> Script[None]:
        """The whole episode, as a generator: made once an episode, from its first observation."""
        raise NotImplementedError

    def reset(self, observation: Observation) -> None:
        """Begins an episode."""
        self._begin(self.script(observation))

    def _ended(self) -> None:
        """The last action stays."""
