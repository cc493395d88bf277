"""`enpire-tui demonstrate` on a terminal: picture and state on one side, keys and what they do beside.

Episodes run on a thread of their own, since they wait for keys; what they show comes back to the
event loop. A key moves the robot only while an episode waits for one.
"""

# Textual leaves the type of an app's result open in places.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from enpire_tui.cli import DONE
from enpire_tui.room import themes
from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.text import Line, fit
from enpire_tui.room.views.robot import picture
from robots.station.authority import BatchCancelled
from robots.station.demonstrating import Demonstrated, Press, Seat, View

if TYPE_CHECKING:
    from enpire_tui.demonstrate import Session

# Keys that lower and raise each number of an action, in its order.
PAIRS = (
    ("left", "right"),
    ("down", "up"),
    ("pagedown", "pageup"),
    ("left_square_bracket", "right_square_bracket"),
    ("comma", "full_stop"),
    ("k", "l"),
    ("n", "m"),
    ("home", "end"),
)
WORDS = {
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "comma": ",",
    "full_stop": ".",
    "plus": "+",
    "minus": "-",
}
# What one press moves a number by, in shares of its range.
SHARES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
MOST_ROWS = 24

STARTING, READY, RESETTING, WAITING, MOVING, JUDGING = (
    "starting the station",
    "r resets the scene and begins an episode",
    "resetting",
    "waiting for a key; the world stands still",
    "moving",
    "standing still, so that the verifier may look",
)


class DemonstrateApp(App[int]):
    """See the module.

    Attributes:
        fault: What ended the session from inside, None if nothing did.
        state: One of the words above.
        view: What was shown last, None before the first episode.
    """

    TITLE = "enpire demonstrate"
    CSS_PATH = "room.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(key, f"jog({number}, {way})", show=False, priority=True)
            for number, pair in enumerate(PAIRS)
            for key, way in zip(pair, (-1, 1), strict=True)
        ),
        Binding("r", "reset", "reset, and begin"),
        Binding("space", "wait", "let the robot stand for a press", priority=True),
        Binding("enter", "finish", "end the episode", priority=True),
        Binding("plus,equals_sign", "step(1)", "larger steps"),
        Binding("minus", "step(-1)", "smaller steps"),
        Binding("q,ctrl+c", "leave", "leave", priority=True),
    ]

    def __init__(self, session: "Session") -> None:
        super().__init__()
        self.session = session
        self.fault: Exception | None = None
        self.state = STARTING
        self.view: View | None = None
        self.said: list[str] = []
        self.share = SHARES.index(0.02)
        self._seat: Seat | None = None
        self._orders: queue.Queue[bool] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="demonstration")
        self.animation_level = "none"
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = themes.DARK

    def compose(self) -> ComposeResult:
        with Horizontal(id="body"):
            with Vertical(classes="pane", id="scene-pane"):
                yield LineList(cursor=False, id="scene").unfocusable()
            with Vertical(classes="pane", id="state-pane"):
                yield LineList(cursor=False, id="state").unfocusable()
        with Vertical(id="bottom"):
            yield LineList(cursor=False, id="keys").unfocusable()

    def on_mount(self) -> None:
        """The screen comes first; the station starts behind it."""
        spec = self.session.task.spec
        self.query_one("#scene-pane").border_title = f"{spec.name} at {self.session.station.name}"
        self._events = asyncio.get_running_loop()
        self._thread.start()
        self.paint()

    async def on_unmount(self) -> None:
        """Nobody moves the robot any more; its thread ends the episode and the station."""
        self._orders.put(False)
        if self._seat is not None:
            self._seat.leave()
        await asyncio.to_thread(self._thread.join)

    # --- keys ---

    def action_jog(self, number: int, way: int) -> None:
        """One step of one number of the action."""
        steps = self.steps
        if number < len(steps):
            move = tuple(way * step if at == number else 0.0 for at, step in enumerate(steps))
            self._press(Press(move=move))

    def action_wait(self) -> None:
        """The robot stays where it was sent, for as long as a press takes."""
        self._press(Press())

    def action_finish(self) -> None:
        """The person has done what they wanted to show."""
        self._press(Press(ends=True), JUDGING)

    def action_reset(self) -> None:
        """The next episode."""
        if self.state == READY:
            self.state = RESETTING
            self._orders.put(True)
            self.paint()

    def action_step(self, way: int) -> None:
        """Larger or smaller steps."""
        self.share = min(max(self.share + way, 0), len(SHARES) - 1)
        self.paint()

    def action_leave(self) -> None:
        """Leave; what succeeded is kept."""
        self.exit(DONE)

    @property
    def steps(self) -> list[float]:
        """What one press moves each number by, in its unit."""
        limits = self.session.task.spec.limits
        return [
            SHARES[self.share] * (high - low)
            for low, high in zip(limits.low, limits.high, strict=True)
        ]

    def _press(self, press: Press, state: str = MOVING) -> None:
        # One press, one step: a key that repeats faster than the robot moves is not queued.
        if self.state == WAITING and self._seat is not None:
            self.state = state
            self._seat.press(press)
            self.paint()

    # --- the station's thread ---

    def _work(self) -> None:
        """One episode for each order, until there is none."""
        seat: Seat | None = None
        try:
            seat = self.session.seat(self._shown_there, self._acted_there)
            self._tell(self._seated, seat)
            while self._orders.get():
                found = seat.episode()
                self._tell(self._took, found, self.session.take(found))
        except BatchCancelled:
            pass
        except Exception as fault:  # noqa: BLE001 - the process's edge of this thread: told, and left.
            self._tell(self._failed, fault)
        finally:
            if seat is not None:
                seat.close()

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        """Have the event loop take something in, if it still runs."""
        if not self._events.is_closed():
            self._events.call_soon_threadsafe(what, *arguments)

    def _shown_there(self, view: View) -> None:
        self._tell(self._see, view)

    def _acted_there(self, words: str) -> None:
        self._tell(self._hear, words)

    # --- back on the event loop ---

    def _seated(self, seat: Seat) -> None:
        self._seat = seat
        self.state = READY
        self.paint()

    def _see(self, view: View) -> None:
        self.view = view
        self.state = WAITING
        self.paint()

    def _hear(self, words: str) -> None:
        self.said.append(f"safety: {words}")
        self.paint()

    def _took(self, found: Demonstrated, kept: bool) -> None:
        episode = found.episode
        words = "kept" if kept else "not kept"
        self.said.append(f"{episode.outcome.value}: {episode.reason}; {words}")
        self.state = READY
        self.paint()

    def _failed(self, fault: Exception) -> None:
        self.fault = fault
        self.exit(DONE)

    # --- painting ---

    def paint(self) -> None:
        """Show how it stands."""
        if not self.query("#keys"):
            return
        scene, state = self.query_one("#scene", LineList), self.query_one("#state", LineList)
        if self.view is not None and self.view.frame is not None:
            frame, width = self.view.frame, max(8, scene.size.width)
            # As high as it is wide allows: two pixels a cell.
            width = min(width, max(8, scene.size.height * 2 * frame.width // frame.height))
            scene.show(lines(picture(frame, width)))
        state.show(lines(self._state_lines()))
        footer = (
            ("r", "reset"),
            ("enter", "end"),
            ("space", "stand"),
            ("+ -", "step"),
            ("q", "leave"),
        )
        spans = [
            span for key, word in footer for span in ((f" {key} ", "bold key"), (f"{word} ", ""))
        ]
        self.query_one("#keys", LineList).show(lines([tuple(spans)]))

    def _state_lines(self) -> list[Line]:
        session, view = self.session, self.view
        spec = session.task.spec
        told: list[Line] = [
            ((self.state, "bold"),),
            ((f"{session.successes} of {session.episodes} succeeded; {session.kept} kept", ""),),
            ((f"{session.output}", "dim"),),
            (),
        ]
        if view is not None:
            score = "" if view.score is None else f", the verifier's score {view.score:.2f}"
            limit = f"{view.time_s:.1f} of {spec.episode_limit_s:g} s{score}"
            told += [((limit, ""),), ()]
        unit = spec.action_unit
        told.append(((f"{spec.action_name} ({unit})" if unit else spec.action_name, "bold"),))
        for number, step in enumerate(self.steps):
            low, high = PAIRS[number] if number < len(PAIRS) else ("", "")
            keys = f"{WORDS.get(low, low)} {WORDS.get(high, high)}"
            at = "" if view is None else f"{view.target[number]:+.4f}"
            told.append(((fit(keys, 18), "bold key"), (f"{fit(at, 10)} step {step:.4f}", "")))
        told.append(())
        if view is not None:
            for key, values in view.observation.items():
                numbers = " ".join(f"{value:+.3f}" for value in values.ravel()[:8])
                told.append(((fit(key, 18), "dim"), (f" {numbers}", "")))
        told += [(), *(((words, "dim"),) for words in self.said[-6:])]
        return told
