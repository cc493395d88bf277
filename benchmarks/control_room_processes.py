"""The processes that `benchmarks.control_room` measures, one function each.

`python -m benchmarks.control_room_processes ROLE HOME [REPORT]`. `fleet` stands for 64 stations and
their supervisor over the real wire; `room` is the control room on it, `table` the same rows in
Textual's DataTable, `session` a long session folded as fast as it goes. What is measured from inside goes to REPORT when the process is told to end
(SIGTERM).
"""

import asyncio
import json
import math
import resource
import signal
import sys
import time
from pathlib import Path

from enpire_tui.run_spec import RunSpec, read_spec
from enpire_tui.supervisor.budgets import Budget
from robots.wire import commands as c
from robots.wire import events as ev
from robots.wire.clock import SystemClock
from robots.wire.endpoints import telemetry_endpoint
from robots.wire.keys import load_keypair
from robots.wire.reception import Peer, Refused
from robots.wire.records import Counts, Episode, Mode, Outcome, Purpose, RecipeArchive
from robots.wire.rows import Row
from robots.wire.telemetry import StationTelemetry, TelemetryPublisher
from robots.wire.transport import ZmqTransport
from tests.robots.wire.memory import MemoryJournal

STATIONS = 64
RATE_HZ = 10.0
EPISODE_S = 2.0
GROUPS = 10  # Stations take turns within a period, as 64 machines would.
WATCH_S = 0.005
SESSION_MOMENTS, SESSION_BATCHES, BATCH_ROWS = 20, 60, 12
RECIPE = RecipeArchive(files={"recipe.toml": b'regime = "heuristic"\n'}, sha256="0" * 64)


def spec() -> RunSpec:
    """The run of the fleet that is shown."""
    return RunSpec(
        run_id="r-bench",
        task="push_t",
        seed=0,
        backend="search",
        stations=tuple(f"s{number}" for number in range(1, STATIONS + 1)),
        agents=(),
        agent_of={},
        trusted={},
        budget=Budget(minutes=15.0),
        baseline_commit="c0",
        baseline=RECIPE,
        simulated=True,
    )


# --- the fleet --------------------------------------------------------------------------------


class Station:
    """Publishes telemetry and journals episodes; it has no robot."""

    def __init__(self, home: Path, name: str, phase: int) -> None:
        clock = SystemClock()
        self.name, self.phase = name, phase
        self.journal = MemoryJournal(clock)
        self.server = ZmqTransport(home, clock).server(name, self.journal, refuse)
        self.home = home
        self.publisher: TelemetryPublisher | None = None

    async def start(self) -> None:
        await self.server.start()
        self.publisher = TelemetryPublisher(
            self.name,
            telemetry_endpoint(self.home, self.name),
            load_keypair(self.home, self.name),
            self.server.gate,
        )
        self.publisher.start()
        accepted = ev.BatchAccepted(
            batch_id=f"{self.name}/b",
            purpose=Purpose.EVALUATE,
            commit="c0",
            idea_id="baseline",
            recipe=RECIPE,
            episodes=10_000,
            seeds=None,
            stop_at_failure=False,
            record=False,
            requested_by="supervisor",
        )
        self.journal.append(accepted, durable=False)

    def tick(self, number: int) -> None:
        """A tenth of a second of this station's life."""
        at_s = number / RATE_HZ
        done, moving_s = divmod(at_s + self.phase * 0.13, EPISODE_S)
        assert self.publisher is not None
        self.publisher.publish(
            StationTelemetry(
                station=self.name,
                word="EXECUTING",
                mode="autonomous",
                batch_id=f"{self.name}/b",
                purpose="evaluate",
                idea_id="baseline",
                episode=int(done),
                done=int(done),
                of=10_000,
                robot_s=moving_s * 8,
                grant_s=150.0,
                pose=(0.2 * math.sin(at_s), 0.1 * math.cos(at_s), 0.0, 0.0, 0.5),
            )
        )
        if moving_s < 1.0 / RATE_HZ:
            outcome = Outcome.SUCCESS if (done + self.phase) % 3 else Outcome.FAILURE
            episode = Episode(index=int(done), outcome=outcome, reason="verified", robot_s=12.0)
            finished = ev.EpisodeFinished(batch_id=f"{self.name}/b", episode=episode)
            self.journal.append(finished, durable=False)
            started = ev.EpisodeStarted(batch_id=f"{self.name}/b", index=int(done) + 1, number=0)
            self.journal.append(started, durable=False)


async def refuse(command: c.AnyCommand, peer: Peer) -> None:
    raise Refused(f"{peer.name} asked a fleet without robots for {type(command).__name__}")


async def fleet(home: Path) -> None:
    """64 stations and a supervisor."""
    run = spec()
    journal = MemoryJournal(SystemClock())
    supervisor = ZmqTransport(home, SystemClock()).server("supervisor", journal, refuse)
    await supervisor.start()
    begun = ev.RunStarted(
        run_id=run.run_id,
        task=run.task,
        stations=run.stations,
        agents=(),
        backend=run.backend,
        seed=0,
        baseline_commit="c0",
        baseline=RECIPE,
        minutes=15.0,
        simulated=True,
        unsandboxed=False,
    )
    journal.append(begun, durable=False)
    journal.append(ev.ModeChanged(mode=Mode.AUTONOMOUS, by="operator"), durable=False)
    stations = [Station(home, name, number) for number, name in enumerate(run.stations)]
    for station in stations:
        await station.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    number, due_s = 0, time.monotonic()
    while True:
        group = number % GROUPS
        for station in stations[group::GROUPS]:
            station.tick(number // GROUPS)
        number += 1
        due_s += 1.0 / (RATE_HZ * GROUPS)
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))


# --- what is measured -------------------------------------------------------------------------


class Watch:
    """Measures its process from inside: processor time, and how late the event loop is."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._late_s: list[float] = []
        self._cpu_s = self._began_s = 0.0

    async def run(self) -> None:
        """Wakes every 5 ms until SIGTERM; the first SIGUSR1 begins the measurement."""
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, over.set)
        loop.add_signal_handler(signal.SIGUSR1, self._begin)
        while not over.is_set():
            asleep_s = time.monotonic()
            await asyncio.sleep(WATCH_S)
            self._late_s.append(time.monotonic() - asleep_s - WATCH_S)
        wall_s = time.monotonic() - self._began_s
        text = json.dumps(
            {"cpu": (cpu_s() - self._cpu_s) / wall_s, "wall_s": wall_s, "late_s": self._late_s}
        )
        await asyncio.to_thread(self._report.write_text, text)

    def _begin(self) -> None:
        self._late_s.clear()
        self._cpu_s, self._began_s = cpu_s(), time.monotonic()


def cpu_s() -> float:
    """Processor seconds of this process, its threads among them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def room(home: Path, report: Path) -> None:
    """The control room."""
    from enpire_tui.room.app import RoomApp
    from enpire_tui.room.feed import connect

    class Measured(RoomApp):
        def on_ready(self) -> None:
            self.run_worker(watched(self), name="watch")

    async def watched(app: RoomApp) -> None:
        await Watch(report).run()
        app.act("detach")

    # What reads the journals is made inside the event loop's thread, before the app begins.
    Measured(feed=connect(home, read_spec(home), SystemClock())).run()


def table(home: Path, report: Path) -> None:
    """The same rows, from the same feed, in a DataTable."""
    from textual.app import App, ComposeResult
    from textual.widgets import DataTable

    from enpire_tui.room.app import LOCAL_HZ
    from enpire_tui.room.feed import connect
    from enpire_tui.room.views import fleet as views

    feed = connect(home, read_spec(home), SystemClock())

    class TableApp(App[None]):
        def __init__(self) -> None:
            super().__init__()
            self.cells: dict[tuple[str, str], str] = {}

        def compose(self) -> ComposeResult:
            yield DataTable(cursor_type="row")

        def on_mount(self) -> None:
            shown = self.query_one(DataTable)
            for column, _ in views.shown(views.COLUMNS, self.size.width, len(views.GAP)):
                shown.add_column(column.name, key=column.name)
            for name in feed.state.stations:
                shown.add_row(
                    *("" for _ in views.shown(views.COLUMNS, self.size.width, len(views.GAP))),
                    key=name,
                )
            self.run_worker(feed.run(lambda: None))
            self.run_worker(self.watched())
            self.set_interval(1 / LOCAL_HZ, self.paint)

        async def watched(self) -> None:
            await Watch(report).run()
            self.exit()

        def paint(self) -> None:
            shown, moment = self.query_one(DataTable), feed.moment()
            for name, line in views.rows(moment, self.size.width):
                for (column, _), (text, _tone) in zip(
                    views.shown(views.COLUMNS, self.size.width, len(views.GAP)), line, strict=True
                ):
                    if self.cells.get((name, column.name)) != text:
                        self.cells[name, column.name] = text
                        shown.update_cell(name, column.name, text)

    TableApp().run()


def session(home: Path, report: Path) -> None:
    """A long session, as fast as it folds: what it holds in memory, at twenty moments."""
    from enpire_tui.room.moment import Moment
    from enpire_tui.room.state import RoomState
    from enpire_tui.room.views import fleet as views

    state = RoomState(read_spec(home))
    held: list[int] = []
    for moment in range(SESSION_MOMENTS):
        for number in range(moment * SESSION_BATCHES, (moment + 1) * SESSION_BATCHES):
            for name in state.stations:
                for seq, event in enumerate(batch(name, number), 1 + number * BATCH_ROWS):
                    at_s = seq * EPISODE_S / 2
                    state.apply(name, Row(seq, at_s, type(event).__name__, event))
            views.rows(Moment(state, {}, at_s, ""), 160)
        held.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())
    told = {"rows": state.version, "session_s": at_s, "resident_bytes": held}
    report.write_text(json.dumps(told))


def batch(station: str, number: int) -> tuple[ev.AnyEvent, ...]:
    """A batch of five episodes as a station's journal tells it."""
    name = f"r/i{number}/screen/{station}"
    accepted = ev.BatchAccepted(
        batch_id=name,
        purpose=Purpose.EVALUATE,
        commit=f"{number:040x}",
        idea_id=f"i{number}",
        recipe=RECIPE,
        episodes=5,
        seeds=None,
        stop_at_failure=False,
        record=False,
        requested_by="supervisor",
    )
    episodes: list[ev.AnyEvent] = []
    for index in range(5):
        episode = Episode(index=index, outcome=Outcome.SUCCESS, reason="verified", robot_s=12.0)
        episodes.append(ev.EpisodeStarted(batch_id=name, index=index, number=0))
        episodes.append(ev.EpisodeFinished(batch_id=name, episode=episode))
    finished = ev.BatchFinished(
        batch_id=name,
        purpose=Purpose.EVALUATE,
        commit=accepted.commit,
        idea_id=accepted.idea_id,
        counts=Counts(success=5),
        void=False,
        void_reason="",
        seconds=10.0,
        ledger_sha256=f"{number:064x}",
    )
    return accepted, *episodes, finished


def main() -> None:
    role, home = sys.argv[1], Path(sys.argv[2])
    match role:
        case "fleet":
            asyncio.run(fleet(home))
        case "room":
            room(home, Path(sys.argv[3]))
        case "session":
            session(home, Path(sys.argv[3]))
        case _:
            table(home, Path(sys.argv[3]))


if __name__ == "__main__":
    main()
