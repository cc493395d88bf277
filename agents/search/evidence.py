"""What explored episodes say: a value for each, and how sure it is that a change is better. Pure.

Success alone is a coarse signal in eight episodes. A failure is worth more the nearer it came, by
the verifier's last score or the sensors' own estimate of it, and a success more the sooner it came,
so that a change shows before it decides.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from robots.wire.records import Episode, Frozen, Outcome

TIME_WEIGHT = 0.25
TIME_SCALE_S = 40.0
FAILURE_WORTH = 0.5

# What a success and a failure of a base are worth before any of its own was seen.
WORTH_SUCCESS = 0.87
WORTH_FAILURE = -0.15

# Figures of an episode that stand in for a score where the verifier was never asked.
ESTIMATES = ("score_estimate", "iou_estimate")

# Spread of an episode's value that is assumed before any is seen, worth this many episodes.
PRIOR_SPREAD = 0.4
PRIOR_EPISODES = 2.0


class Trial(Frozen):
    """Episodes of one recipe: value and outcome by seed, tags of its failures, robot seconds."""

    values: dict[int, float] = msgspec.field(default_factory=dict[int, float])
    success: int = 0
    failure: int = 0
    tags: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    robot_s: float = 0.0

    @property
    def episodes(self) -> int:
        """Episodes that count."""
        return self.success + self.failure

    @property
    def rate(self) -> float:
        """Share of successes, 0.5 of nothing."""
        return self.success / self.episodes if self.episodes else 0.5

    @property
    def mean(self) -> float:
        """Mean value of an episode, 0 of nothing."""
        return sum(self.values.values()) / len(self.values) if self.values else 0.0


class Record(Frozen):
    """Sealed episodes of a champion, as the run's journal tells them."""

    success: int
    episodes: int

    @property
    def rate(self) -> float:
        """Share of successes."""
        return self.success / max(self.episodes, 1)


class Comparison(Frozen):
    """A change against its base.

    Attributes:
        gain: Mean difference of episodes' values.
        sure: Probability that the change is better, by a normal posterior.
    """

    gain: float
    sure: float


def value_of(episode: Episode) -> float:
    """Worth of one episode: 0.75 to 1 for a success, -0.5 to 0 for a failure."""
    if episode.outcome is Outcome.SUCCESS:
        return 1.0 - TIME_WEIGHT * min(episode.robot_s / TIME_SCALE_S, 1.0)
    found = [episode.figures[name] for name in ESTIMATES if name in episode.figures]
    score = found[0] if found else episode.score or 0.0
    return FAILURE_WORTH * (min(max(score, 0.0), 1.0) - 1.0)


def trial_of(episodes: Sequence[Episode]) -> Trial:
    """What a batch of explored episodes says; voids do not count."""
    counted = [episode for episode in episodes if episode.outcome is not Outcome.VOID]
    failed = [episode for episode in counted if episode.outcome is Outcome.FAILURE]
    return Trial(
        values={
            episode.seed if episode.seed is not None else -1 - episode.index: value_of(episode)
            for episode in counted
        },
        success=len(counted) - len(failed),
        failure=len(failed),
        tags=dict(Counter(tag for episode in failed for tag in (*episode.tags, episode.reason))),
        robot_s=sum(episode.robot_s + episode.reset_s for episode in episodes),
    )


def merge(one: Trial, other: Trial) -> Trial:
    """Both trials of one recipe together; of a seed that both ran the later value counts."""
    return Trial(
        values={**one.values, **other.values},
        success=one.success + other.success,
        failure=one.failure + other.failure,
        tags=dict(Counter(one.tags) + Counter(other.tags)),
        robot_s=one.robot_s + other.robot_s,
    )


def compare(base: Trial, change: Trial, record: Record | None = None) -> Comparison:
    """Whether a change is better than its base.

    A few episodes of the base, lucky or not, would be the measure of every change tried on it, so
    that its sealed record counts where there is one. Seeds are not paired: the first push that
    differs makes another episode.

    Args:
        base: The base's own exploration: what its successes and failures are worth.
        change: The change's exploration.
        record: Sealed episodes of the base.
    """
    mean, error = _standing(base, record) if record else (base.mean, _error(base))
    gain = change.mean - mean
    return Comparison(gain=gain, sure=_normal(gain / max(math.hypot(error, _error(change)), 1e-6)))


def _standing(base: Trial, record: Record) -> tuple[float, float]:
    """Mean worth of a base's episode by its record and its exploration together, and its error."""
    worth_success = _mean([each for each in base.values.values() if each > 0.5], WORTH_SUCCESS)
    worth_failure = _mean([each for each in base.values.values() if each <= 0.5], WORTH_FAILURE)
    rate = (record.success + 0.5) / (record.episodes + 1.0)
    told = rate * worth_success + (1.0 - rate) * worth_failure
    count = record.episodes + len(base.values)
    mean = (told * record.episodes + base.mean * len(base.values)) / count
    spread = math.sqrt(rate * (1.0 - rate)) * (worth_success - worth_failure)
    return mean, spread / math.sqrt(count)


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _error(trial: Trial) -> float:
    """Standard error of a trial's mean."""
    return _spread(list(trial.values.values()), trial.mean) / math.sqrt(max(len(trial.values), 1))


def share_of_tags(tags: Mapping[str, int], failures: int) -> dict[str, float]:
    """How often each tag was seen among the failures."""
    return {tag: count / failures for tag, count in tags.items()} if failures else {}


def _spread(values: Sequence[float], mean: float) -> float:
    """Standard deviation with a prior, so that three equal episodes do not look certain."""
    squares = sum((value - mean) ** 2 for value in values)
    squares += PRIOR_EPISODES * PRIOR_SPREAD**2
    return math.sqrt(squares / max(len(values) - 1 + PRIOR_EPISODES, 1.0))


def _normal(z: float) -> float:
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))
