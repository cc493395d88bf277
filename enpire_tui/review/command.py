"""`enpire-tui review` without a screen: lines to standard output or to a file."""

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from enpire_tui.cli import DONE
from enpire_tui.fleet import FleetError
from enpire_tui.lines import say
from enpire_tui.review import export, opened
from enpire_tui.review.runs import Unreadable, choose
from enpire_tui.review.search import PatternWrong, Query, Search
from enpire_tui.review.transcript import Filter, Selection, Transcript
from enpire_tui.review.words import KINDS
from robots.wire.records import Frozen

SHOWN_EVERY_S = 0.1
BAR_WIDTH = 30


class Options(Frozen):
    """What is asked for.

    Attributes:
        run: Id of a run, or its start; "" takes the newest.
        wanted: Which lines.
        query: What they must match; None takes all.
        export: File to write them to, in the form its name asks for.
    """

    run: str = ""
    wanted: Filter = Filter()
    query: Query | None = None
    export: Path | None = None
    json: bool = False

    @property
    def headless(self) -> bool:
        """Whether more is asked for than to look at a run."""
        return self.json or self.export is not None or self.narrowed

    @property
    def narrowed(self) -> bool:
        """Whether only some lines are asked for."""
        return self.query is not None or self.wanted != Filter()


def run(options: Options, home: Path) -> int:
    """Writes what is asked for and returns the exit code.

    Raises:
        FleetError: An option names what is not there.
        Unreadable: The run cannot be read, or the file not be written.
    """
    form = export.form_of(options.export) if options.export is not None else None
    if options.export is not None and form is None:
        raise FleetError(f"{options.export}: exports end in {', '.join(export.FORMS)}")
    if options.wanted.kind and options.wanted.kind not in KINDS:
        raise FleetError(f"--kind {options.wanted.kind}: kinds are {', '.join(KINDS)}")
    began_s = time.monotonic()
    with Transcript(choose(home, options.run)) as transcript:
        _all(transcript.step, lambda: transcript.progress, "reading")
        lines = _lines(transcript, options)
        if options.export is not None and form is not None:
            try:
                export.write(options.export, form, transcript, lines)
            except OSError as error:
                raise Unreadable(f"{options.export} cannot be written: {error}") from None
        elif options.json:
            sys.stdout.writelines(export.json_lines(transcript, lines))
        else:
            _print(transcript, options, lines)
        _summary(transcript, options, len(lines), time.monotonic() - began_s)
    return DONE


def _lines(transcript: Transcript, options: Options) -> list[int]:
    """Numbers of the lines asked for.

    Raises:
        FleetError: No such agent, no such idea, or a pattern that is none.
    """
    wanted = options.wanted
    if wanted.agent and wanted.agent not in transcript.agents:
        raise FleetError(f"--agent {wanted.agent}: agents are {', '.join(transcript.agents)}")
    if wanted.idea and wanted.idea not in transcript.ideas:
        last = ", ".join(list(transcript.ideas)[-8:]) or "none"
        raise FleetError(
            f"--idea {wanted.idea}: no idea of this run; {len(transcript.ideas)} are, lately {last}"
        )
    selection = Selection(transcript, wanted)
    if options.query is None:
        return list(selection)
    try:
        search = Search(transcript, options.query)
    except PatternWrong as wrong:
        raise FleetError(str(wrong)) from None
    _all(search.step, lambda: search.progress, "searching")
    return [selection[int(place)] for place in selection.among(search.hits)]


def _print(transcript: Transcript, options: Options, lines: Iterable[int]) -> None:
    if options.wanted.idea:
        story = transcript.ideas[options.wanted.idea]
        about = [*opened.idea_lines(story), *opened.diff_lines(transcript.run, story.commit)]
        sys.stdout.writelines(f"{each}\n" for each in (*about, ""))
    sys.stdout.writelines(f"{transcript.text(line, export.WHOLE)}\n" for line in lines)


def _summary(transcript: Transcript, options: Options, found: int, seconds: float) -> None:
    reviewed = transcript.run
    where = f" in {options.export}" if options.export is not None else ""
    if options.json:
        wanted = options.wanted.idea
        story = transcript.ideas[wanted] if wanted else None
        say(
            "Reviewed",
            run=reviewed.run_id,
            outcome=reviewed.outcome or "live",
            lines=len(transcript),
            found=found,
            by_kind=transcript.counts(),
            ideas=len(transcript.ideas),
            tokens={name: transcript.tokens(name) for name in reviewed.agents},
            idea=story,
            diff=opened.diff_lines(reviewed, story.commit) if story is not None else None,
            export=str(options.export) if options.export is not None else "",
            seconds=round(seconds, 3),
        )
    elif options.narrowed or where:
        sys.stderr.write(f"{found} of {len(transcript)} lines of {reviewed.run_id}{where}\n")


def _all(step: Callable[[], bool], progress: Callable[[], float], word: str) -> None:
    """Steps to the end, with a bar on a terminal for what takes long; an interrupt gives it up."""
    began_s = shown_s = time.monotonic()
    while step():
        now_s = time.monotonic()
        if now_s - shown_s >= SHOWN_EVERY_S and sys.stderr.isatty():
            shown_s = now_s
            done = progress()
            bar = "█" * int(done * BAR_WIDTH)
            sys.stderr.write(f"\r{word} {bar:░<{BAR_WIDTH}} {done:4.0%}")
            sys.stderr.flush()
    if shown_s != began_s:
        sys.stderr.write("\r\x1b[K")
