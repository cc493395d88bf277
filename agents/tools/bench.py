"""Tools on the agent's own station: exploration with seeds of its own, and what is left of it."""

from agents.desk import Desk
from agents.git.command import GitFailed
from agents.git.workspace import Workspace
from agents.tools import calls as t
from agents.tools.tree import on_thread
from agents.view import BatchView
from robots.station.archive import ArchiveRefused, check, sha256
from robots.wire import codec
from robots.wire.client import Refused, Unreachable
from robots.wire.commands import GetEpisode, GetFrames, StartBatch
from robots.wire.events import ExplorationFinished
from robots.wire.records import Purpose, RecipeArchive
from robots.wire.station_replies import EpisodeEvidence, EpisodeFrames

REQUEST_TIMEOUT_S = 10.0
# A station draws pictures beside its work; the first of a task takes it longest.
FRAMES_TIMEOUT_S = 30.0

# A batch may wait behind sealed ones of other agents, or out a hold by an operator.
BATCH_TIMEOUT_S = 3600.0
AGAIN_S = 5.0
MAX_EPISODES = 200

# Refusals of a station that pass by themselves.
_PASSING = ("busy", "queue_full", "deadline", "incarnation", "full", "held", "quarantined", "grant")


class Bench:
    """Exploration on the agent's station."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._running = 0

    async def explore(self, call: t.Explore) -> t.Explored:
        """Have a batch run; a batch that the station knows is waited for, not run again."""
        desk = self._desk
        if call.idea_id not in desk.log.ideas:
            raise t.ToolRefused(f"unknown_idea: {call.idea_id}; open it first")
        if not 0 < len(call.seeds) <= MAX_EPISODES:
            raise t.ToolRefused(f"invalid: {len(call.seeds)} seeds; 1 to {MAX_EPISODES} a batch")
        batch_id = f"{call.idea_id}/x{call.number}"
        limit_s = desk.settings.robot_minutes * 60
        if limit_s and desk.log.robot_s >= limit_s and batch_id not in desk.log.calls:
            raise t.ToolRefused(f"budget: {desk.settings.robot_minutes:g} robot minutes are used")
        desk.call(
            batch_id, "explore", f"{len(call.seeds)} episodes of a change of {call.base[:10]}"
        )
        recipe = await self._recipe(call)
        command = StartBatch(
            batch_id=batch_id,
            purpose=Purpose.EXPLORE,
            commit=f"{call.base}+",
            recipe=recipe,
            idea_id=call.idea_id,
            episodes=len(call.seeds),
            seeds=call.seeds,
            record=call.record,
        )
        self._running += 1
        desk.set_state("EXPLORING", batch_id)
        try:
            batch = await self.finish(command)
        finally:
            self._running -= 1
            if not self._running and not desk.log.paused:
                desk.set_state("THINKING")
        return self._report(batch, call.idea_id)

    async def episode(self, batch_id: str, index: int) -> str:
        """The sparse course of an explored episode, as text."""
        try:
            body = await self._desk.station.request(
                GetEpisode(batch_id=batch_id, index=index), REQUEST_TIMEOUT_S
            )
        except (Refused, Unreachable) as refused:
            raise t.ToolRefused(f"no_episode: {refused}") from None
        found = codec.decode(body, EpisodeEvidence)
        lines = [f"{found.episode.outcome.value}: {found.episode.reason}"]
        for row in found.trace:
            told = (f"{key}={[round(v, 4) for v in values]}" for key, values in row.values.items())
            lines.append(" ".join(told))
        return "\n".join(lines)

    async def frames(self, asked: GetFrames) -> EpisodeFrames:
        """Pictures of an explored episode."""
        try:
            body = await self._desk.station.request(asked, FRAMES_TIMEOUT_S)
        except Refused as refused:
            raise t.ToolRefused(refused.reason) from None
        except Unreachable as away:
            raise t.ToolRefused(f"no_frames: {away}") from None
        return codec.decode(body, EpisodeFrames)

    async def finish(self, command: StartBatch) -> BatchView:
        """Start a batch, however often the station must be asked, and wait for its end.

        Raises:
            ToolRefused: The station refuses it for good, or it does not end.
        """
        desk, batch_id = self._desk, command.batch_id
        deadline_s = desk.clock.monotonic() + BATCH_TIMEOUT_S
        while desk.clock.monotonic() < deadline_s:
            batch = desk.bench.batch(batch_id)
            if batch is not None and batch.finished:
                return batch
            if desk.stop.is_set() or desk.run.ended:
                raise t.ToolRefused("run_ended: nothing more is explored")
            if batch is None:
                await self._start(command)
            await desk.wait_until(lambda: self._news(batch_id), AGAIN_S)
        raise t.ToolRefused(f"lost: {batch_id} did not end within {BATCH_TIMEOUT_S:.0f} s")

    def budget(self) -> t.Budget:
        """Ideas and robot minutes that may still be spent."""
        desk = self._desk
        ideas, minutes = desk.settings.max_ideas, desk.settings.robot_minutes
        return t.Budget(
            ideas=max(0, ideas - len(desk.log.ideas)) if ideas else None,
            robot_minutes=max(0.0, minutes - desk.log.robot_s / 60) if minutes else None,
        )

    def _news(self, batch_id: str) -> bool:
        batch = self._desk.bench.batch(batch_id)
        return bool(self._desk.run.ended) or (batch is not None and batch.finished)

    async def _start(self, command: StartBatch) -> None:
        """Ask the station once; the same id starts one batch however often it arrives."""
        try:
            await self._desk.station.request(command, REQUEST_TIMEOUT_S)
        except Unreachable:
            return
        except Refused as refused:
            if not refused.reason.startswith(_PASSING):
                raise t.ToolRefused(refused.reason) from refused

    async def _recipe(self, call: t.Explore) -> RecipeArchive:
        files = call.files
        if files is None:
            workspace = self._desk.workspace
            if workspace is None:
                raise t.ToolRefused("no_run: there is no clone yet")
            files = await on_thread(_recipe_files, workspace)
        archive = RecipeArchive(files=files, sha256=sha256(files))
        try:
            check(archive)
        except ArchiveRefused as refused:
            raise t.ToolRefused(f"invalid: {refused}") from refused
        return archive

    def _report(self, batch: BatchView, idea_id: str) -> t.Explored:
        desk = self._desk
        if batch.batch_id not in desk.log.explored:
            robot_s = sum(episode.robot_s + episode.reset_s for episode in batch.episodes)
            desk.record(
                ExplorationFinished(
                    idea_id=idea_id, batch_id=batch.batch_id, counts=batch.counts, robot_s=robot_s
                ),
                durable=False,
            )
        return t.Explored(
            batch_id=batch.batch_id,
            episodes=tuple(sorted(batch.episodes, key=lambda episode: episode.index)),
            counts=batch.counts,
            void=batch.void,
            void_reason=batch.void_reason,
        )


def _recipe_files(workspace: Workspace) -> dict[str, bytes]:
    files = workspace.read()
    recipe = {
        path.removeprefix("recipe/"): content
        for path, content in files.items()
        if path.startswith("recipe/")
    }
    if not recipe:
        raise GitFailed("the working tree has no recipe folder")
    return recipe
