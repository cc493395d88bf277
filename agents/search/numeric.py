"""Numeric steps over a recipe's knobs: CMA-ES by ask and tell, rebuilt from what it was told.

The optimiser works in the unit cube of some knobs, from the champion's values. Its generations are
drawn from a seed, so that a restart asks for the very variants that are already being run.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from agents.search.knobs import Knob, Value

START_SIGMA = 0.15
MIN_KNOBS = 2


class Tuner:
    """CMA-ES over some knobs of a champion.

    Args:
        knobs: Numeric knobs, at the champion's values.
        seed: Of every draw.
        population: Variants a generation.
        sigma: First step, in shares of a range.
    """

    def __init__(
        self, knobs: Sequence[Knob], seed: int, population: int, sigma: float = START_SIGMA
    ) -> None:
        from cmaes import CMA  # pyright: ignore[reportMissingTypeStubs]

        if len(knobs) < MIN_KNOBS:
            raise ValueError(f"{len(knobs)} numeric knobs; CMA-ES needs {MIN_KNOBS}")
        self._knobs = tuple(knobs)
        mean = np.array([knob.to_unit(knob.value) for knob in knobs])
        bounds = np.array([[0.0, 1.0]] * len(knobs))
        self._optimiser = CMA(
            mean=np.clip(mean, 0.02, 0.98),
            sigma=sigma,
            bounds=bounds,
            seed=seed % (2**32),
            population_size=population,
        )
        self._asked: list[np.ndarray] = []

    def ask(self) -> list[dict[str, Value]]:
        """The next generation: knob values of each variant."""
        count = self._optimiser.population_size
        self._asked = [self._optimiser.ask() for _ in range(count)]
        return [self._values(point) for point in self._asked]

    def tell(self, values: Sequence[float]) -> None:
        """What the variants of the last generation were worth; more is better."""
        if len(values) != len(self._asked):
            raise ValueError(f"{len(values)} values for {len(self._asked)} variants")
        self._optimiser.tell(
            [(point, -value) for point, value in zip(self._asked, values, strict=True)]
        )

    def centre(self) -> dict[str, Value]:
        """Where the search stands: less of a lucky draw than its best variant."""
        return self._values(np.clip(self._optimiser.mean, 0.0, 1.0))

    def _values(self, point: np.ndarray) -> dict[str, Value]:
        pairs = zip(self._knobs, point, strict=True)
        return {knob.name: knob.from_unit(float(share)) for knob, share in pairs}


def ranked_values(trials: Sequence[Mapping[int, float]], seeds: Sequence[int]) -> list[float]:
    """Mean value of each variant over common seeds, each seed's own level taken away.

    A variant that lacks a seed (its episode was void) is credited with that seed's mean.
    """
    level: dict[int, float] = {}
    for seed in seeds:
        seen = [trial[seed] for trial in trials if seed in trial]
        level[seed] = sum(seen) / len(seen) if seen else 0.0
    return [
        sum(trial.get(seed, level[seed]) - level[seed] for seed in seeds) / max(len(seeds), 1)
        for trial in trials
    ]
