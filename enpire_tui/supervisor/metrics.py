"""The run's figures, from what its stations and its gateway counted.

Source: ENPIRE (arXiv 2606.19980), definitions of MRU, GPU utilisation and MTU.
"""

from robots.wire.records import Frozen, StationFigures, TokenCounts


class Mtu(Frozen):
    """Mean tokens a minute of research wall clock, for the whole fleet."""

    uncached: float
    total: float


def robot_utilisation(figures: tuple[StationFigures, ...], elapsed_s: float) -> float:
    """MRU: mean over robots of the share of research time spent executing, resets included."""
    return _mean_share(tuple(each.busy_s for each in figures), elapsed_s)


def robot_utilisation_without_reset(figures: tuple[StationFigures, ...], elapsed_s: float) -> float:
    """The same without resets; shown beside MRU, never instead of it."""
    return _mean_share(tuple(each.busy_s - each.reset_s for each in figures), elapsed_s)


def gpu_utilisation(active_s: tuple[float, ...], elapsed_s: float) -> float:
    """Mean over GPUs of the share of research time in which jobs used them; 0 without a GPU."""
    return _mean_share(active_s, elapsed_s)


def token_utilisation(tokens: TokenCounts, elapsed_s: float) -> Mtu:
    """MTU, uncached (fresh input and output) and in total; 0 in a run of no length."""
    minutes = elapsed_s / 60.0
    if minutes <= 0.0:
        return Mtu(uncached=0.0, total=0.0)
    uncached = tokens.fresh_input + tokens.output
    return Mtu(uncached=uncached / minutes, total=(uncached + tokens.cached_input) / minutes)


def _mean_share(active_s: tuple[float, ...], elapsed_s: float) -> float:
    if not active_s or elapsed_s <= 0.0:
        return 0.0
    return sum(min(1.0, each / elapsed_s) for each in active_s) / len(active_s)
