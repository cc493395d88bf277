"""Which candidate is better than the champion, decided from fresh binary outcomes alone.

A candidate is screened on a few fresh episodes and promoted on others; screening data picks who is
promoted and is never counted again, since the best of many screens is lucky by construction. Every
rule here compares two Beta posteriors under uniform priors; the champion's counts are pooled over
its own promotion and all its re-measurements. Rejected: keep-if-better on 20 episodes, which
accepts two worthless ideas of five; and early adoption, whose winners look better than they are.
"""

import enum
import functools
import math

from robots.wire.records import Frozen

# Two-sided 95% normal quantile, for Wilson's interval.
Z_95 = 1.959963984540054


class Tally(Frozen):
    """Successes and failures of sealed episodes; voids are not in it."""

    success: int = 0
    failure: int = 0

    @property
    def episodes(self) -> int:
        return self.success + self.failure

    @property
    def rate(self) -> float:
        """Share of successes, in [0, 1]; 0 of nothing."""
        return self.success / self.episodes if self.episodes else 0.0

    def plus(self, other: "Tally") -> "Tally":
        return Tally(success=self.success + other.success, failure=self.failure + other.failure)


class Rule(Frozen):
    """Sizes and bounds of screening and promotion.

    Attributes:
        screen_batch: Episodes a screening batch; futility is looked at after each.
        screen_episodes: Fresh episodes of a whole screen.
        screen_futile: Below this chance of being better, screening stops early.
        screen_pass: At least this chance of being better promotes, once screened wholly.
        promote_batch: Episodes a promotion batch.
        promote_looks: Fresh episodes at which adoption may be decided; the first is what every
            adopted idea has at least. Later ones are used only near the top.
        adopt: Least posterior chance of being better, one a look.
        extend: Least chance of being better at a look that buys the next look.
        extend_rate: Champion's rate from which a look may be followed by another: there gains
            are small and 100 episodes cannot show them.
        hopeless: Promotion stops when the predicted chance of adoption at the next look is lower.
        hopeless_from: Fresh episodes before that is asked.
        gate_failures: Near the top, a candidate with no more failures is never hopeless.
        champion_episodes: Nothing is judged against an adopted champion with fewer pooled episodes:
            those of its promotion and fresh ones.
        champion_least: The same for the baseline.
    """

    screen_batch: int = 10
    screen_episodes: int = 20
    screen_futile: float = 0.35
    screen_pass: float = 0.70
    promote_batch: int = 10
    promote_looks: tuple[int, ...] = (100, 200, 300)
    adopt: tuple[float, ...] = (0.95, 0.965, 0.965)
    extend: float = 0.60
    extend_rate: float = 0.90
    hopeless: float = 0.10
    hopeless_from: int = 20
    gate_failures: int = 2
    champion_episodes: int = 160
    champion_least: int = 60


DEFAULT_RULE = Rule()


class Verdict(enum.Enum):
    """What a candidate's fresh episodes so far ask for."""

    SCREEN = "screen"
    PROMOTE = "promote"
    ADOPT = "adopt"
    DISCARD = "discard"


class Judgement(Frozen):
    """A verdict with its evidence.

    Attributes:
        needed: Episodes of the stage that are still to be run before the next look.
        chance_better: Posterior chance that the candidate's true rate exceeds the champion's.
    """

    verdict: Verdict
    needed: int
    chance_better: float
    detail: str


def wilson_interval(tally: Tally, z: float = Z_95) -> tuple[float, float]:
    """Score interval of a success rate.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    n = tally.episodes
    if n == 0:
        return 0.0, 1.0
    p = tally.rate
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if tally.success == 0 else (centre - spread) / scale
    high = 1.0 if tally.failure == 0 else (centre + spread) / scale
    return max(0.0, low), min(1.0, high)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@functools.lru_cache(maxsize=65536)
def _chance_second_greater(a1: int, b1: int, a2: int, b2: int) -> float:
    """P(X2 > X1) for X1 ~ Beta(a1, b1), X2 ~ Beta(a2, b2), integer parameters, exactly.

    Source: Cook (2003), "Exact calculation of beta inequalities", eq. for integer parameters.
    """
    total = 0.0
    base = _log_beta(a1, b1)
    for i in range(a2):
        total += math.exp(
            _log_beta(a1 + i, b1 + b2) - math.log(b2 + i) - _log_beta(1 + i, b2) - base
        )
    return min(1.0, max(0.0, total))


def chance_better(candidate: Tally, champion: Tally) -> float:
    """Posterior chance that the candidate's true rate is above the champion's, in [0, 1]."""
    return _chance_second_greater(
        champion.success + 1, champion.failure + 1, candidate.success + 1, candidate.failure + 1
    )


def chance_of_row(tally: Tally, length: int) -> float:
    """Posterior predictive chance of `length` successes in a row, under Jeffreys' prior."""
    a, b = tally.success + 0.5, tally.failure + 0.5
    return math.exp(_log_beta(a + length, b) - _log_beta(a, b))


def predicted_adoption(candidate: Tally, champion: Tally, look: int, least: float) -> float:
    """Predictive chance that at `look` episodes the candidate is better by at least `least`.

    The coming successes are beta-binomial under the candidate's own posterior, so that a stop for
    futility is a statement about this candidate and not about the average one.
    """
    coming = look - candidate.episodes
    if coming <= 0:
        return 1.0 if chance_better(candidate, champion) >= least else 0.0
    need = _least_successes(look, champion, least)
    a, b = candidate.success + 1, candidate.failure + 1
    base = _log_beta(a, b)
    total = 0.0
    for k in range(max(0, need - candidate.success), coming + 1):
        ways = math.lgamma(coming + 1) - math.lgamma(k + 1) - math.lgamma(coming - k + 1)
        total += math.exp(ways + _log_beta(a + k, b + coming - k) - base)
    return min(1.0, total)


@functools.lru_cache(maxsize=4096)
def _least_successes(episodes: int, champion: Tally, least: float) -> int:
    """Fewest successes of `episodes` that are adopted; `episodes + 1` when none is enough."""
    low, high = 0, episodes + 1
    while low < high:
        middle = (low + high) // 2
        tally = Tally(success=middle, failure=episodes - middle)
        if chance_better(tally, champion) >= least:
            high = middle
        else:
            low = middle + 1
    return low


def judge_screen(screen: Tally, champion: Tally, rule: Rule = DEFAULT_RULE) -> Judgement:
    """What the screening episodes of a candidate ask for."""
    chance = chance_better(screen, champion)
    left = rule.screen_episodes - screen.episodes
    said = f"screen {screen.success}/{screen.episodes}, chance better {chance:.2f}"
    if left > 0:
        # A screen without a failure is not futile, however good the champion.
        failed = screen.failure > 0 and chance < rule.screen_futile
        if failed and screen.episodes >= rule.screen_batch:
            return _judged(Verdict.DISCARD, 0, chance, f"futile: {said}")
        return _judged(Verdict.SCREEN, left, chance, said)
    # Near the bottom little evidence alone looks like a chance, so the rate itself must be higher.
    better = chance >= rule.screen_pass and screen.rate > champion.rate
    # Near the top no screen of this size can show a gain; a clean one is all that can be asked.
    if better or screen.failure == 0:
        return _judged(Verdict.PROMOTE, rule.promote_looks[0], chance, said)
    return _judged(Verdict.DISCARD, 0, chance, f"not better: {said}")


def judge_promotion(promote: Tally, champion: Tally, rule: Rule = DEFAULT_RULE) -> Judgement:
    """What the promotion episodes of a candidate ask for; screening data has no part in it."""
    chance = chance_better(promote, champion)
    said = f"promote {promote.success}/{promote.episodes}, chance better {chance:.3f}"
    looks = rule.promote_looks
    top = champion.rate >= rule.extend_rate
    coming = sum(1 for look in looks if promote.episodes >= look)
    if coming:
        if chance >= rule.adopt[coming - 1]:
            return _judged(Verdict.ADOPT, 0, chance, said)
        if not top or coming == len(looks) or chance < rule.extend:
            return _judged(Verdict.DISCARD, 0, chance, f"not better: {said}")
    if promote.episodes >= rule.hopeless_from and _hopeless(promote, champion, coming, rule):
        return _judged(Verdict.DISCARD, 0, chance, f"hopeless: {said}")
    return _judged(Verdict.PROMOTE, looks[coming] - promote.episodes, chance, said)


def _hopeless(promote: Tally, champion: Tally, coming: int, rule: Rule) -> bool:
    """Whether no look that is still open to this candidate can be expected to adopt it."""
    top = champion.rate >= rule.extend_rate
    if top and promote.failure <= rule.gate_failures:
        # It may still pass the gate of a confirm, whatever the champion's own luck was.
        return False
    last = len(rule.promote_looks) if top else coming + 1
    return all(
        predicted_adoption(promote, champion, look, least) < rule.hopeless
        for look, least in zip(
            rule.promote_looks[coming:last], rule.adopt[coming:last], strict=True
        )
    )


def _judged(verdict: Verdict, needed: int, chance: float, detail: str) -> Judgement:
    return Judgement(verdict=verdict, needed=needed, chance_better=chance, detail=detail)


def lower_bound_of_row(successes: int, confidence: float = 0.95) -> float:
    """One-sided lower bound of the rate after so many successes and no failure.

    Source: Clopper and Pearson (1934), the case without failures: (1 - confidence)^(1/n).
    """
    return (1.0 - confidence) ** (1.0 / successes) if successes else 0.0
