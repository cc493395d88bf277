"""Tools on the run: waiting for news, digest, leaderboard, peers' changes."""

from agents.desk import Desk
from agents.digest import build_digest
from agents.git.trailers import clean
from agents.tools import calls as t
from agents.tools.tree import Tree
from agents.view import Standing

MAX_WAIT_S = 600.0


class Fleet:
    """What the rest of the fleet does, as far as it concerns an agent."""

    def __init__(self, desk: Desk, tree: Tree) -> None:
        self._desk = desk
        self._tree = tree
        self._cursor = 0

    async def wait(self, call: t.Wait) -> t.News:
        """Wait for a decision on an own idea, another champion, a confirm's, a message or the run's end."""
        desk = self._desk
        before = self._marks()
        if not desk.log.words:
            desk.set_state("WAITING")
            await desk.wait_until(
                lambda: self._marks() != before or bool(desk.log.words),
                min(call.timeout_s, MAX_WAIT_S),
            )
            if not desk.log.paused:
                desk.set_state("THINKING")
        return t.News(text=self.digest().text, messages=dict(desk.log.words))

    def digest(self) -> t.Text:
        """What changed since the last digest that this agent was given."""
        events = self._desk.run.events
        fresh = events[self._cursor :] if self._cursor <= len(events) else events
        known = {idea_id: standing.idea for idea_id, standing in self._desk.run.ideas.items()}
        self._cursor = len(events)
        return t.Text(text=build_digest(fresh, known))

    def leaderboard(self, call: t.Leaderboard) -> t.Text:
        """Champion and ideas with sealed evidence, best lower bound first."""
        run = self._desk.run
        lines: list[str] = []
        if run.champion is not None:
            low, high = run.champion.interval
            lines.append(
                f"champion {run.champion.idea_id} {run.champion.success}/{run.champion.episodes} "
                f"[{low:.3f}, {high:.3f}]"
            )
        measured = [standing for standing in run.ideas.values() if standing.episodes]
        measured.sort(key=lambda standing: standing.interval, reverse=True)
        lines += [_row(standing) for standing in measured[: call.limit]]
        return t.Text(text="\n".join(lines))

    async def peer_diff(self, call: t.PeerDiff) -> t.Text:
        """An idea's change against its parent commit."""
        text, cut = t.cut_text(await self.whole_diff(call.idea_id))
        return t.Text(text=text, cut=cut)

    async def whole_diff(self, idea_id: str) -> str:
        """The same, however long."""
        commit = self._tree.commit_of(idea_id)
        return await self._tree.diff(f"{commit}^", commit)

    def _marks(self) -> tuple[str, str, int, int]:
        run = self._desk.run
        champion = run.champion.commit if run.champion else ""
        return champion, run.ended, run.confirms, len(self._desk.log.pending())


def _row(standing: Standing) -> str:
    low, high = standing.interval
    return (
        f"{standing.idea.idea_id} {standing.decision or 'open'} "
        f"{standing.success}/{standing.episodes} [{low:.3f}, {high:.3f}] "
        f"{clean(standing.idea.hypothesis, 100)}"
    )
