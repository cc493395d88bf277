"""The control room's Textual app: it joins feed, screens and keys, and paints by one clock."""

# Textual leaves the type of an app's result open in places.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from enpire_tui.room import actions, themes
from enpire_tui.room.actions import BY_NAME, FLEET, TYPED, Where
from enpire_tui.room.keys import DEFAULT, Keys, rivals
from enpire_tui.room.launch import DidNotComeUp, Launch
from enpire_tui.room.palette import ActionsProvider
from enpire_tui.room.screens.starting import StartingScreen
from robots.wire.clock import Clock, SystemClock

if TYPE_CHECKING:
    # Imported when used: the first paint does not wait for the wire and the folds.
    from enpire_tui.room.bell import Bell
    from enpire_tui.room.feed import Feed
    from enpire_tui.room.moment import Moment
    from enpire_tui.room.questions import Question
    from enpire_tui.room.screens.base import RoomScreen
    from enpire_tui.room.verbs import Verbs

LOCAL_HZ, REMOTE_HZ = 10.0, 4.0
KEEPER_EVERY_S = 2.0


def remote() -> bool:
    """Whether the terminal is at the other end of SSH."""
    return bool(os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"))


class RoomApp(App[int]):
    """The control room.

    Args:
        launch: Brings the fleet up; None where `feed` is given.
        feed: Of a fleet that is up.
        keys: Which key does what.
        autonomous: Whether to hand the fleet over once it is up.
        policy: Signed policy file for that, for real drivers.
        call: Whether to ring for a person who looks elsewhere.
    """

    TITLE = "enpire"
    CSS_PATH = Path(__file__).with_name("room.tcss")
    COMMANDS: ClassVar = {ActionsProvider}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            ",".join(DEFAULT[action.name]),
            "command_palette" if action.name == "palette" else f"act('{action.name}')",
            action.title,
            id=action.name,
            # SAFETY: the fleet can be held from any screen, also from under a dialog.
            priority=action.name == "hold_fleet" or action.name in TYPED,
        )
        for action in actions.ACTIONS
    ]

    def __init__(
        self,
        launch: Launch | None = None,
        feed: "Feed | None" = None,
        keys: Keys = DEFAULT,
        clock: Clock | None = None,
        *,
        autonomous: bool = False,
        policy: Path | None = None,
        call: bool = True,
    ) -> None:
        super().__init__()
        self.keys = keys
        self.remote = remote()
        self.feed = feed
        self._launch = launch
        self._clock = clock or SystemClock()
        self._verbs: Verbs | None = None
        self._autonomous = autonomous
        self._policy = policy
        self._bell: Bell | None = None
        self._call = call
        self.fault: DidNotComeUp | None = None
        self._notice = self._standing = ""
        self._leaving = False
        self.animation_level = "none"
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = themes.DARK
        self.set_keymap({name: ",".join(wanted) for name, wanted in keys.items()})

    # --- life -------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[object]:
        """What is seen before there is a fleet to see."""
        return StartingScreen()

    def on_mount(self) -> None:
        """The first paint comes before anything is started or connected."""
        self.set_interval(1.0 / (REMOTE_HZ if self.remote else LOCAL_HZ), self.paint)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.run_worker(self._live(), name="feed", exit_on_error=True)

    async def _live(self) -> None:
        """Bring the fleet up, follow it, and hand it over if that was asked for."""
        try:
            feed = self.feed = self.feed or await self._found()
        except DidNotComeUp as fault:
            self.fault = fault
            return
        from enpire_tui.room.verbs import Verbs

        self._verbs = Verbs(feed)
        if self._call:
            from enpire_tui.room.bell import Bell

            self._bell = Bell(feed.clock.wall())
        self._install_screens()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed.run(self.paint))
            self.push_screen(FLEET)
            if self._launch is not None and self._launch.wanted is not None:
                tasks.create_task(self._watch_keeper(self._launch.wanted.home))
            if self._autonomous:
                tasks.create_task(self._hand_over(feed))

    async def _found(self) -> "Feed":
        """A feed of the fleet that was launched.

        Raises:
            DidNotComeUp: There is none.
        """
        assert self._launch is not None, "either a feed or a launch"
        spec = await self._launch.run()
        assert self._launch.wanted is not None, "it knows what it launched"
        from enpire_tui.room.feed import connect
        from robots.wire.keys import KeyFileError

        try:
            return connect(self._launch.wanted.home, spec, self._clock)
        except KeyFileError as error:
            raise DidNotComeUp(str(error), 1) from None

    async def _watch_keeper(self, home: Path) -> None:
        """Say so when somebody took the fleet down; what daemons are left are still spoken to."""
        from enpire_tui import lifecycle

        while True:
            up = await asyncio.to_thread(lifecycle.running, home)
            self._standing = "" if up else "the fleet is down: leave, and `enpire-tui` starts it"
            await asyncio.sleep(KEEPER_EVERY_S)

    async def _hand_over(self, feed: "Feed") -> None:
        from enpire_tui import headless
        from enpire_tui.control import Control
        from enpire_tui.fleet import FleetError
        from robots.wire.client import Refused, Unreachable

        assert self._launch is not None, "only what was launched is handed over"
        assert self._launch.wanted is not None, "it knows what it launched"
        self._notice = "handing over"
        try:
            async with Control(self._launch.wanted.home) as control:
                options = headless.Options(policy=self._policy)
                await headless.hand_over(control, feed.state.spec, options)
        except (Refused, Unreachable, FleetError) as error:
            feed.refuse("hand over", str(error))
        self._notice = ""

    def _install_screens(self) -> None:
        from enpire_tui.room.screens.agents import AgentsScreen
        from enpire_tui.room.screens.approval import ApprovalScreen
        from enpire_tui.room.screens.events import EventsScreen
        from enpire_tui.room.screens.fleet import FleetScreen
        from enpire_tui.room.screens.inbox import InboxScreen
        from enpire_tui.room.screens.jobs import JobsScreen
        from enpire_tui.room.screens.research import ResearchScreen
        from enpire_tui.room.screens.workspace import WorkspaceScreen

        for kind in (
            *(FleetScreen, InboxScreen, WorkspaceScreen, ResearchScreen, EventsScreen),
            *(AgentsScreen, JobsScreen, ApprovalScreen),
        ):
            self.install_screen(kind(), kind.NAME)

    # --- what screens ask -------------------------------------------------------------------

    @property
    def connected(self) -> "Feed":
        """The fleet's connections."""
        assert self.feed is not None, "screens come after the feed"
        return self.feed

    def moment(self) -> "Moment":
        """What is known now."""
        return self.connected.moment(self._notice or self._standing)

    def where(self) -> Where:
        """Where the person is."""
        screen = self.seen
        assert screen is not None, "screens come after the feed"
        return screen.where(self.moment())

    @property
    def seen(self) -> "RoomScreen | None":
        """The screen that is seen, below a dialog if one is open."""
        if self._verbs is None:
            return None
        from enpire_tui.room.screens.base import RoomScreen

        screens = (each for each in reversed(self.screen_stack) if isinstance(each, RoomScreen))
        found = next(screens, None)
        return found if found is not None and found.composed else None

    def paint(self) -> None:
        """One tick of the paint clock, or an answer that is shown at once."""
        if self._leaving or not self.screen_stack:
            return
        screen: Screen[object] = self.screen_stack[-1]
        if isinstance(screen, StartingScreen):
            self._paint_start(screen)
            return
        seen = self.seen
        if seen is not None and self.feed is not None:
            moment = self.moment()
            seen.paint(moment)
            if self._bell is not None:
                self._ring(self._bell, moment)

    def _ring(self, bell: "Bell", moment: "Moment") -> None:
        from enpire_tui.room.bell import sequence
        from enpire_tui.room.inbox import items

        for text in bell.calls(moment, items(moment)):
            self.call_out(sequence(text, os.environ))

    def call_out(self, text: str) -> None:
        """Send bell and notification to the terminal, beside what is painted."""
        if self._driver is not None:
            self._driver.write(text)

    def _paint_start(self, screen: StartingScreen) -> None:
        launch = self._launch
        if launch is None:
            screen.paint("", "", (), "")
            return
        words = launch.wanted.words if launch.wanted is not None else ""
        fault = str(self.fault) if self.fault is not None else ""
        screen.paint(words, launch.detail, launch.daemons(), fault)

    # --- actions ----------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Textual's own way out is ours."""
        self.act("detach")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Lines to type in are opened ahead of all else, but not by what is typed into one."""
        if action != "act":
            return super().check_action(action, parameters)
        name = str(parameters[0])
        if name in TYPED:
            from textual.widgets import Input

            from enpire_tui.room.screens.base import RoomScreen

            return isinstance(self.screen, RoomScreen) and not isinstance(self.focused, Input)
        seen = self.seen
        # A key that several screens have goes to whom it belongs on this one.
        return seen is None or not any(
            seen.NAME in BY_NAME[other].screens and seen.NAME not in BY_NAME[name].screens
            for key in self.keys[name]
            for other in rivals(self.keys, name, key)
        )

    def action_act(self, name: str) -> None:
        """A key of the registry was pressed."""
        self.act(name)

    def act(self, name: str) -> None:
        """Do an action of the registry, or say why not."""
        if name == "detach":
            self._leave()
            return
        screen = self.seen
        if self._verbs is None or self.feed is None or screen is None:
            return
        where = self.where()
        reason = BY_NAME[name].refusal(where)
        if reason:
            self.feed.refuse(BY_NAME[name].title, reason)
        elif hasattr(self._verbs, name):
            asked: Question | None = getattr(self._verbs, name)(where)
            if asked is not None:
                self._ask(asked)
        elif self.is_screen_installed(name.removeprefix("show_")):
            self.show(name.removeprefix("show_"), where.station)
        else:
            doer = screen if hasattr(screen, f"do_{name}") else self
            getattr(doer, f"do_{name}")()
        self.paint()

    def _leave(self) -> None:
        """Detach; whoever held the control lease gives it back."""
        if self._leaving:
            return
        self._leaving = True
        self.run_worker(self._give_back(), exit_on_error=False)

    async def _give_back(self) -> None:
        try:
            if self.feed is not None:
                await self.feed.give_back()
        finally:
            self.exit(return_code=self.fault.code if self.fault is not None else 0)

    def _ask(self, asked: "Question") -> None:
        from enpire_tui.room.screens.dialogs import Dialog

        def answered(answers: tuple[str, ...] | None) -> None:
            if answers is not None:
                asked.then(answers)
                self.paint()

        self.push_screen(Dialog(asked), answered)

    def show(self, name: str, station: str = "") -> None:
        """Go to a screen; the workspace opens on a station."""
        from enpire_tui.room.screens.workspace import WorkspaceScreen

        target = self.get_screen(name)
        if isinstance(target, WorkspaceScreen) and station:
            target.choose(station)
        if target is not self.screen:
            self.switch_screen(name)

    def do_open_approval(self) -> None:
        """The card of what the chosen station waits for."""
        where = self.where()
        pending = where.moment.station(where.station).tries.pending
        assert pending is not None, "refused before"
        self.show_approval(where.station, pending.asked.approval_id)

    def show_approval(self, station: str, approval_id: str) -> None:
        """Go to an approval's card."""
        from enpire_tui.room.screens.approval import ApprovalScreen

        target = self.get_screen(actions.APPROVAL)
        if isinstance(target, ApprovalScreen):
            target.choose(station, approval_id, self.where().screen)
        self.show(actions.APPROVAL)

    def do_show_transcripts(self) -> None:
        """Screen 6; what it needs is imported when it is first asked for."""
        if not self.is_screen_installed(actions.TRANSCRIPTS):
            from enpire_tui.room.screens.review import ReviewScreen

            wanted = self._launch.wanted if self._launch is not None else None
            screen = ReviewScreen(wanted.home if wanted is not None else None)
            self.install_screen(screen, actions.TRANSCRIPTS)
        self.show(actions.TRANSCRIPTS)

    def show_transcript(self, agent: str) -> None:
        """Screen 6, only what one agent did."""
        from enpire_tui.room.screens.review import ReviewScreen

        self.do_show_transcripts()
        target = self.get_screen(actions.TRANSCRIPTS)
        if isinstance(target, ReviewScreen):
            target.narrow_to(agent)

    def do_back(self) -> None:
        """From wherever one is to the fleet."""
        self.show(FLEET)

    def do_theme(self) -> None:
        """The next theme."""
        names = themes.NAMES
        self.theme = names[(names.index(self.theme) + 1) % len(names)]

    def do_help(self) -> None:
        """Every action with its key."""
        from enpire_tui.room.screens.dialogs import HelpScreen
        from enpire_tui.room.views import menus

        self.push_screen(HelpScreen(menus.help_lines(self.where(), self.keys, 76)))

    def do_palette(self) -> None:
        """The palette itself; there for the sake of the list."""
        self.action_command_palette()
