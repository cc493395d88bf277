"""The command palette: every action with its key and, where it is not possible now, why."""

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.app import App
from textual.command import DiscoveryHit, Hit, Hits, Provider

from enpire_tui.room.actions import ACTIONS, Action
from enpire_tui.room.keys import shown

if TYPE_CHECKING:
    from enpire_tui.room.app import RoomApp


class ActionsProvider(Provider):
    """Offers what the registry of actions lists."""

    @property
    def _room(self) -> "RoomApp":
        app: App[object] = self.app
        return cast("RoomApp", app)

    def _words(self, action: Action) -> tuple[str, str]:
        key = ", ".join(shown(each) for each in self._room.keys[action.name])
        reason = action.refusal(self._room.where())
        return f"{action.title}  {key}", f"not possible: {reason}" if reason else action.group

    async def discover(self) -> Hits:
        for action in ACTIONS:
            title, told = self._words(action)
            yield DiscoveryHit(title, partial(self._room.act, action.name), help=told)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in ACTIONS:
            title, told = self._words(action)
            score = matcher.match(title)
            if score > 0:
                call = partial(self._room.act, action.name)
                yield Hit(score, matcher.highlight(title), call, help=told)
