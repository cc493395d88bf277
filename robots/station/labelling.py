"""A person at a running station judges the scene in front of it; kept, journalled, counted."""

import asyncio
import queue
from collections.abc import Callable

from robots.station.children import printable
from robots.station.glimpses import Glimpse
from robots.station.labels import PERSON, Labels
from robots.wire.clock import Clock
from robots.wire.commands import AnyCommand, LabelScene, WithdrawLabel
from robots.wire.events import AnyEvent, SceneLabelled
from robots.wire.reception import Refused
from robots.wire.station_replies import LabelKept

LOOK_S = 8.0
"""For the batch thread to look: longer than any policy step, shorter than a reset may take."""

_ENTRIES = ("room", "script")
_NAME_LIMIT = 60


class Labelling:
    """Takes a station's labels.

    Args:
        station: The station's name.
        labels: Where they are kept.
        look: Asks the batch thread for the scene.
        clock: For wall times.
        note: Journals what was done.
    """

    def __init__(
        self,
        station: str,
        labels: Labels,
        look: Callable[[], Glimpse],
        clock: Clock,
        note: Callable[[AnyEvent], None],
    ) -> None:
        self._station = station
        self._labels = labels
        self._look = look
        self._clock = clock
        self._note = note

    async def take(self, command: AnyCommand) -> LabelKept:
        """Keep a label, or take the last one back.

        Raises:
            Refused: No scene could be seen, there is no label, or nobody is named; or it is a
                command of another kind.
        """
        if not isinstance(command, LabelScene | WithdrawLabel):
            raise Refused(f"invalid: a station takes no {type(command).__name__}")
        by = printable(command.by).strip()
        if not by or len(by) > _NAME_LIMIT:
            raise Refused(f"invalid: by: name the person who judges, 1 to {_NAME_LIMIT} characters")
        if isinstance(command, LabelScene):
            event = await self._keep(command, by)
        else:
            event = await self._withdraw(by)
        self._note(event)
        counts = await asyncio.to_thread(self._labels.counts)
        return LabelKept(label_id=event.label_id, counts=counts)

    async def _keep(self, command: LabelScene, by: str) -> SceneLabelled:
        if command.entered not in _ENTRIES:
            raise Refused(f"invalid: entered: one of {', '.join(_ENTRIES)}")
        try:
            async with asyncio.timeout(LOOK_S):
                snapshot = await asyncio.wrap_future(self._look())
        except (TimeoutError, queue.Full):
            raise Refused(
                "busy: the robot resets its scene; label it afterwards, or hold the station first"
            ) from None
        except Exception as error:
            raise Refused(f"no_scene: {type(error).__name__}: {error}") from error
        try:
            label = await asyncio.to_thread(
                self._labels.keep,
                snapshot,
                success=command.success,
                label_source=PERSON,
                by=by,
                entered=command.entered,
                station=self._station,
                wall_s=self._clock.wall(),
            )
        except OSError as error:
            raise Refused(f"full: the label cannot be written: {error}") from error
        return SceneLabelled(label_id=label.label_id, success=label.success, by=by)

    async def _withdraw(self, by: str) -> SceneLabelled:
        found = await asyncio.to_thread(self._labels.last, self._station)
        if found is None:
            raise Refused("no_label: none was given at this station, or all are withdrawn")
        try:
            await asyncio.to_thread(self._labels.withdraw, found.label_id, by, self._clock.wall())
        except OSError as error:
            raise Refused(f"full: the withdrawal cannot be written: {error}") from error
        return SceneLabelled(label_id=found.label_id, success=found.success, by=by, withdrawn=True)
