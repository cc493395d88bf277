"""Pictures of the control room for the documentation, from a hand-made run: SVG, and the same anew.

.venv/bin/python -m scripts.room_pictures -o docs/pictures [--size 80x24] [--theme room-light]
"""

import argparse
import asyncio
import os
import time
from pathlib import Path

from enpire_tui.room.app import RoomApp
from tests.enpire_tui.room.jobs_sample import SampleBoxes
from tests.enpire_tui.room.sample import SampleFeed
from tests.enpire_tui.room.setup_sample import SetupFeed
from tests.enpire_tui.room.waiting import settled, wait_for

# Name of the picture and the keys that lead to it.
SHOTS = {
    "fleet": (),
    "workspace": ("enter", "c"),
    "research": ("5",),
    "events": ("7",),
    "agents": ("3",),
    "jobs": ("4",),
    "help": ("question_mark",),
}
# The same of a fleet in setup.
SETUP_SHOTS = {"inbox": ("2",), "approval": ("2", "end", "enter")}


async def shoot(name: str, size: tuple[int, int], theme: str) -> str:
    """One picture as SVG."""
    feed = SampleFeed() if name in SHOTS else SetupFeed()
    feed.boxes = SampleBoxes()
    app = RoomApp(feed=feed)
    app.theme = theme
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: app.seen is not None)
        for key in {**SHOTS, **SETUP_SHOTS}[name]:
            await pilot.press(key)
            await settled(pilot, app)
        return await settled(pilot, app)


def main() -> None:
    """Draws what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--size", default="120x34")
    parser.add_argument("--theme", default="room-dark")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    width, height = (int(part) for part in given.size.split("x"))
    given.output.mkdir(parents=True, exist_ok=True)
    for name in given.names or (*SHOTS, *SETUP_SHOTS):
        svg = asyncio.run(shoot(name, (width, height), given.theme))
        (given.output / f"{name}.svg").write_text(svg)
        print(given.output / f"{name}.svg")


if __name__ == "__main__":
    main()
