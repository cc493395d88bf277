"""What a verifier got wrong on drawn scenes, as its author is told it: in words, and in a few pictures.

The scenes are the bench's own, drawn for this one measurement. Labels, of which half are held out to
score verifiers on, are read nowhere in this package.
"""

import heapq
from typing import NamedTuple

from agents.desk import Desk
from agents.pictures import Answer, Picture
from agents.tools.tree import on_thread
from robots.bench.pictures import Small, small
from robots.bench.sights import NEAR_MISS, NEGATIVE, POSITIVE, Sighting

MOST_TOLD = 10
MOST_SHOWN = 4


class _Shown(NamedTuple):
    """A picture and what it is of; those that do most harm sort first."""

    rank: int
    number: int
    told: str
    picture: Small


class Wrong:
    """Collects wrong verdicts while scenes are drawn.

    Args:
        pictures: How many at most.
        camera: Through which they are, "" for the first.
    """

    def __init__(self, pictures: int, camera: str) -> None:
        self._most = pictures
        self._camera = camera
        self._told: list[str] = []
        self._shown: list[_Shown] = []

    def seen(self, sighting: Sighting) -> None:
        """Take a scene in, if its verdict is wrong."""
        if not sighting.wrong:
            return
        told = _told(sighting)
        self._told.append(f"wrong: {told}")
        # A task may have no camera at all.
        if self._most and sighting.images:
            image = sighting.images[self._camera or next(iter(sighting.images))]
            shown = _Shown(_rank(sighting), sighting.number, told, small(image))
            self._shown = heapq.nsmallest(self._most, [*self._shown, shown])

    async def answer(self, head: str, desk: Desk) -> Answer:
        """What is told of them, with the pictures in the agent's album."""
        lines = [head, *self._told[:MOST_TOLD]]
        if len(self._told) > MOST_TOLD:
            lines.append(f"and {len(self._told) - MOST_TOLD} more wrong")
        pictures: list[Picture] = []
        for number, each in enumerate(self._shown, 1):
            pictures.append(await on_thread(desk.album.keep, *each.picture))
            lines.append(f"picture {number}: {each.told}; {pictures[-1].told()}")
        return Answer("\n".join(lines), tuple(pictures))


def _rank(sighting: Sighting) -> int:
    """False positives first, and near misses of them."""
    return (NEAR_MISS, NEGATIVE, POSITIVE).index(sighting.kind)


def _told(sighting: Sighting) -> str:
    verdict = "accepted" if sighting.accepted else "refused"
    truth = " ".join(f"{k}={v:.4g}" for k, v in sighting.truth.items())
    score = "none" if sighting.score is None else f"{sighting.score:.4g}"
    return f"{sighting.kind} {verdict}, score {score}; {truth}"
