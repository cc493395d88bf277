"""The text of a paper's HTML page: paragraphs and headings, formulas as their LaTeX source."""

from html.parser import HTMLParser

# What arXiv's pages (LaTeXML) hold beside the paper, or again in another form.
_SKIPPED = frozenset(
    {"script", "style", "nav", "header", "footer", "button", "svg", "math", "form"}
)
_BLOCKS = frozenset(
    [
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "li",
        "tr",
        "figcaption",
        "section",
        "article",
        "div",
        "table",
        "ul",
        "ol",
        "dt",
        "dd",
        "br",
    ]
)


def text_of(html: str) -> str:
    """Paragraphs, with an empty line between each two of them."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    paragraphs = (" ".join("".join(block).split()) for block in reader.blocks)
    return "\n\n".join(filter(None, paragraphs))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[list[str]] = [[]]
        self._skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "math" and not self._skipped:
            source = dict(attrs).get("alttext")
            self.blocks[-1].append(f" ${source}$ " if source else " ")
        if self._skipped:
            # Only what is nested in itself delays the end of what is skipped.
            if tag == self._skipped[0]:
                self._skipped.append(tag)
        elif tag in _SKIPPED:
            self._skipped.append(tag)
        elif tag in _BLOCKS:
            self.blocks.append([])

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            if tag == self._skipped[0]:
                self._skipped.pop()
        elif tag in _BLOCKS:
            self.blocks.append([])

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.blocks[-1].append(data)
