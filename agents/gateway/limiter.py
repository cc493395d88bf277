"""One pace for the whole fleet's requests to a provider: fair among agents, parked for all by a 429.

Each agent's SDK backs off for itself alone, so that eight of them take turns in being refused. Here
they wait in one place: one request of each agent in turn, at most so many requests and tokens in
any sixty seconds. Rejected: a library's token bucket, which knows neither agents' turns nor tokens
that are counted only after a request has been let through.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from robots.wire.records import Frozen

WINDOW_S = 60.0
FIRST_PARK_S, LONGEST_PARK_S = 1.0, 60.0
# Who would wait longer is told so at once, as the provider would tell it.
LONGEST_WAIT_S = 120.0


class Pace(Frozen):
    """How fast a provider is being asked, as `GetStatus` tells.

    Attributes:
        requests: In the last sixty seconds.
        tokens: Fresh input and output of answers in the last sixty seconds.
        waiting: Requests that wait for their turn.
        parked_s: Until the provider may be asked again.
    """

    requests: int
    tokens: int
    waiting: int
    parked_s: float


class Limiter:
    """Admits requests to one provider.

    Args:
        requests_per_minute: 0 for no limit.
        tokens_per_minute: Fresh input and output; 0 for no limit.
        now: Monotonic seconds.
    """

    def __init__(
        self, requests_per_minute: int, tokens_per_minute: int, now: Callable[[], float]
    ) -> None:
        self._requests_limit = requests_per_minute
        self._tokens_limit = tokens_per_minute
        self._now = now
        self._requests: deque[float] = deque()
        self._tokens: deque[tuple[float, int]] = deque()
        self._parked_until_s = 0.0
        # Twice as long with each refusal, 0 after an answer.
        self._park_s = 0.0
        # By agent, the one whose turn is next first.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def due_s(self) -> float:
        """Seconds until the next request may leave; 0 if it may now."""
        now_s = self._now()
        self._forget(now_s)
        due_s = self._parked_until_s - now_s
        if self._requests_limit and len(self._requests) >= self._requests_limit:
            due_s = max(due_s, self._requests[0] + WINDOW_S - now_s)
        if self._tokens_limit:
            over = sum(count for _, count in self._tokens) - self._tokens_limit
            for counted_s, count in self._tokens:
                if over < 0:
                    break
                due_s = max(due_s, counted_s + WINDOW_S - now_s)
                over -= count
        return max(0.0, due_s)

    async def turn(self, agent: str) -> None:
        """Wait for this agent's turn."""
        ticket = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(agent, deque()).append(ticket)
        self._admit()
        await ticket

    def spent(self, tokens: int) -> None:
        """An answer came to so many tokens."""
        if tokens:
            self._tokens.append((self._now(), tokens))

    def answered(self, status: int, retry_after: str) -> float:
        """Take in how a request ended.

        Args:
            status: Of the response.
            retry_after: The header, "" if there was none.

        Returns:
            Seconds for which the provider is parked by this answer, for every agent; 0 if it is not.
        """
        told_s, now_s = retry_after_s(retry_after), self._now()
        if status == 429 or (status >= 500 and told_s):
            # Requests that were under way when it was parked are one refusal with the first.
            if now_s >= self._parked_until_s:
                self._park_s = min(2.0 * self._park_s or FIRST_PARK_S, LONGEST_PARK_S)
            park_s = told_s or self._park_s or FIRST_PARK_S
            self._parked_until_s = max(self._parked_until_s, now_s + park_s)
            return park_s
        if status < 400:
            self._park_s = 0.0
        return 0.0

    def pace(self) -> Pace:
        """Requests and tokens of the last minute, who waits, how long it is parked."""
        now_s = self._now()
        self._forget(now_s)
        return Pace(
            requests=len(self._requests),
            tokens=sum(count for _, count in self._tokens),
            waiting=sum(len(each) for each in self._waiting.values()),
            parked_s=round(max(0.0, self._parked_until_s - now_s), 1),
        )

    def close(self) -> None:
        """Admit nobody any more."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _admit(self) -> None:
        """Let through whoever may go; be back when the next one may."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._waiting:
            agent, tickets = next(iter(self._waiting.items()))
            if tickets[0].done():
                # It hung up while it waited; that costs nobody a turn.
                self._drop(agent, tickets)
                continue
            due_s = self.due_s()
            if due_s > 0.0:
                self._alarm = asyncio.get_running_loop().call_later(due_s, self._admit)
                return
            self._requests.append(self._now())
            tickets[0].set_result(None)
            self._drop(agent, tickets)
            if tickets:
                # Behind all others: an agent with many requests has one turn like everybody.
                self._waiting[agent] = self._waiting.pop(agent)

    def _drop(self, agent: str, tickets: deque[asyncio.Future[None]]) -> None:
        tickets.popleft()
        if not tickets:
            del self._waiting[agent]

    def _forget(self, now_s: float) -> None:
        while self._requests and self._requests[0] <= now_s - WINDOW_S:
            self._requests.popleft()
        while self._tokens and self._tokens[0][0] <= now_s - WINDOW_S:
            self._tokens.popleft()


def retry_after_s(header: str, wall_s: float | None = None) -> float:
    """Seconds that a `Retry-After` header asks for, as a number or as a date; 0 for none.

    Args:
        header: Its value.
        wall_s: The present as Unix seconds, from the machine's clock by default.
    """
    text = header.strip()
    if text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    present_s = time.time() if wall_s is None else wall_s
    return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - present_s)
