"""A transcript as a file: Markdown and HTML for people, JSON lines for programs.

Words of agents are text in all three: escaped, without control characters, secrets redacted.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from enpire_tui.lines import plain
from enpire_tui.review.transcript import Transcript
from enpire_tui.review.words import LINE_CHARACTERS, redact

WHOLE = 4 * LINE_CHARACTERS
IDEA_COLUMNS = ("idea", "agent", "decision", "score", "commit", "hypothesis")
STYLE = """body{font:14px/1.4 system-ui,sans-serif;margin:2em}pre{font:12px/1.35 monospace}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:2px 6px;text-align:left}
.error{color:#b00020}.decision,.idea{font-weight:bold}.tool,.result{color:#555}"""

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#!&~])")

Form = Callable[[Transcript, Iterable[int]], Iterator[str]]


def form_of(path: Path) -> Form | None:
    """The form that a file's name asks for; None if it is none of ours."""
    return FORMS.get(path.suffix.lower())


def write(path: Path, form: Form, transcript: Transcript, lines: Iterable[int]) -> None:
    """Writes the file whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(form(transcript, lines))
    new.replace(path)


def json_line(transcript: Transcript, line: int) -> str:
    """A line with its row's every field as one JSON object."""
    row = transcript.row(line)
    table = {
        "kind": "Line",
        "line": line + 1,
        "wall_s": row.wall_s,
        "agent": transcript.agent(line),
        "what": transcript.kind(line),
        "idea": transcript.idea(line),
        "turn": transcript.turn(line),
        "error": transcript.is_error(line),
        "seq": row.seq,
        "type": row.kind,
        "event": plain(row.event),
    }
    return redact(json.dumps(table))


def json_lines(transcript: Transcript, lines: Iterable[int]) -> Iterator[str]:
    """JSON lines."""
    for line in lines:
        yield json_line(transcript, line) + "\n"


def markdown(transcript: Transcript, lines: Iterable[int]) -> Iterator[str]:
    """Markdown: the ideas as a table, the lines as one block of text."""
    yield f"# Transcript of {transcript.run.run_id}\n\n{_about(transcript)}\n\n## Ideas\n\n"
    yield f"| {' | '.join(IDEA_COLUMNS)} |\n|{' --- |' * len(IDEA_COLUMNS)}\n"
    for row in _ideas(transcript):
        yield f"| {' | '.join(_escaped(each) for each in row)} |\n"
    yield "\n## Lines\n\n"
    for line in lines:
        yield f"    {transcript.text(line, WHOLE)}\n"


def web_page(transcript: Transcript, lines: Iterable[int]) -> Iterator[str]:
    """HTML without scripts and without anything from elsewhere."""
    title = f"Transcript of {html.escape(transcript.run.run_id)}"
    yield '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
    yield f"<title>{title}</title>\n<style>\n{STYLE}\n</style>\n<h1>{title}</h1>\n"
    yield f"<p>{html.escape(_about(transcript))}</p>\n<h2>Ideas</h2>\n<table>\n"
    yield f"<tr>{''.join(f'<th>{each}</th>' for each in IDEA_COLUMNS)}</tr>\n"
    for row in _ideas(transcript):
        yield f"<tr>{''.join(f'<td>{html.escape(each)}</td>' for each in row)}</tr>\n"
    yield "</table>\n<h2>Lines</h2>\n<pre>\n"
    for line in lines:
        error = " error" if transcript.is_error(line) else ""
        text = html.escape(transcript.text(line, WHOLE))
        yield f'<span class="{transcript.kind(line)}{error}">{text}</span>\n'
    yield "</pre>\n</html>\n"


FORMS: dict[str, Form] = {".md": markdown, ".jsonl": json_lines, ".html": web_page}


def _about(transcript: Transcript) -> str:
    run = transcript.run
    return (
        f"Task {run.task}, agents {', '.join(run.agents)} ({run.backend}), "
        f"{run.outcome or 'not ended yet'}; {len(transcript)} lines, times in UTC, "
        f"{transcript.tokens()} fresh input and output tokens."
    )


def _ideas(transcript: Transcript) -> Iterator[tuple[str, ...]]:
    for each in transcript.ideas.values():
        told = (each.idea_id, each.agent, each.decision or "open", each.score, each.commit[:12])
        yield tuple(redact(text) for text in (*told, each.hypothesis))


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\1", text)
