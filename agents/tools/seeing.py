"""The tool for models that see: pictures of an episode that its agent explored."""

from typing import Annotated

import msgspec

from agents.pictures import Answer
from agents.tools.surface import Surface
from agents.tools.tree import on_thread
from robots.wire.commands import GetFrames
from robots.wire.records import Frozen

MOST_FRAMES = 6
MOST_PICTURES = 48
"""Pictures of a session: a conversation is sent whole each time, and providers bound how many."""

BLIND = (
    "no pictures: your model is set not to see any (`sees = false` in [agent] of the run's file); "
    "`episode` tells the course of an episode in figures"
)


class Frames(Frozen):
    """An explored episode, and which of its moments; `camera` "" is the task's first."""

    batch_id: str
    index: Annotated[int, msgspec.Meta(ge=0)]
    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_FRAMES)] = 3
    spread: bool = False
    steps: Annotated[tuple[int, ...], msgspec.Meta(max_length=MOST_FRAMES)] = ()
    camera: str = ""


async def frames(at: Surface, given: Frames, _: str) -> str | Answer:
    """Pictures of an explored episode, with words that say what each is."""
    if not at.sees:
        return BLIND
    left = MOST_PICTURES - at.work.pictures
    if left <= 0:
        return f"no pictures: this session has had its {MOST_PICTURES}; `episode` gives figures"
    asked = GetFrames(
        batch_id=given.batch_id,
        index=given.index,
        count=min(given.count, left),
        spread=given.spread,
        steps=given.steps[:left],
        camera=given.camera,
    )
    found = await at.desk.unless_interrupted(at.tools.bench.frames(asked))
    album, episode = at.desk.album, found.episode
    pictures = [await on_thread(album.keep, f.png, f.width, f.height) for f in found.frames]
    at.keep(pictures=at.work.pictures + len(pictures))
    head = (
        f"Episode {episode.index} of {found.batch_id}: {episode.outcome.value}, {episode.reason}, "
        f"{episode.steps} steps. Drawn anew from where everything was, through camera "
        f"{found.camera}; a camera's own noise and light are not in it."
    )
    lines = [head]
    for number, (frame, picture) in enumerate(zip(found.frames, pictures, strict=True), 1):
        end = ", the end" if frame.step == episode.steps else ""
        lines.append(
            f"{number}. after step {frame.step}, {frame.time_s:.2f} s{end}: {picture.told()}"
        )
    return Answer("\n".join(lines), tuple(pictures))
