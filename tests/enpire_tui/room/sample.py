"""A hand-made fleet in the middle of a run, the same every time: for pictures, snapshots and folds.

Its rows go through the room's own folds; nothing of it is set by hand on the other side.
"""

import random

from enpire_tui.room.feed import Feed
from enpire_tui.room.state import RoomState
from enpire_tui.run_spec import RunSpec
from enpire_tui.supervisor.budgets import Budget
from enpire_tui.supervisor.selection import Tally, wilson_interval
from robots.station.archive import sha256
from robots.wire import events as ev
from robots.wire.clock import SystemClock
from robots.wire.records import (
    Counts,
    Episode,
    Idea,
    Mode,
    Outcome,
    Purpose,
    RecipeArchive,
    Role,
    StationFigures,
)
from robots.wire.rows import Row
from robots.wire.station_replies import CameraFrame
from robots.wire.telemetry import Seen, StationTelemetry
from tests.robots.wire.memory import MemoryTransport

START_WALL_S = 1_790_000_000.0
ELAPSED_S = 566.0
MINUTES = 15.0

FILES = {"policy.py": b"class Policy: ...\n", "recipe.toml": b'regime = "heuristic"\n'}
RECIPE = RecipeArchive(files=FILES, sha256=sha256(FILES))

# Seconds, idea, hypothesis, true rate, what became of it.
IDEAS = (
    (
        66,
        "a1-1",
        "settle_s 0.28 to 0.12: the tool waits longer than the block moves",
        0.55,
        "adopted",
    ),
    (84, "a2-1", "push_speed 0.07 to 0.11", 0.41, "discarded"),
    (97, "a3-1", "approach on an arc, so that the tool never crosses the block", 0.44, "discarded"),
    (128, "a4-1", "rank pushes by gain per second", 0.50, "discarded"),
    (171, "a2-2", "stand_off 0.015 to 0.006: shorter way to contact", 0.70, "adopted"),
    (
        226,
        "a1-2",
        "slip_length 0.04 to 0.06: the block turns about a nearer point",
        0.60,
        "discarded",
    ),
    (262, "a3-2", "dwell_s 0.22 to 0.10", 0.81, "adopted"),
    (314, "a4-2", "patience_s 2.0 to 0.6: look sooner, go back to work sooner", 0.77, "discarded"),
    (371, "a2-3", "travel_speed 0.16 to 0.34 with a lower back_off", 0.90, "adopted"),
    (428, "a1-3", "angle_weight 0.05 to 0.09 near the goal", 0.86, "discarded"),
    (471, "a3-3", "orbit_radius 0.17 to 0.14", 0.92, "promoting"),
    (502, "a4-3", "a3-2 with a finer stop_cost", 0.91, "screening"),
    (540, "a1-4", "two short pushes instead of a long one at the last centimetre", 0.9, "proposed"),
)


def spec_of(stations: int = 4) -> RunSpec:
    names = tuple(f"s{number}" for number in range(1, stations + 1))
    return RunSpec(
        run_id="r20260921-101320",
        task="push_t",
        seed=0,
        backend="search",
        stations=names,
        agents=tuple(f"a{number}" for number in range(1, stations + 1)),
        agent_of={name: f"a{name[1:]}" for name in names},
        trusted={},
        budget=Budget(minutes=MINUTES),
        baseline_commit="6b8b879c0c11",
        baseline=RECIPE,
        simulated=True,
    )


class Journals:
    """Appends rows to a state, each journal with its own running numbers."""

    def __init__(self, state: RoomState) -> None:
        self.state = state
        self._seqs: dict[str, int] = {}

    def add(self, source: str, at_s: float, event: ev.AnyEvent) -> None:
        seq = self._seqs[source] = self._seqs.get(source, 0) + 1
        row = Row(seq, START_WALL_S + at_s, type(event).__name__, event)
        self.state.apply(source, row)


def state_of(stations: int = 4) -> RoomState:
    """The fleet's state at research second 566."""
    state = RoomState(spec_of(stations))
    journals, rng = Journals(state), random.Random(7)
    _begin(journals, state)
    if stations == 4:
        _research(journals, rng)
    _measured(journals, ELAPSED_S, state)
    _stations(journals, state, rng)
    _agents(journals, state)
    return state


def _begin(journals: Journals, state: RoomState) -> None:
    spec, add = state.spec, journals.add
    for name in ("supervisor", *spec.stations, *spec.agents):
        started = ev.DaemonStarted(name=name, incarnation="i", pid=1, restarts=0, version="1")
        add(name, -20.0, started)
    for name in spec.stations:
        add("supervisor", -18.0, ev.StationSeen(station=name, state="ONLINE"))
    run = ev.RunStarted(
        run_id=spec.run_id,
        task=spec.task,
        stations=spec.stations,
        agents=spec.agents,
        backend=spec.backend,
        seed=0,
        baseline_commit=spec.baseline_commit,
        baseline=RECIPE,
        minutes=MINUTES,
        simulated=True,
        unsandboxed=False,
    )
    add("supervisor", 0.0, run)
    add("supervisor", 0.0, ev.ModeChanged(mode=Mode.AUTONOMOUS, by="operator"))


def _measured(journals: Journals, at_s: float, state: RoomState) -> None:
    figures = tuple(
        StationFigures(
            station=name,
            episodes=round(at_s * 0.62),
            busy_s=at_s * (0.86 - 0.02 * index),
            reset_s=at_s * 0.21,
            robot_s=at_s * 14.0,
        )
        for index, name in enumerate(state.spec.stations)
    )
    measured = ev.FleetMeasured(elapsed_s=at_s, monotonic_s=at_s, boot_id="b", stations=figures)
    journals.add("supervisor", at_s, measured)


def _counted(
    journals: Journals, at_s: float, idea_id: str, stage: str, number: int, tally: Tally
) -> None:
    batch_id = f"r1/{idea_id}/{stage}/{number}"
    station = f"s{number % 4 + 1}"
    dispatched = ev.BatchDispatched(
        batch_id=batch_id,
        station=station,
        idea_id=idea_id,
        commit=f"c-{idea_id}",
        purpose=Purpose.EVALUATE,
        stage=stage,
        episodes=tally.episodes,
    )
    journals.add("supervisor", at_s, dispatched)
    counted = ev.BatchCounted(
        batch_id=batch_id,
        station=station,
        idea_id=idea_id,
        stage=stage,
        counts=Counts(success=tally.success, failure=tally.failure),
        void=False,
        robot_s=100.0,
        wall_s=10.0,
    )
    journals.add("supervisor", at_s + 8.0, counted)


def _won(rng: random.Random, rate: float, episodes: int) -> Tally:
    success = round(rate * episodes + rng.uniform(-0.4, 0.4))
    return Tally(success=success, failure=episodes - success)


def _research(journals: Journals, rng: random.Random) -> None:
    _counted(journals, 2.0, "baseline", "measure", 1, Tally(success=22, failure=38))
    champion = 0.37
    for at_s, idea_id, hypothesis, rate, fate in IDEAS:
        _measured(journals, at_s, journals.state)
        agent = idea_id.split("-")[0]
        idea = Idea(
            idea_id=idea_id,
            agent=agent,
            commit=f"{sum(map(ord, idea_id)):04x}f09d21ac",
            kind="heuristic",
            hypothesis=hypothesis,
            prediction="more successes within the limit",
            parent=journals.state.run.champion,
            operator="survey",
        )
        journals.add("supervisor", at_s, ev.IdeaProposed(idea=idea, fingerprint=idea_id))
        if fate == "proposed":
            continue
        queued = ev.CandidateQueued(idea=idea, recipe=RECIPE, fingerprint=idea_id)
        journals.add("supervisor", at_s + 4, queued)
        screened = 10 if fate == "screening" else 20
        _counted(journals, at_s + 6, idea_id, "screen", 1, _won(rng, rate, screened))
        if fate == "screening":
            continue
        fresh = _won(rng, rate, 70 if fate == "promoting" else 100)
        if rate > champion - 0.05:
            decided(journals, at_s + 18, idea_id, "promoted", Tally(), champion)
            _counted(journals, at_s + 20, idea_id, "promote", 2, fresh)
        if fate in ("adopted", "discarded"):
            decided(journals, at_s + 42, idea_id, fate, fresh, champion)
        if fate == "adopted":
            champion = fresh.rate
            _measured(journals, at_s + 42, journals.state)
            change(journals, at_s + 42, idea, fresh)
    _counted(journals, 480.0, "a2-3", "measure", 5, Tally(success=54, failure=6))


def decided(
    journals: Journals, at_s: float, idea_id: str, decision: str, fresh: Tally, champion: float
) -> None:
    detail = {
        "promoted": "screen 20 of 20 done, chance to be better 0.87",
        "adopted": f"{fresh.success} of {fresh.episodes} fresh, chance to be better 0.98",
        "discarded": f"{fresh.success} of {fresh.episodes} fresh, chance to be better 0.41",
    }[decision]
    event = ev.CandidateDecided(
        idea_id=idea_id,
        decision=decision,
        success=fresh.success,
        episodes=fresh.episodes,
        interval=wilson_interval(fresh),
        champion_rate=champion,
        detail=detail,
    )
    journals.add("supervisor", at_s, event)


def change(journals: Journals, at_s: float, idea: Idea, fresh: Tally) -> None:
    event = ev.ChampionChanged(
        idea_id=idea.idea_id,
        commit=idea.commit,
        agent=idea.agent,
        success=fresh.success,
        episodes=fresh.episodes,
        rate=fresh.rate,
        interval=wilson_interval(fresh),
        gain=0.1,
    )
    journals.add("supervisor", at_s, event)


def _stations(journals: Journals, state: RoomState, rng: random.Random) -> None:
    for index, name in enumerate(state.spec.stations):
        running = f"r1/a3-3/promote/{index + 10}"
        dispatched = ev.BatchDispatched(
            batch_id=running,
            station=name,
            idea_id="a3-3",
            commit="c-a3-3",
            purpose=Purpose.EVALUATE,
            stage="promote",
            episodes=16,
        )
        if len(state.spec.stations) == 4:
            journals.add("supervisor", 539.0, dispatched)
        for number in range(70):
            outcome = Outcome.SUCCESS if rng.random() < 0.45 + number / 140 else Outcome.FAILURE
            if number == 33 + index:
                outcome = Outcome.VOID
            if number % 10 == 0:
                batch_id = running if number == 60 else f"r1/x{number}/screen/{number}"
                episodes = 10 if number < 60 else 16
                journals.add(name, 480.0 + number, accepted(batch_id, episodes))
            journals.add(
                name,
                480.0 + number,
                ev.EpisodeStarted(batch_id=batch_id, index=number % 10, number=number),
            )
            episode = Episode(
                index=number % 10,
                outcome=outcome,
                reason="verified" if outcome is Outcome.SUCCESS else "episode_limit",
                robot_s=8.0 + 7 * rng.random(),
            )
            journals.add(
                name, 480.0 + number, ev.EpisodeFinished(batch_id=batch_id, episode=episode)
            )
            if number % 10 == 9 and batch_id != running:
                journals.add(name, 480.0 + number, finished(batch_id))
        journals.add(name, 551.0, ev.EpisodeStarted(batch_id=running, index=10, number=71))
        explore = f"a{index + 1}-5/x3"
        journals.add(name, 552.0, accepted(explore, 8, Purpose.EXPLORE))
    if len(state.spec.stations) == 4:
        held = ev.StationHeld(
            reason="glove on the table (by operator)", by="operator:operator", latched=False
        )
        journals.add("s3", 553.0, held)


def accepted(batch_id: str, episodes: int, purpose: Purpose = Purpose.EVALUATE) -> ev.BatchAccepted:
    return ev.BatchAccepted(
        batch_id=batch_id,
        purpose=purpose,
        commit="c",
        idea_id=batch_id.split("/")[1]
        if purpose is Purpose.EVALUATE
        else batch_id.split("/", maxsplit=1)[0],
        recipe=RECIPE,
        episodes=episodes,
        seeds=None,
        stop_at_failure=False,
        record=False,
        requested_by="supervisor",
    )


def finished(batch_id: str) -> ev.BatchFinished:
    return ev.BatchFinished(
        batch_id=batch_id,
        purpose=Purpose.EVALUATE,
        commit="c",
        idea_id="x",
        counts=Counts(success=6, failure=4),
        void=False,
        void_reason="",
        seconds=10.0,
        ledger_sha256="",
    )


SAID = (
    ("system", "a{n} is a search agent, not a language model"),
    ("tool", "digest since 214"),
    ("result", "champion a2-3 at 90%; timeouts in 6 of the last 10 failures"),
    (
        "agent",
        "Failures of the champion: 6 timeout, 3 near_miss, 1 border. Knobs tagged timeout are worth a survey.",
    ),
    ("tool", "explore 8 episodes of a change of 41f09d21ac"),
    ("result", "a{n}-4 explored: 7 of 8"),
    (
        "agent",
        "Seven of eight on seeds of its own; the champion had five of eight on the same. Worth sealed episodes.",
    ),
    ("tool", "submit a{n}-4"),
    ("result", "a{n}-4 queued for screening"),
    ("person", "please look at the last centimetre, not at the approach"),
    ("agent", "Noted: next changes go to settle_s, stop_cost and the last push."),
)


def _agents(journals: Journals, state: RoomState) -> None:
    for index, name in enumerate(state.spec.agents):
        number = name[1:]
        at_s = 490.0 + index
        journals.add(name, at_s, ev.AgentStateChanged(state="THINKING"))
        said = [each for each in SAID if each[0] != "person" or name == "a3"]
        for turn, (role, text) in enumerate(said):
            line = ev.TranscriptLine(turn=turn, role=role, text=text.format(n=number))
            journals.add(name, at_s + 6 * turn, line)
        opened = ev.IdeaOpened(
            idea_id=f"{name}-5",
            kind="heuristic",
            hypothesis="two short pushes instead of a long one at the last centimetre",
            prediction="fewer near misses",
            parent="a2-3",
            borrowed_from="",
            operator="survey",
        )
        journals.add(name, at_s + 68, opened)
        call = ev.ToolCalled(call_id="x", tool="explore", summary=f"8 episodes of {name}-5")
        journals.add(name, at_s + 69, call)
        journals.add(
            name, at_s + 70, ev.AgentStateChanged(state="EXPLORING", detail=f"{name}-5/x3")
        )


class SampleClock(SystemClock):
    """The wall stands still; waiting works."""

    def wall(self) -> float:
        return START_WALL_S + ELAPSED_S


class SampleTelemetry:
    """One value a station."""

    def __init__(self, state: RoomState) -> None:
        self.values = {
            name: StationTelemetry(
                station=name,
                word="HELD" if state.stations[name].fold.held else "EXECUTING",
                mode="autonomous",
                batch_id=f"r1/a3-3/promote/{index + 10}",
                purpose="evaluate",
                idea_id="a3-3",
                episode=10,
                done=10,
                of=16,
                robot_s=7.4 + index,
                score=0.913,
                held=state.stations[name].fold.held,
                grant_s=141.0,
                pose=(-0.071, 0.163, -0.012 + 0.02 * index, -0.031, 0.61),
                action=(-0.07, 0.16),
            )
            for index, name in enumerate(state.spec.stations)
        }

    def drain(self) -> None:
        """Everything is there."""

    def latest(self, name: str) -> Seen[StationTelemetry] | None:
        value = self.values.get(name)
        return Seen(value, 0.05, 1) if value is not None else None

    def close(self) -> None:
        """Nothing is open."""


class SampleFeed(Feed):
    """A feed whose fleet is the sample; nobody answers it."""

    def __init__(self, stations: int = 4) -> None:
        clock, state = SampleClock(), state_of(stations)
        super().__init__(
            state.spec,
            MemoryTransport(clock, {"operator": Role.OPERATOR}),
            SampleTelemetry(state),
            clock,
        )
        self.state = state

    async def frame(self, station: str) -> CameraFrame:
        return image()


def image() -> CameraFrame:
    """A block shaped like a T beside its outline, seen from above."""
    pixels = bytearray()
    for y in range(72):
        for x in range(96):
            across, along = (x - 48) + 0.5 * (y - 34), (y - 34) - 0.5 * (x - 48)
            bar, stem = abs(along + 8) < 6 and abs(across) < 22, abs(across) < 6 and -8 < along < 22
            tool = (x - 24) ** 2 + (y - 16) ** 2 < 20
            pixels += bytes(
                (38, 70, 120) if tool else (196, 84, 58) if bar or stem else (209, 204, 196)
            )
    return CameraFrame(camera="top", width=96, height=72, rgb=bytes(pixels))
