"""Waiting on what is true, never on time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from enpire_tui.room.app import RoomApp

DEADLINE_S = 60.0


async def wait_for(
    pilot: Pilot, predicate: Callable[[], object], deadline_s: float = DEADLINE_S
) -> None:
    """Lets the app work until the predicate holds."""
    until = time.monotonic() + deadline_s
    while not predicate():
        shown = screen_text(pilot.app) if time.monotonic() >= until else ""
        assert not shown, f"it did not come to that in time:\n{shown}"
        await pilot.pause()
        await asyncio.sleep(0.01)


def screen_text(app: App[Any]) -> str:
    """What is on the screen, as text."""
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in lines)


async def settled(pilot: Pilot[int], app: RoomApp) -> str:
    """The screen as SVG, once two paints in a row show the same."""
    last = ""
    until = time.monotonic() + DEADLINE_S
    while True:
        app.paint()
        await pilot.pause()
        now = screen_text(app)
        if now == last:
            return app.export_screenshot(title="enpire-tui")
        assert time.monotonic() < until, "the screen does not come to rest"
        last = now
