from rich.console import Console

from enpire_tui import display
from robots.wire import events as ev
from robots.wire.records import Counts, Mode, Outcome
from robots.wire.replies import StationSummary, SupervisorStatus
from robots.wire.rows import Row
from tests.enpire_tui.fakes import spec_of
from tests.enpire_tui.supervisor.states import Story


def painted(story: Story, status: SupervisorStatus | None, width: int = 100) -> str:
    console = Console(width=width, height=40, force_terminal=False, record=True)
    shown = display.LiveDisplay(spec_of(2), console)
    for seq, event in enumerate(story.events, start=1):
        shown.row(Row(seq, 0.0, type(event).__name__, event))
    if status is not None:
        shown.status(status)
    with console.capture() as capture:
        console.print(shown.paint())
    return capture.get()


def status_of(**changes) -> SupervisorStatus:
    fields = {
        "run_id": "r1",
        "task": "push_t",
        "mode": Mode.AUTONOMOUS,
        "state": "RUNNING",
        "elapsed_s": 90.0,
        "minutes": 15.0,
        "champion": "a1-1",
        "champion_success": 90,
        "champion_episodes": 100,
        "champion_rate": 0.9,
        "champion_interval": (0.826, 0.945),
        "ideas": 3,
        "adopted": 1,
        "open_candidates": 1,
        "confirms": 0,
        "stations": (
            StationSummary(
                station="s1",
                link="ONLINE",
                word="EXECUTING",
                agent="a1",
                idea_id="a1-2",
                batch_id="b",
                purpose="evaluate",
                done=3,
                of=10,
                busy=0.5,
            ),
            StationSummary(station="s2", link="LOST", word="IDLE"),
        ),
        **changes,
    }
    return SupervisorStatus(**fields)


def test_the_display_tells_time_champion_stations_and_decisions():
    made = Story()
    made.adopted("a1-1", 90, 10)
    made.confirm_started("a1-1", (1, 2, 3))
    made.confirm_finished(Outcome.FAILURE)
    text = painted(made, status_of())
    assert "1.5 of 15 min" in text
    assert "90.0% [82.6%, 94.5%]" in text
    assert "search agent, not a language model" in text
    assert "EXECUTING" in text
    assert "3/10" in text
    assert "LOST" in text
    assert "adopted" in text
    assert "confirm 1 of a1-1: failure" in text
    assert any(block in text for block in display.BLOCKS)


def test_before_the_first_status_there_is_a_heading_only():
    assert "push_t" in painted(Story(), None)


def test_a_narrow_terminal_is_painted_too():
    assert "champion" in painted(Story(), status_of(), width=60)


def test_the_summary_shows_the_bound_beside_fifty_in_a_row():
    ended = ev.RunEnded(
        outcome="success",
        seconds=600.0,
        champion="abc",
        confirm=Counts(success=50),
        confirms_failed=1,
        mru=0.9,
        gpu_utilisation=0.0,
        mtu={},
        tokens={},
        ideas=30,
        adopted=6,
        reason="confirm 2",
        champion_rate=0.99,
        champion_interval=(0.97, 0.997),
    )
    text = display.summary(ended, display.Path("runs/r1"))
    assert "lower bound 94.2%" in text
    assert "1 confirms failed" in text
