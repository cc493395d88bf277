"""The run in words and figures, for those who ask: pure functions of the folded state."""

from enpire_tui.supervisor import budgets, queue, selection
from enpire_tui.supervisor.conductor import Conductor
from enpire_tui.supervisor.state import Candidate, RunState
from robots.wire.records import Counts
from robots.wire.replies import Leaderboard, LeaderboardRow, StationSummary, SupervisorStatus


def status(conductor: Conductor) -> SupervisorStatus:
    """The run and its stations now."""
    state, spec = conductor.state, conductor.spec
    pooled = state.champion_tally()
    last = state.confirms[-1] if state.confirms else None
    return SupervisorStatus(
        run_id=spec.run_id,
        task=spec.task,
        mode=state.mode,
        state=state.word,
        elapsed_s=conductor.elapsed_s(),
        minutes=spec.budget.minutes,
        champion=state.champion,
        champion_success=pooled.success,
        champion_episodes=pooled.episodes,
        champion_rate=pooled.rate,
        champion_interval=selection.wilson_interval(pooled),
        ideas=budgets.ideas(state),
        adopted=len(state.adopted),
        open_candidates=queue.open_candidates(state),
        confirms=len(state.confirms),
        outcome=state.ended.outcome if state.ended is not None else "",
        unsandboxed=spec.unsandboxed,
        stations=tuple(_station(conductor, name) for name in spec.stations),
        confirm=last.counts if last is not None else Counts(),
    )


def leaderboard(state: RunState) -> Leaderboard:
    """Ideas, best lower bound first."""
    rows = sorted(
        (_row(each) for each in state.candidates.values()),
        key=lambda row: (-row.interval[0], -row.screen_success, row.idea_id),
    )
    run_id = state.run.run_id if state.run is not None else ""
    return Leaderboard(run_id=run_id, champion=state.champion, rows=tuple(rows))


def _row(candidate: Candidate) -> LeaderboardRow:
    idea, fresh = candidate.idea, candidate.fresh
    return LeaderboardRow(
        idea_id=idea.idea_id,
        agent=idea.agent,
        commit=idea.commit,
        kind=idea.kind,
        operator=idea.operator,
        parent=idea.parent,
        hypothesis=idea.hypothesis,
        state=candidate.phase,
        screen_success=candidate.screen.success,
        screen_episodes=candidate.screen.episodes,
        success=fresh.success,
        episodes=fresh.episodes,
        rate=fresh.rate,
        interval=selection.wilson_interval(fresh),
        detail=candidate.detail,
    )


def _station(conductor: Conductor, name: str) -> StationSummary:
    fold = conductor.folds[name]
    current = fold.current
    elapsed_s = conductor.elapsed_s()
    return StationSummary(
        station=name,
        link=conductor.link(name),
        word=fold.word,
        agent=conductor.spec.agent_of.get(name, ""),
        idea_id=current.idea_id if current is not None else "",
        batch_id=current.batch_id if current is not None else "",
        purpose=current.purpose.value if current is not None else "",
        done=current.done if current is not None else 0,
        of=current.episodes if current is not None else 0,
        busy=min(1.0, fold.figures.busy_s / elapsed_s) if elapsed_s > 0 else 0.0,
        approval_id=fold.asking.approval_id if fold.asking is not None else "",
    )
