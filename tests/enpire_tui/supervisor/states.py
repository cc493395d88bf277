"""Builds folded run states event by event, as the journal would."""

from enpire_tui.supervisor.state import CONFIRM, RunState, apply, batch_id_of
from robots.wire import events as ev
from robots.wire.records import Counts, Mode, Outcome, Purpose
from tests.enpire_tui.fakes import idea, recipe, spec_of


class Story:
    """A run's journal in the making."""

    def __init__(self, stations: int = 4, baseline: tuple[int, int] = (30, 70)) -> None:
        self.events: list[ev.AnyEvent] = []
        self.state = RunState()
        spec = spec_of(stations)
        self.tell(
            ev.RunStarted(
                run_id=spec.run_id,
                task=spec.task,
                stations=spec.stations,
                agents=spec.agents,
                backend="search",
                seed=0,
                baseline_commit=spec.baseline_commit,
                baseline=spec.baseline,
                minutes=10.0,
                simulated=True,
                unsandboxed=False,
            ),
            ev.ModeChanged(mode=Mode.AUTONOMOUS, by="operator"),
            *(ev.StationSeen(station=name, state="ONLINE") for name in spec.stations),
        )
        if sum(baseline):
            self.counted("baseline", "measure", *baseline)

    def tell(self, *events: ev.AnyEvent) -> None:
        for event in events:
            self.events.append(event)
            apply(self.state, len(self.events), event)

    def queued(self, idea_id: str, agent: str = "a1", rate: float = 0.5) -> None:
        self.tell(
            ev.CandidateQueued(
                idea=idea(idea_id, agent), recipe=recipe(rate, idea_id), fingerprint=idea_id
            )
        )

    def dispatched(
        self, idea_id: str, stage: str, episodes: int, station: str = "s1", seeds=None, number=None
    ) -> str:
        label = stage
        if stage == CONFIRM:
            label = f"confirm{self.state.confirms[-1].number}"
        count = number or 1 + sum(
            1 for each in self.state.batches if f"/{idea_id}/{label}/" in each
        )
        batch_id = batch_id_of("r1", idea_id, label, count)
        self.tell(
            ev.BatchDispatched(
                batch_id=batch_id,
                station=station,
                idea_id=idea_id,
                commit=f"c-{idea_id}",
                purpose=Purpose.CONFIRM if stage == CONFIRM else Purpose.EVALUATE,
                stage=stage,
                episodes=episodes,
                seeds=seeds,
            )
        )
        return batch_id

    def counted(
        self, idea_id: str, stage: str, success: int, failure: int, void: int = 0, seeds=None
    ) -> str:
        batch_id = self.dispatched(idea_id, stage, success + failure, seeds=seeds)
        self.count(batch_id, success, failure, void)
        return batch_id

    def count(
        self, batch_id: str, success: int, failure: int, void: int = 0, *, whole_void: bool = False
    ) -> None:
        batch = self.state.batches[batch_id]
        self.tell(
            ev.BatchCounted(
                batch_id=batch_id,
                station=batch.station,
                idea_id=batch.idea_id,
                stage=batch.stage,
                counts=Counts(success=success, failure=failure, void=void),
                void=whole_void,
                robot_s=0.0,
                wall_s=0.0,
            )
        )

    def decided(self, idea_id: str, decision: str) -> None:
        self.tell(
            ev.CandidateDecided(
                idea_id=idea_id,
                decision=decision,
                success=0,
                episodes=0,
                interval=(0.0, 1.0),
                champion_rate=0.0,
                detail=decision,
            )
        )

    def champion(self, idea_id: str) -> None:
        self.tell(
            ev.ChampionChanged(
                idea_id=idea_id,
                commit=f"c-{idea_id}",
                agent="a1",
                success=0,
                episodes=0,
                rate=0.0,
                interval=(0.0, 1.0),
                gain=0.0,
            )
        )

    def adopted(self, idea_id: str, success: int, failure: int) -> None:
        self.queued(idea_id)
        self.counted(idea_id, "screen", 20, 0)
        self.decided(idea_id, "promoted")
        self.counted(idea_id, "promote", success, failure)
        self.decided(idea_id, "adopted")
        self.champion(idea_id)

    def nominated(self, idea_id: str, nomination_id: str = "n1", agent: str = "a1") -> None:
        self.tell(
            ev.CandidateNominated(
                nomination_id=nomination_id, idea_id=idea_id, agent=agent, reason="it never failed"
            )
        )

    def confirm_started(self, idea_id: str, seeds: tuple[int, ...]) -> None:
        self.tell(
            ev.ConfirmStarted(
                confirm=len(self.state.confirms) + 1,
                idea_id=idea_id,
                commit=f"c-{idea_id}",
                seeds=seeds,
            )
        )

    def confirm_finished(self, outcome: Outcome) -> None:
        last = self.state.confirms[-1]
        self.tell(
            ev.ConfirmFinished(
                confirm=last.number, idea_id=last.idea_id, outcome=outcome, counts=Counts()
            )
        )
