"""One look at one run: what is read, filtered, searched and asked for, without a screen.

A screen calls `work` in slices, so that reading a million lines and searching them never hold up a
key; what was found is taken with `take_target`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from enpire_tui.review.runs import ReviewedRun
from enpire_tui.review.search import PatternWrong, Query, Search
from enpire_tui.review.transcript import Filter, Selection, Transcript
from enpire_tui.review.words import KINDS

REGEX_MARK = "/"


class Session:
    """See the module. Places are positions among the filtered lines.

    Attributes:
        notice: What a person should know of the last thing asked for, "" if nothing.
        reading: Whether there was more to read at the last look.
    """

    def __init__(self, run: ReviewedRun) -> None:
        self.transcript = Transcript(run)
        self.selection = Selection(self.transcript)
        self.search: Search | None = None
        self.notice = ""
        self.reading = True
        self._sought: tuple[int, bool] | None = None
        self._target: int | None = None
        self._spent: tuple[tuple[str, int, int], int] = (("", 0, 0), 0)
        self._hits: tuple[tuple[int, int], npt.NDArray[np.int64]] = ((-1, -1), np.zeros(0, int))

    def close(self) -> None:
        self.transcript.close()

    # --- work -------------------------------------------------------------------------------

    def work(self, seconds: float, monotonic: Callable[[], float]) -> bool:
        """Reads, then searches, for about so long; whether there is more to do now.

        Raises:
            Unreadable: A journal cannot be read.
        """
        until_s = monotonic() + seconds
        more = True
        while more and monotonic() < until_s:
            self.reading = self.transcript.step()
            more = self.reading or self._search_on()
        self.selection.grow()
        self._settle()
        return more

    @property
    def searching(self) -> bool:
        """Whether lines are left that were not searched."""
        return self.search is not None and self.search.progress < 1.0

    def _search_on(self) -> bool:
        return self.search is not None and self.search.step()

    # --- what lines -------------------------------------------------------------------------

    def narrow(self, words: str) -> None:
        """Only lines of the agent, kind and idea that the words name; none for all lines."""
        fields: dict[str, str] = {}
        for word in words.split():
            if word in self.transcript.agents and "agent" not in fields:
                fields["agent"] = word
            elif word in self.transcript.ideas:
                fields["idea"] = word
            elif word in KINDS:
                fields["kind"] = word
            else:
                self.notice = f"no agent, kind or idea is called {word}; kinds: {', '.join(KINDS)}"
                return
        self.notice = ""
        self.selection = Selection(self.transcript, Filter(**fields))

    def turn_tokens(self, line: int) -> int:
        """Tokens of the turn that a line belongs to."""
        transcript = self.transcript
        asked = (transcript.agent(line), transcript.turn(line), len(transcript))
        if asked != self._spent[0]:
            self._spent = (asked, transcript.tokens(*asked[:2]))
        return self._spent[1]

    # --- search -----------------------------------------------------------------------------

    def find(self, text: str, place: int) -> None:
        """Looks for a text, or for a regular expression written as "/this"; "" forgets the last."""
        self.search = None
        self._sought = None
        self.notice = ""
        if not text:
            return
        regex = text.startswith(REGEX_MARK)
        try:
            query = Query(text=text.removeprefix(REGEX_MARK), regex=regex)
            self.search = Search(self.transcript, query)
        except PatternWrong as wrong:
            self.notice = str(wrong)
            return
        # A line that matches and is chosen already is the first hit.
        self.seek(place - 1, forward=True)

    def seek(self, place: int, *, forward: bool) -> None:
        """Asks for the next or previous hit, which `take_target` gives once it is known."""
        if self.search is None:
            self.notice = "nothing was searched for yet"
            return
        self._sought = (place, forward)
        self._settle()

    def give_up(self) -> bool:
        """Stops a search that is under way; what was found stays. False if there is none."""
        if not self.searching:
            return False
        self._sought = self.search = None
        self.notice = "search given up"
        return True

    def take_target(self) -> int | None:
        """The place that was sought, once."""
        target, self._target = self._target, None
        return target

    def hits(self) -> npt.NDArray[np.int64]:
        """Places of all hits so far."""
        if self.search is None:
            return np.zeros(0, np.int64)
        state = (len(self.search.hits), id(self.selection))
        if state != self._hits[0]:
            self._hits = (state, self.selection.among(self.search.hits))
        return self._hits[1]

    def _settle(self) -> None:
        if self._sought is None:
            return
        place, forward = self._sought
        hits = self.hits()
        if forward:
            at = int(np.searchsorted(hits, place, side="right"))
        else:
            at = int(np.searchsorted(hits, place, side="left")) - 1
        beyond = at < 0 or at >= len(hits)
        if self.searching and (beyond or not forward):
            return  # What is not searched yet may hold a nearer one.
        self._sought = None
        if not len(hits):
            self.notice = "not found"
            return
        self.notice = f"from the {'start' if forward else 'end'} again" if beyond else ""
        self._target = int(hits[at % len(hits)])

    # --- jumps ------------------------------------------------------------------------------

    def jump(self, place: int, jump: str, *, forward: bool) -> int | None:
        """The place of the next or previous line of a sort; None, with a notice, if there is none."""
        found = self.selection.jump(place, jump, forward=forward)
        self.notice = "" if found is not None else f"no {'later' if forward else 'earlier'} {jump}"
        return found
