"""arXiv for a fleet: searched and read at one place, in arXiv's own time, given as marked data.

Only the origin of the settings is asked, for two paths: its interface (`/api/query`, Atom) and a
paper's page (`/html/ID`). arXiv's terms allow one connection at a time and a request every three
seconds, over all machines of whoever asks; so all agents wait in one line, and what was answered is
kept on disk. Rejected: the `arxiv` package, which blocks, and paces each process for itself.

Source: https://info.arxiv.org/help/api/tou.html and .../user-manual.html
"""

import asyncio
import logging
import re
import textwrap
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlencode, urljoin, urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector

from agents.gateway.atom import PAPER_ID, Feed, FeedRefused, Paper, read_feed
from agents.gateway.limiter import retry_after_s
from agents.gateway.paper_text import text_of
from agents.gateway.settings import ARXIV, ArxivSettings
from agents.gateway.shelf import Kept, Shelf
from agents.literature import DATA, marked, plain
from agents.tools.answers import from_line
from robots.wire.clock import Clock

log = logging.getLogger(__name__)

SEARCH, PAPER = "/arxiv/search", "/arxiv/paper"
INTERVAL_S = 3.0
# Feeds change once a day; the text of a version never does.
FRESH_S = 24 * 3600.0
TIMEOUT_S = 30.0
PARK_S, LONGEST_WAIT_S = 30.0, 60.0
MOST_WAITING = 12
MOST_REDIRECTS = 2
NOT_ALLOWED = 403
FEED_BYTES, PAGE_BYTES = 4 << 20, 24 << 20
MOST_WORDS, MOST_PAPERS = 12, 5
PAPER_CHARACTERS, LINE_CHARACTERS = 1_050, 160
NO_TEXT = "(arXiv has no HTML of this paper: its abstract is all that can be read here.)"
USER_AGENT = "enpire-tui (a fleet's gateway; one request every 3 s)"


class ArxivRefused(Exception):
    """Nothing was found out; the message begins with the rule, `status` is that of the answer."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class Arxiv:
    """What a gateway asks of arXiv for its agents.

    Args:
        settings: Whether at all, and where.
        folder: Where answers are kept.
        clock: Paces requests.
        offline: Answer from the folder alone.
    """

    def __init__(
        self, settings: ArxivSettings, folder: Path, clock: Clock, *, offline: bool = False
    ) -> None:
        self._settings = settings
        self._shelf = Shelf(folder)
        self._clock = clock
        self._offline = offline
        self._session: ClientSession | None = None
        self._line = asyncio.Lock()
        self._waiting = 0
        # Whoever was the gateway before may have asked just now.
        self._due_s = clock.monotonic() + INTERVAL_S

    async def answer(self, path: str, asked: Mapping[str, str]) -> str:
        """Answer a request of an agent, as text whose foreign lines are all marked.

        Args:
            path: `SEARCH` with `words`, or `PAPER` with `id` and `from_line`.
            asked: The query.

        Raises:
            ArxivRefused: It is off, out of reach, overrun, or was asked for something else.
        """
        if not self._settings.enabled:
            raise ArxivRefused(
                "arxiv_off: people let a fleet read arXiv with `arxiv = true` under [literature] "
                "in its file; the lab's own papers are searched without",
                NOT_ALLOWED,
            )
        known = {"words"} if path == SEARCH else {"id", "from_line"}
        if strange := set(asked) - known:
            raise ArxivRefused(f"not_allowed: {path} takes {', '.join(sorted(known))} and "
                               f"nothing else, not {sorted(strange)!r:.100}", 404)  # fmt: skip
        if path == SEARCH:
            return await self._search(asked.get("words", ""))
        return await self._paper(asked.get("id", ""), asked.get("from_line", "1"))

    async def close(self) -> None:
        """End what is under way."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _search(self, words: str) -> str:
        terms = re.findall(r"\w+", words)[:MOST_WORDS]
        if not terms:
            raise ArxivRefused("no_words: give words to look for", 400)
        # Quoted terms: an agent's words are never operators of the query.
        query = " AND ".join(f'all:"{term}"' for term in terms)
        feed = await self._feed(search_query=query, max_results=str(MOST_PAPERS))
        if not feed.papers:
            return "arXiv has no paper with all of these words; give fewer"
        parts = [f"{len(feed.papers)} of {feed.total} at arXiv, the closest first. {DATA}"]
        for paper in feed.papers[:MOST_PAPERS]:
            quoted = marked("\n".join([*_about(paper), paper.abstract]), PAPER_CHARACTERS)
            parts.append(f"{paper.paper_id}, {paper.published}, quoted:\n{quoted}")
        return "\n\n".join(parts)

    async def _paper(self, paper_id: str, first: str) -> str:
        if not PAPER_ID.fullmatch(paper_id):
            raise ArxivRefused("no_id: an arXiv id is like 2606.19980 or hep-ex/0307015", 400)
        if not re.fullmatch(r"[1-9]\d{0,6}", first):
            raise ArxivRefused("no_line: from_line is a number from 1 on", 400)
        feed = await self._feed(id_list=paper_id)
        if not feed.papers:
            raise ArxivRefused(f"no_paper: arXiv has no {paper_id}", 404)
        paper = feed.papers[0]
        text = await self._kept(f"text {paper.paper_id}", lambda: self._page(paper.paper_id))
        about = _wrapped("\n".join([*_about(paper), paper.abstract]))
        told = from_line(marked("\n".join([*about, text])), int(first))
        return f"{paper.paper_id}, {paper.published}. {DATA}\n{told or '(there are no more lines)'}"

    async def _feed(self, **asked: str) -> Feed:
        name = f"/api/query?{urlencode(sorted(asked.items()))}"

        async def fetch() -> str:
            status, body = await self._get(name, FEED_BYTES)
            try:
                read_feed(body)
            except FeedRefused as refused:
                raise ArxivRefused(f"arxiv_error: {status}, {refused}", 502) from None
            return body.decode(errors="replace")

        feed = read_feed((await self._kept(name, fetch, FRESH_S)).encode())
        if not feed.papers:
            # Now and then arXiv has nothing to say for a moment; that is not kept for a day.
            self._shelf.forget(name)
        return feed

    async def _page(self, paper_id: str) -> str:
        """The lines of a paper's text."""
        status, body = await self._get(f"/html/{quote(paper_id)}", PAGE_BYTES)
        if status not in (200, 404):
            raise ArxivRefused(f"arxiv_error: {status} for the page of {paper_id}", 502)
        html = body.decode(errors="replace") if status == 200 else ""
        return await asyncio.to_thread(lambda: "\n".join(_wrapped(text_of(html)))) or NO_TEXT

    async def _kept(
        self, name: str, fetch: Callable[[], Awaitable[str]], fresh_s: float = float("inf")
    ) -> str:
        """The kept answer, or a new one; an old one where arXiv is out of reach."""

        def known() -> Kept | None:
            kept = self._shelf.find(name)
            if kept is None or self._offline:
                return kept
            # A page may come some hours after its paper.
            lasts_s = FRESH_S if kept.content == NO_TEXT else fresh_s
            return None if self._clock.wall() - kept.fetched_s > lasts_s else kept

        if found := known():
            return found.content
        if self._offline:
            raise ArxivRefused(f"not_recorded: {name} is not kept, and a replay asks nobody", 404)
        async with self._turn():
            # Who stood in front of the line may have asked the same.
            if found := known():
                return found.content
            try:
                content = await fetch()
            except ArxivRefused as refused:
                old = self._shelf.find(name)
                if old is None or refused.status == NOT_ALLOWED:
                    raise
                log.warning("arXiv: an old answer for %s: %s", name, refused)
                return old.content
            self._shelf.keep(Kept(name=name, fetched_s=self._clock.wall(), content=content))
            return content

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        """One at a time; who would stand in line for long is told so at once."""
        if self._waiting >= MOST_WAITING:
            raise ArxivRefused(f"rate: {self._waiting} wait for arXiv already; ask later", 429)
        self._due()
        self._waiting += 1
        try:
            async with self._line:
                yield
        finally:
            self._waiting -= 1

    def _due(self) -> float:
        """Seconds until arXiv may be asked.

        Raises:
            ArxivRefused: It is longer than anybody waits.
        """
        due_s = max(0.0, self._due_s - self._clock.monotonic())
        if due_s > LONGEST_WAIT_S:
            raise ArxivRefused(f"rate: arXiv is asked again in {due_s:.0f} s; ask later", 429)
        return due_s

    async def _get(self, path: str, limit_bytes: int) -> tuple[int, bytes]:
        """Status and body of an answer of arXiv's; redirects are followed to arXiv alone."""
        url = self._settings.base_url.rstrip("/") + path
        for _ in range(1 + MOST_REDIRECTS):
            await self._clock.sleep(self._due())
            try:
                async with self._opened().get(url, allow_redirects=False) as answer:
                    body = await _read(answer, limit_bytes)
            except (ClientError, TimeoutError, OSError) as error:
                raise ArxivRefused(
                    f"unreachable: {urlsplit(url).hostname} ({type(error).__name__}); this host has "
                    "no way there now, the lab's own papers are searched without",
                    502,
                ) from None
            finally:
                self._due_s = self._clock.monotonic() + INTERVAL_S
            log.info("arXiv: %s %s", answer.status, path)
            if answer.status in (301, 302, 303, 307, 308):
                url = self._allowed(urljoin(url, answer.headers.get("Location", "")))
                continue
            if answer.status in (429, 503):
                park_s = retry_after_s(answer.headers.get("Retry-After", "")) or PARK_S
                self._due_s = self._clock.monotonic() + max(park_s, INTERVAL_S)
                raise ArxivRefused(f"rate: arXiv wants to be left alone for {park_s:.0f} s", 429)
            return answer.status, body
        raise ArxivRefused("arxiv_error: it leads in a circle", 502)

    def _allowed(self, url: str) -> str:
        """Where a redirect leads, if that is arXiv.

        Raises:
            ArxivRefused: It is another host.
        """
        own = _origin(self._settings.base_url)
        allowed = {own, "https://arxiv.org"} if own == ARXIV else {own}
        if _origin(url) not in allowed:
            raise ArxivRefused(
                f"not_allowed: arXiv leads to {_origin(url)!r:.100}, and only "
                f"{', '.join(sorted(allowed))} is asked",
                NOT_ALLOWED,
            )
        return url

    def _opened(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=1),
                timeout=ClientTimeout(total=TIMEOUT_S),
                headers={"User-Agent": USER_AGENT},
                # The host's proxy variables and cookies are no part of an agent's request.
                trust_env=False,
            )
        return self._session


def _about(paper: Paper) -> list[str]:
    names = ", ".join(paper.authors[:6]) + (" and others" if len(paper.authors) > 6 else "")
    return [paper.title, f"{names}; {' '.join(paper.categories)}"]


def _wrapped(text: str) -> list[str]:
    """Lines of a bounded length, so that none is ever cut behind its mark."""
    return [
        row for each in plain(text).splitlines() for row in textwrap.wrap(each, LINE_CHARACTERS)
    ]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


async def _read(answer: ClientResponse, limit_bytes: int) -> bytes:
    """A body.

    Raises:
        ArxivRefused: It is longer.
    """
    body = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > limit_bytes:
            raise ArxivRefused(f"arxiv_error: an answer of more than {limit_bytes} bytes", 502)
    return bytes(body)
