"""A stand-in of arXiv: its query interface in Atom, papers' pages as LaTeXML makes them, its faults.

Feeds are as `export.arxiv.org/api/query` writes them, with its namespaces, line breaks and errors.
"""

from typing import NamedTuple
from xml.sax.saxutils import escape

from aiohttp import web

from robots.wire.clock import Clock

FEED = """<?xml version='1.0' encoding='UTF-8'?>
<feed xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/" xmlns:arxiv="http://arxiv.org/schemas/atom" xmlns="http://www.w3.org/2005/Atom">
  <id>https://arxiv.org/api/cHxbiOdZaP56ODnBPIenZhzg5f8</id>
  <title>arXiv Query: {title}</title>
  <updated>2026-11-25T00:00:00Z</updated>
  <link href="https://arxiv.org/api/query?{query}" type="application/atom+xml"/>
  <opensearch:itemsPerPage>{count}</opensearch:itemsPerPage>
  <opensearch:totalResults>{total}</opensearch:totalResults>
  <opensearch:startIndex>0</opensearch:startIndex>
{entries}</feed>
"""
ENTRY = """  <entry>
    <id>http://arxiv.org/abs/{paper_id}</id>
    <title>{title}</title>
    <updated>2026-06-20T09:12:44Z</updated>
    <link href="https://arxiv.org/abs/{paper_id}" rel="alternate" type="text/html"/>
    <link href="https://arxiv.org/pdf/{paper_id}" rel="related" type="application/pdf" title="pdf"/>
    <summary>  {abstract}
</summary>
    <category term="cs.RO" scheme="http://arxiv.org/schemas/atom"/>
    <category term="cs.LG" scheme="http://arxiv.org/schemas/atom"/>
    <published>{published}T17:59:59Z</published>
    <arxiv:comment>12 pages</arxiv:comment>
    <arxiv:primary_category term="cs.RO"/>
{authors}  </entry>
"""
ERROR = """  <entry>
    <id>http://arxiv.org/api/errors#{anchor}</id>
    <title>Error</title>
    <summary>{words}</summary>
    <updated>2026-11-25T00:00:00Z</updated>
    <link href="http://arxiv.org/api/errors#{anchor}" rel="alternate" type="text/html"/>
    <author><name>arXiv api core</name></author>
  </entry>
"""
PAGE = """<!DOCTYPE html><html lang="en"><head><title>{title}</title><style>p {{color: red}}</style>
<script>track("{title}")</script></head><body><header><nav>Back to arXiv</nav></header>
<article class="ltx_document"><h1 class="ltx_title">{title}</h1>{body}</article>
<footer>Report an issue</footer></body></html>
"""


class Paper(NamedTuple):
    """What the stand-in has: a paper with its version, and the body of its page, "" for none."""

    paper_id: str
    title: str
    abstract: str
    published: str = "2026-06-16"
    body: str = ""
    authors: tuple[str, ...] = ("Ada Rossi", "Li Wei")


class ArxivStandIn:
    """Serves papers; every request waits in one line with its time, as its client's clock has it."""

    def __init__(self, clock: Clock, papers: list[Paper]) -> None:
        self.papers = papers
        self.clock = clock
        self.asked: list[str] = []
        self.times: list[float] = []
        self.agents: set[str] = set()
        self.open = self.most_open = 0
        # Given once each, in order, instead of an answer.
        self.faults: list[web.Response] = []
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/api/query", self._query)
        app.router.add_get("/html/{paper_id:.+}", self._page)
        app.middlewares.append(self._counted)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _counted(self, request: web.Request, handler) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.times.append(self.clock.monotonic())
        self.agents.add(request.headers["User-Agent"])
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return self.faults.pop(0) if self.faults else await handler(request)
        finally:
            self.open -= 1

    async def _query(self, request: web.Request) -> web.Response:
        words = request.query.get("search_query", "")
        found = self.papers
        if "id_list" in request.query:
            wanted = request.query["id_list"]
            if wanted.startswith("9999"):
                text = ERROR.format(
                    anchor="incorrect_id_format_for_9999", words="incorrect id format"
                )
                return self._feed(request, text, 1, status=400)
            found = [p for p in found if wanted in (p.paper_id, p.paper_id.partition("v")[0])]
        for term in filter(None, words.split(" AND ")):
            assert term.startswith('all:"'), term
            word = term[5:-1].lower()
            found = [p for p in found if word in f"{p.title} {p.abstract}".lower()]
        most = int(request.query.get("max_results", "10"))
        return self._feed(request, "".join(map(entry, found[:most])), len(found))

    def _feed(self, request: web.Request, entries: str, total: int, status: int = 200):
        query = escape(request.query_string, {'"': "&quot;"})
        text = FEED.format(title=query, query=query, count=10, total=total, entries=entries)
        return web.Response(text=text, status=status, content_type="application/atom+xml")

    async def _page(self, request: web.Request) -> web.Response:
        for paper in self.papers:
            if paper.paper_id == request.match_info["paper_id"] and paper.body:
                html = PAGE.format(title=escape(paper.title), body=paper.body)
                return web.Response(text=html, content_type="text/html")
        return web.Response(status=404, text="<h1>No HTML for this paper</h1>")


def entry(paper: Paper) -> str:
    """A paper in a feed."""
    authors = "".join(
        f"    <author>\n      <name>{escape(name)}</name>\n    </author>\n"
        for name in paper.authors
    )
    return ENTRY.format(
        paper_id=paper.paper_id,
        title=escape(paper.title),
        abstract=escape(paper.abstract),
        published=paper.published,
        authors=authors,
    )
