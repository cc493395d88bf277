"""Journal rows as they are kept and sent, and what can go wrong with a journal."""

from collections.abc import Sequence

import msgspec

from robots.wire import codec
from robots.wire.events import AnyEvent, Noted

PAGE_BYTES = 1 << 20


class JournalFull(Exception):
    """The journal cannot be written (disk full, I/O error); nothing was appended."""


class JournalTaken(Exception):
    """Another process holds this journal."""


class JournalCorrupt(Exception):
    """The journal's file is damaged; opening it again moves it aside."""


class JournalReplaced(Exception):
    """The journal that was followed is no more: its reader starts again from row 0."""

    def __init__(self, journal_id: str) -> None:
        super().__init__(f"the journal was replaced by {journal_id}; read it from the start")
        self.journal_id = journal_id


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One journal row, decoded.

    Attributes:
        seq: Position, from 1, strictly increasing.
        wall_s: Unix seconds when it was appended.
        kind: Name of the event's type.
    """

    seq: int
    wall_s: float
    kind: str
    event: AnyEvent


class RawRow(msgspec.Struct, frozen=True, array_like=True):
    """The same row with its event still encoded, as it is stored and sent."""

    seq: int
    wall_s: float
    kind: str
    event: msgspec.Raw


class JournalPage(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `ReadJournal`: the rows that fit, oldest first."""

    journal_id: str
    last_seq: int
    rows: list[RawRow]


def decode_row(row: RawRow) -> Row:
    """A row with its event decoded; a kind this version does not know becomes a `Noted`."""
    try:
        event = codec.decode_event(bytes(row.event))
    except codec.ValidationError as error:
        event = Noted(level="warning", text=f"row of kind {row.kind} not understood: {error}")
    return Row(row.seq, row.wall_s, row.kind, event)


def cut_page(rows: Sequence[RawRow], max_bytes: int) -> list[RawRow]:
    """The first rows that together stay within `max_bytes`, but at least one."""
    page: list[RawRow] = []
    size = 0
    for row in rows:
        size += len(bytes(row.event))
        if page and size > max_bytes:
            break
        page.append(row)
    return page
