"""Credit: which operator to try next. Pure; the generator is passed in.

Each arm (an operator with its target) keeps what it gained and what that cost. A draw from each
arm's posterior, per robot minute, decides (Thompson sampling), so that what worked is tried more
and nothing is given up for ever. Failure tags raise the arms that claim to cure them, and what peers
found counts as well, a little less than what was measured here.
"""

import math
import random
from collections.abc import Iterable, Mapping

import msgspec

from robots.wire.records import Frozen

PRIOR_WEIGHT = 1.0
PRIOR_SPREAD = 0.12
PEER_WEIGHT = 0.7
TAG_BONUS = 0.15

# After another champion an old result says less: its weight is multiplied by this.
AGEING = 0.5


class ArmCredit(Frozen):
    """What is known of one arm.

    Attributes:
        weight: Trials, each counted by how much it still says.
        gain: Weighted mean gain in value an episode.
        minutes: Weighted mean robot minutes of a trial.
    """

    weight: float = 0.0
    gain: float = 0.0
    minutes: float = 0.0


class Arm(Frozen):
    """An operator with its target, as it stands for choice.

    Attributes:
        name: Such as "insert:slow_near_goal" or "tune".
        prior_gain: Gain expected before any trial.
        minutes: Robot minutes that a trial is expected to cost.
        tags: Failure tags that it claims to cure.
    """

    name: str
    prior_gain: float = 0.05
    minutes: float = 3.0
    tags: tuple[str, ...] = ()


class Credit(Frozen):
    """Every arm's credit, by name."""

    arms: dict[str, ArmCredit] = msgspec.field(default_factory=dict[str, ArmCredit])

    def learn(self, name: str, gain: float, minutes: float, weight: float = 1.0) -> "Credit":
        """Credit after a trial of an arm: a confirmed gain, or none."""
        known = self.arms.get(name, ArmCredit())
        total = known.weight + weight
        updated = ArmCredit(
            weight=total,
            gain=(known.gain * known.weight + gain * weight) / total,
            minutes=(known.minutes * known.weight + minutes * weight) / total,
        )
        return Credit(arms={**self.arms, name: updated})

    def aged(self) -> "Credit":
        """Credit after the champion changed: old results say less of the new code."""
        return Credit(
            arms={
                name: ArmCredit(weight=arm.weight * AGEING, gain=arm.gain, minutes=arm.minutes)
                for name, arm in self.arms.items()
            }
        )


def choose(
    credit: Credit,
    arms: Iterable[Arm],
    tags: Mapping[str, float],
    rng: random.Random,
) -> Arm | None:
    """The arm whose drawn gain per robot minute is best, None if there is no arm.

    Args:
        credit: What is known.
        arms: What can be done now.
        tags: Share of the champion's failures that carry each tag.
        rng: The agent's generator.
    """
    best: tuple[float, Arm] | None = None
    for arm in arms:
        drawn = draw(credit, arm, tags, rng)
        if best is None or drawn > best[0]:
            best = (drawn, arm)
    return best[1] if best else None


def draw(credit: Credit, arm: Arm, tags: Mapping[str, float], rng: random.Random) -> float:
    """A draw from an arm's posterior of gain per robot minute."""
    known = credit.arms.get(arm.name, ArmCredit())
    prior = arm.prior_gain + TAG_BONUS * max((tags.get(tag, 0.0) for tag in arm.tags), default=0.0)
    total = PRIOR_WEIGHT + known.weight
    mean = (prior * PRIOR_WEIGHT + known.gain * known.weight) / total
    minutes = (arm.minutes * PRIOR_WEIGHT + known.minutes * known.weight) / total
    return rng.gauss(mean, PRIOR_SPREAD / math.sqrt(total)) / max(minutes, 0.1)
