"""Papers out of a feed of arXiv's interface: Atom with OpenSearch's counts and arXiv's own elements.

What comes back is text of strangers. Ids and dates are checked here, since they stand in lines of our
own; everything else is given only behind marks.
"""

import re
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

ATOM = "{http://www.w3.org/2005/Atom}"
TOTAL = "{http://a9.com/-/spec/opensearch/1.1/}totalResults"
ABSTRACTS = "arxiv.org/abs/"
ERRORS = "arxiv.org/api/errors"
# 2606.19980v1, and hep-ex/0307015v2 as it was before 2007.
PAPER_ID = re.compile(r"(?:\d{4}\.\d{4,5}|[a-z-]{2,20}(?:\.[A-Z]{2})?/\d{7})(?:v\d{1,3})?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class FeedRefused(Exception):
    """No feed of papers; the message says what it is instead."""


class Paper(NamedTuple):
    """An entry of a feed.

    Attributes:
        paper_id: With its version, such as 2606.19980v1; checked.
        published: Day of its first version, YYYY-MM-DD; checked, "" for none.
    """

    paper_id: str
    published: str
    title: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    abstract: str


class Feed(NamedTuple):
    """Papers, the closest first, and how many more arXiv has."""

    papers: tuple[Paper, ...]
    total: int


def read_feed(content: bytes) -> Feed:
    """The papers of a feed.

    Raises:
        FeedRefused: It is not Atom, declares entities, or is arXiv's word of an error.
    """
    try:
        feed: Element = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise FeedRefused(f"not an Atom feed ({type(error).__name__})") from None
    if feed.tag != f"{ATOM}feed":
        raise FeedRefused("not an Atom feed")
    papers: list[Paper] = []
    for entry in feed.iterfind(f"{ATOM}entry"):
        address = _text(entry, "id")
        if ERRORS in address:
            raise FeedRefused(f"an error: {_text(entry, 'summary')!r:.200}")
        paper_id = address.partition(ABSTRACTS)[2]
        # Of an id that it does not have arXiv may give an entry without anything in it.
        if PAPER_ID.fullmatch(paper_id):
            papers.append(_paper(entry, paper_id))
    total = (feed.findtext(TOTAL) or "").strip()
    return Feed(tuple(papers), int(total) if total.isascii() and total.isdigit() else len(papers))


def _paper(entry: Element, paper_id: str) -> Paper:
    day = _DATE.match(_text(entry, "published"))
    return Paper(
        paper_id=paper_id,
        published=day[0] if day else "",
        title=_text(entry, "title"),
        authors=tuple(_text(each, "name") for each in entry.iterfind(f"{ATOM}author")),
        categories=tuple(each.get("term", "") for each in entry.iterfind(f"{ATOM}category")),
        abstract=_text(entry, "summary"),
    )


def _text(element: Element, name: str) -> str:
    """Text of a child in one line; arXiv breaks lines of titles and abstracts at will."""
    return " ".join(element.findtext(ATOM + name, "").split())
