"""The run's heart: appends what is due, one decision after the other, and folds it.

It has no socket and waits for nothing. `advance` is called whenever something may have changed, and
looks only at the folded state and at what the stations' journals tell; killed between any two
appends, its successor replays the journal and goes on with the next.
"""

from collections.abc import Callable

from enpire_tui.run_spec import RunSpec
from enpire_tui.supervisor import budgets, metrics, queue, selection, station_fold
from enpire_tui.supervisor import confirm as confirms
from enpire_tui.supervisor import state as folding
from enpire_tui.supervisor.confirm import WishKind
from enpire_tui.supervisor.state import BASELINE, RunState
from enpire_tui.supervisor.station_fold import StationFold
from robots.wire import events as ev
from robots.wire.clock import Clock
from robots.wire.journal import Journal, replay
from robots.wire.records import Counts, Mode, Outcome, StationFigures, TokenCounts

ONLINE, LOST = "ONLINE", "LOST"

# A station that may not work for so long gives its batches back.
PATIENCE_S = 60.0
# When none may, for so long, the run has failed.
HELPLESS_S = 180.0
# A longer gap between two supervisors is a pause of the run, not research time.
LONGEST_GAP_S = 60.0
# Seconds a confirm is expected to take before any episode was timed.
FIRST_CONFIRM_S = 60.0
# Fresh workers, counting and signing, a confirm.
CONFIRM_OVERHEAD_S = 5.0


class Conductor:
    """The run of one home.

    Args:
        entropy: Random bytes for the seeds of a confirm, by number of bytes.
        boot_id: Identity of this boot, within which monotonic clocks compare.
    """

    def __init__(
        self,
        spec: RunSpec,
        journal: Journal,
        clock: Clock,
        *,
        entropy: Callable[[int], bytes],
        boot_id: str,
        rule: selection.Rule = selection.DEFAULT_RULE,
        confirm_rule: confirms.ConfirmRule = confirms.DEFAULT_CONFIRM,
    ) -> None:
        self.spec = spec
        self.rule = rule
        self.confirm_rule = confirm_rule
        self.state = RunState()
        self.tokens = TokenCounts()
        self.folds = {
            name: StationFold(name, StationFigures(station=name)) for name in spec.stations
        }
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._boot_id = boot_id
        self._idle_since_s: dict[str, float] = {}
        for row in replay(journal):
            folding.apply(self.state, row.seq, row.event)
        self._base_elapsed_s, self._base_monotonic_s = self._resumed()

    # --- the journal --------------------------------------------------------------------------

    def append(self, event: ev.AnyEvent, *, durable: bool = True) -> int:
        """Appends an event and folds it; a decision is on the disk before this returns."""
        seq = self._journal.append(event, durable=durable)
        folding.apply(self.state, seq, event)
        if isinstance(event, ev.RunStarted):
            self._base_elapsed_s, self._base_monotonic_s = 0.0, self._clock.monotonic()
        return seq

    def _resumed(self) -> tuple[float, float]:
        """Research seconds and monotonic clock to go on from."""
        now = self._clock.monotonic()
        gap = now - self.state.monotonic_s if self.state.boot_id == self._boot_id else 0.0
        counted = gap if 0.0 <= gap <= LONGEST_GAP_S else 0.0
        return self.state.elapsed_s + counted, now

    # --- what is known ------------------------------------------------------------------------

    def elapsed_s(self) -> float:
        """Research seconds of the run."""
        if self.state.run is None:
            return 0.0
        if self.state.ended is not None:
            return self.state.ended.seconds
        return self._base_elapsed_s + self._clock.monotonic() - self._base_monotonic_s

    def link(self, station: str) -> str:
        """ONLINE or LOST; a station never seen is lost."""
        return self.state.links.get(station, LOST)

    def ready(self, station: str) -> bool:
        """Whether a station can take work."""
        word = self.folds[station].word
        blocked = word in (station_fold.HELD, station_fold.QUARANTINED)
        return self.link(station) == ONLINE and not blocked

    def loads(self) -> tuple[queue.StationLoad, ...]:
        """What every station has to do."""
        return tuple(
            queue.StationLoad(
                station=name,
                ready=self.ready(name),
                sealed_left=sum(
                    max(0, batch.episodes - fold.done_of(batch.batch_id))
                    for batch in self.state.open_batches(name)
                ),
                explore_open=fold.explore_open,
            )
            for name, fold in self.folds.items()
        )

    def confirm_seconds(self) -> float:
        """Expected wall seconds of one confirm, from the episodes timed so far."""
        figures = [fold.figures for fold in self.folds.values()]
        episodes = sum(each.episodes for each in figures)
        if not episodes:
            return FIRST_CONFIRM_S
        mean_s = sum(each.busy_s for each in figures) / episodes
        largest = -(-self.confirm_rule.length // max(1, len(figures)))
        # A station finishes the batch it is at before the confirm's share; half of it, on average.
        return mean_s * (largest + self.rule.promote_batch / 2) + CONFIRM_OVERHEAD_S

    def renew_fold(self, station: str) -> StationFold:
        """Begins a station's fold anew, after its journal was replaced by a fresh one."""
        self.folds[station] = StationFold(station, StationFigures(station=station))
        return self.folds[station]

    def seen(self, station: str, link: str, detail: str = "") -> None:
        """Notes that a station's link changed."""
        if self.link(station) != link:
            self.append(ev.StationSeen(station=station, state=link, detail=detail), durable=False)

    def measure(self) -> None:
        """Journals the run's clock and figures, from which a successor goes on."""
        if self.state.running:
            self.append(self._measured(), durable=False)

    def _measured(self) -> ev.FleetMeasured:
        return ev.FleetMeasured(
            elapsed_s=self.elapsed_s(),
            monotonic_s=self._clock.monotonic(),
            boot_id=self._boot_id,
            stations=tuple(fold.figures for fold in self.folds.values()),
            tokens=self.tokens,
        )

    # --- decisions ----------------------------------------------------------------------------

    def start_run(self) -> None:
        """Begins the run of the spec."""
        spec = self.spec
        self.append(
            ev.RunStarted(
                run_id=spec.run_id,
                task=spec.task,
                stations=spec.stations,
                agents=spec.agents,
                backend=spec.backend,
                seed=spec.seed,
                baseline_commit=spec.baseline_commit,
                baseline=spec.baseline,
                minutes=spec.budget.minutes,
                simulated=spec.simulated,
                unsandboxed=spec.unsandboxed,
            )
        )

    def advance(self) -> bool:
        """Appends everything that is due; whether anything was."""
        before = self._journal.last_seq
        while self.state.running and self._step():
            pass
        return self._journal.last_seq != before

    def _step(self) -> bool:
        due = (
            self._end_due()
            or self._confirm_due()
            or self._champion_due()
            or queue.unwanted(self.state)
            or self._stranded()
            or queue.decide(self.state, self.rule)
            or self._work_due()
        )
        for event in due:
            self.append(event)
        return bool(due)

    def _end_due(self) -> tuple[ev.AnyEvent, ...]:
        state = self.state
        last = state.confirms[-1] if state.confirms else None
        if last is not None and last.outcome is Outcome.SUCCESS:
            if state.champion != last.idea_id:
                return ()
            return self._ended("success", f"confirm {last.number}: {last.success} in a row")
        if self._helpless():
            return self._abandoned() or self._ended("failed", "no station could work")
        if state.stop_reason:
            return self._abandoned() or self._ended("stopped", state.stop_reason)
        spent = budgets.spent(self.spec.budget, state, self.elapsed_s())
        if spent:
            return self._abandoned() or self._ended("budget", spent)
        return ()

    def _helpless(self) -> bool:
        """Whether for long no station could work, for reasons no operator is behind."""
        now = self._clock.monotonic()
        words = {self.folds[name].word for name in self.folds}
        if station_fold.HELD in words or len(self._idle_since_s) < len(self.folds):
            return False
        return all(now - since >= HELPLESS_S for since in self._idle_since_s.values())

    def _abandoned(self) -> tuple[ev.AnyEvent, ...]:
        """A confirm that the run's end cuts short is void, visibly."""
        confirm = self.state.confirming
        if confirm is None:
            return ()
        outcome = confirms.outcome_of(confirm, self.confirm_rule) or Outcome.VOID
        return (_confirm_finished(confirm, outcome),)

    def _ended(self, outcome: str, reason: str) -> tuple[ev.AnyEvent, ...]:
        state, elapsed_s = self.state, self.elapsed_s()
        champion = state.candidates[state.champion]
        tally = champion.fresh
        last = state.confirms[-1] if state.confirms else None
        mtu = metrics.token_utilisation(self.tokens, elapsed_s)
        figures = tuple(fold.figures for fold in self.folds.values())
        ended = ev.RunEnded(
            outcome=outcome,
            seconds=elapsed_s,
            champion=champion.idea.commit,
            confirm=last.counts if last is not None else Counts(),
            confirms_failed=sum(1 for each in state.confirms if each.outcome is Outcome.FAILURE),
            mru=metrics.robot_utilisation(figures, elapsed_s),
            gpu_utilisation=metrics.gpu_utilisation((), elapsed_s),
            mtu={"uncached": mtu.uncached, "total": mtu.total},
            tokens={
                "fresh_input": self.tokens.fresh_input,
                "cached_input": self.tokens.cached_input,
                "output": self.tokens.output,
                "reasoning": self.tokens.reasoning,
            },
            ideas=budgets.ideas(state),
            adopted=len(state.adopted),
            reason=reason,
            champion_rate=tally.rate,
            champion_interval=selection.wilson_interval(tally),
        )
        return (self._measured(), ended)

    def _confirm_due(self) -> tuple[ev.AnyEvent, ...]:
        confirm = self.state.confirming
        if confirm is None:
            return ()
        outcome = confirms.outcome_of(confirm, self.confirm_rule)
        return () if outcome is None else (_confirm_finished(confirm, outcome),)

    def _champion_due(self) -> tuple[ev.AnyEvent, ...]:
        """The announcement that an adoption, or a confirm of another idea, calls for."""
        state = self.state
        last = state.confirms[-1] if state.confirms else None
        wanted = state.adopted[-1] if state.adopted else BASELINE
        if last is not None and last.outcome is Outcome.SUCCESS:
            wanted = last.idea_id
        if wanted == state.champion:
            return ()
        idea = state.candidates[wanted]
        return (
            ev.ChampionChanged(
                idea_id=wanted,
                commit=idea.idea.commit,
                agent=idea.idea.agent,
                success=idea.fresh.success,
                episodes=idea.fresh.episodes,
                rate=idea.fresh.rate,
                interval=selection.wilson_interval(idea.fresh),
                gain=idea.fresh.rate - state.champion_tally().rate,
            ),
        )

    def _stranded(self) -> tuple[ev.AnyEvent, ...]:
        """Withdrawals of batches whose station has not been able to work for long."""
        now = self._clock.monotonic()
        gone: list[ev.AnyEvent] = []
        for name in self.folds:
            if self.ready(name):
                self._idle_since_s.pop(name, None)
                continue
            since = self._idle_since_s.setdefault(name, now)
            if now - since < PATIENCE_S:
                continue
            word = LOST if self.link(name) == LOST else self.folds[name].word
            gone += [
                ev.BatchWithdrawn(
                    batch_id=batch.batch_id, station=name, reason=f"station {word.lower()}"
                )
                for batch in self.state.open_batches(name)
            ]
        return tuple(gone)

    def _work_due(self) -> tuple[ev.AnyEvent, ...]:
        state = self.state
        if state.mode is not Mode.AUTONOMOUS or state.held_by:
            return ()
        left_s = budgets.left_s(self.spec.budget, self.elapsed_s())
        wish = confirms.wish(state, left_s, self.confirm_seconds(), self.confirm_rule)
        if wish.kind is WishKind.START and any(self.ready(name) for name in self.folds):
            candidate = state.candidates[wish.idea_id]
            return (
                ev.ConfirmStarted(
                    confirm=len(state.confirms) + 1,
                    idea_id=wish.idea_id,
                    commit=candidate.idea.commit,
                    seeds=confirms.fixed_seeds(self._entropy(32), self.confirm_rule.length),
                ),
            )
        return queue.plan(state, self.loads(), wish, self.rule)


def _confirm_finished(confirm: folding.Confirm, outcome: Outcome) -> ev.ConfirmFinished:
    return ev.ConfirmFinished(
        confirm=confirm.number,
        idea_id=confirm.idea_id,
        outcome=outcome,
        counts=confirm.counts,
    )
