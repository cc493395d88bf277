"""The population of explored variants, and a model of what in them mattered. Pure.

Every explored batch is a variant: which primitives it carried, where its knobs stood, how it went.
One change at a time needs dozens of episodes for each; a model over all variants learns of every
change from every episode (a factorial design). It is Bayesian linear regression with a quadratic
term for each knob, so that it knows how little it knows: variants are drawn by Thompson sampling,
and a proposal is made from the mean.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.search.knobs import Knob
from robots.wire.records import Frozen

Vector = NDArray[np.float64]

PRIOR_PRIMITIVE = 0.2
PRIOR_SLOPE = 1.5
PRIOR_CURVE = 2.0
PRIOR_LEVEL = 1.0
EPISODE_SPREAD = 0.5

# How far a knob may be moved from the champion in one proposal, in shares of its range; further once
# the champion is good and what matters is known.
REACH = 0.12
REACH_TOP = 0.25
# Chance that a draw lets a primitive, or a knob, leave the champion's state: what claims to cure the
# failures that are seen is tried the more often. Many changes at once would break any policy.
FREE = 0.1
FREE_CURE = 0.35
# What moving a knob by its whole range must promise, so that a proposal leaves alone what is idle.
IDLE_GAIN = 0.004


class Variant(Frozen):
    """One explored recipe.

    Attributes:
        primitives: Names of those it carried.
        places: Position of each numeric knob in its range, 0 to 1.
        values: Worth of its episodes.
    """

    primitives: tuple[str, ...]
    places: dict[str, float]
    values: tuple[float, ...] = ()


class Change(Frozen):
    """One part of a proposal, with the gain that the model expects of it alone."""

    what: str
    gain: float


class Proposed(Frozen):
    """A variant near the champion that the model holds better.

    Attributes:
        primitives: What it carries.
        places: Knob positions that differ from the champion's or from a primitive's own.
        changes: Its parts, the largest first.
        gain: Expected gain in value an episode over the champion.
    """

    primitives: tuple[str, ...]
    places: dict[str, float]
    changes: tuple[Change, ...]
    gain: float


class Space(Frozen):
    """What may be varied.

    Attributes:
        primitives: All names, with the knobs each brings.
        conflicts: Pairs of which a policy carries at most one.
        knobs: Every numeric knob, of the recipe and of primitives, at the champion's value or at
            its primitive's own.
        tags: Failure tags that a primitive or a knob claims to have to do with, by name.
    """

    primitives: dict[str, tuple[str, ...]]
    conflicts: tuple[tuple[str, str], ...]
    knobs: dict[str, Knob]
    tags: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])

    def owner(self, knob: str) -> str:
        """The primitive that brings a knob, "" for one of the recipe's own."""
        return next((name for name, own in self.primitives.items() if knob in own), "")


class Model:
    """What mattered in the variants so far."""

    def __init__(self, space: Space, variants: Sequence[Variant], reach: float = REACH) -> None:
        self._space = space
        self._reach = reach
        self._names = [
            "level",
            *(f"carry {name}" for name in space.primitives),
            *(f"slope {name}" for name in space.knobs),
            *(f"curve {name}" for name in space.knobs),
        ]
        self._at = {name: index for index, name in enumerate(self._names)}
        self._centre = {name: knob.to_unit(knob.value) for name, knob in space.knobs.items()}
        self.episodes = sum(len(variant.values) for variant in variants)
        self.mean, self._factor = self._fit(variants)

    def draw(self, rng: np.random.Generator) -> Vector:
        """Weights from the posterior."""
        return self.mean + self._factor @ rng.standard_normal(len(self.mean))

    def vary(
        self, champion: Variant, rng: np.random.Generator, failures: Mapping[str, float]
    ) -> Proposed:
        """A variant to explore: the best of a draw, with only some of the champion set free.

        Args:
            champion: What is varied.
            rng: Of the draw.
            failures: Share of the champion's failures that carry each tag.
        """

        def is_free(name: str) -> bool:
            share = max(
                (failures.get(tag, 0.0) for tag in self._space.tags.get(name, ())), default=0
            )
            return rng.random() < FREE + FREE_CURE * share

        free = {name for name in (*self._space.primitives, *self._space.knobs) if is_free(name)}
        return self._best(champion, self.draw(rng), free)

    def best(self, champion: Variant) -> Proposed:
        """The variant that the model's mean holds best within reach of the champion."""
        free = {*self._space.primitives, *self._space.knobs}
        return self._best(champion, self.mean, free)

    def direction(self, proposed: Proposed, change: Change) -> str:
        """Where a moved knob goes, "" for other changes."""
        kind, _, name = change.what.partition(" ")
        if kind != "move":
            return ""
        return "up" if proposed.places[name] > self._centre[name] else "down"

    def features(self, variant: Variant) -> Vector:
        """What the regression sees of a variant."""
        row = np.zeros(len(self._names))
        row[0] = 1.0
        for name in variant.primitives:
            if name in self._space.primitives:
                row[self._at[f"carry {name}"]] = 1.0
        for name, place in variant.places.items():
            if name in self._centre:
                # From where the champion stands: what was tried there is then the level's matter.
                shift = place - self._centre[name]
                row[self._at[f"slope {name}"]] = shift
                row[self._at[f"curve {name}"]] = shift * shift
        return row

    def _fit(self, variants: Sequence[Variant]) -> tuple[Vector, Vector]:
        prior = np.array([_prior(name) for name in self._names])
        precision = np.diag(1.0 / prior**2)
        moment = np.zeros(len(self._names))
        level = [value for variant in variants for value in variant.values]
        # The level starts at what was seen, so that the prior pulls nothing down.
        start = sum(level) / len(level) if level else 0.0
        moment[0] = start / PRIOR_LEVEL**2
        for variant in variants:
            if variant.values:
                row = self.features(variant)
                weight = len(variant.values) / EPISODE_SPREAD**2
                precision += weight * np.outer(row, row)
                moment += weight * float(np.mean(variant.values)) * row
        covariance = np.linalg.inv(precision)
        factor = np.linalg.cholesky((covariance + covariance.T) / 2)
        return np.asarray(covariance @ moment), np.asarray(factor, dtype=np.float64)

    def _best(self, champion: Variant, weights: Vector, free: set[str]) -> Proposed:
        """The best variant under additive weights; conflicts are settled by the larger benefit."""
        moved = {name: self._move(name, weights, bound=name in free) for name in self._space.knobs}
        benefit: dict[str, float] = {}
        for name, own in self._space.primitives.items():
            gains = sum(moved[knob][1] for knob in own if knob in moved)
            benefit[name] = float(weights[self._at[f"carry {name}"]]) + gains
        carried = self._choose(champion, benefit, free)
        places: dict[str, float] = {}
        inserted = [name for name in carried if name not in champion.primitives]
        removed = [name for name in champion.primitives if name not in carried]
        changes = [Change(what=f"insert {name}", gain=benefit[name]) for name in inserted]
        changes += [Change(what=f"remove {name}", gain=-benefit[name]) for name in removed]
        for name, (place, gain) in moved.items():
            owner = self._space.owner(name)
            if (owner and owner not in carried) or gain < IDLE_GAIN:
                continue
            places[name] = place
            if not owner or owner in champion.primitives:
                changes.append(Change(what=f"move {name}", gain=gain))
        changes.sort(key=lambda change: -change.gain)
        return Proposed(
            primitives=tuple(carried),
            places=places,
            changes=tuple(changes),
            gain=sum(change.gain for change in changes),
        )

    def _choose(self, champion: Variant, benefit: Mapping[str, float], free: set[str]) -> list[str]:
        kept = [name for name in champion.primitives if name not in free]
        wanted = sorted(
            (name for name in benefit if name in free and benefit[name] > 0.0),
            key=lambda name: -benefit[name],
        )
        for name in wanted:
            if not any({name, other} in map(set, self._space.conflicts) for other in kept):
                kept.append(name)
        return sorted(kept)

    def _move(self, name: str, weights: Vector, *, bound: bool) -> tuple[float, float]:
        """Best position of a knob within reach, and what moving there gains."""
        centre = self._centre[name]
        if not bound:
            return centre, 0.0
        slope = float(weights[self._at[f"slope {name}"]])
        curve = float(weights[self._at[f"curve {name}"]])
        low, high = max(-self._reach, -centre), min(self._reach, 1.0 - centre)
        shifts = [low, high]
        if curve < 0.0:
            shifts.append(min(max(-slope / (2 * curve), low), high))
        gains = [slope * shift + curve * shift * shift for shift in shifts]
        best = int(np.argmax(gains))
        return centre + shifts[best], max(gains[best], 0.0)


def _prior(name: str) -> float:
    kind = name.partition(" ")[0]
    spread = {
        "level": PRIOR_LEVEL,
        "carry": PRIOR_PRIMITIVE,
        "slope": PRIOR_SLOPE,
        "curve": PRIOR_CURVE,
    }
    return spread[kind]
