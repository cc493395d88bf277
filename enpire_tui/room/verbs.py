"""What people do to the fleet, as commands to its daemons; asks first where that is due. No Textual."""

from enpire_tui.home import SUPERVISOR
from enpire_tui.room import card
from enpire_tui.room.actions import Where
from enpire_tui.room.feed import Feed
from enpire_tui.room.orders import StopKey
from enpire_tui.room.questions import Answers, Question, Watched
from enpire_tui.room.views import checklist
from enpire_tui.room.views.menus import WARNING
from robots.wire import commands as c
from robots.wire.client import Refused, Unreachable
from robots.wire.records import Mode

REASON = "operator, in the control room"

MOST_RESETS, MOST_MINUTES = 50, 120.0


class Verbs:
    """The verbs of one feed. Each sends at once and returns None, or returns what it has to ask."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._stop_key = StopKey()

    # SAFETY: stopping asks nothing, needs no lease and goes to the stations themselves; the
    # supervisor is told as well, but nothing waits for it.
    def hold_station(self, where: Where) -> None:
        """Hold one station; a second press is an emergency stop."""
        name = where.station
        if self._stop_key.press(name, self._feed.clock.monotonic()):
            self._feed.order(f"EMERGENCY STOP {name}", {name: c.EmergencyStop(reason=REASON)})
        else:
            self._feed.order(f"hold {name} (again: emergency stop)", {name: c.Hold(reason=REASON)})

    def hold_fleet(self, where: Where) -> None:
        """Hold every station; a second press is an emergency stop of all."""
        stations = where.moment.state.stations
        if self._stop_key.press("", self._feed.clock.monotonic()):
            stops = {name: c.EmergencyStop(reason=REASON) for name in stations}
            self._feed.order("EMERGENCY STOP of the fleet", stops)
            return
        holds: dict[str, c.AnyCommand] = {name: c.Hold(reason=REASON) for name in stations}
        self._feed.order("hold fleet (again: emergency stop)", holds)
        self._feed.order("mark the run held", {SUPERVISOR: c.HoldFleet(reason=REASON)})

    def release_station(self, where: Where) -> Question:
        """Let a station move again, its name typed."""
        name = where.station

        def then(answers: Answers) -> None:
            command = c.Release(station=answers[0], cause=answers[1])
            self._feed.order(f"release {name}", {name: command})

        text = f"{name} may move at once. It is {where.moment.need(name).text}. {WARNING}"
        asked = (f"type {name}", "what was wrong (for the journal)")
        return Question(f"Release {name}", text, asked, name, then)

    def release_fleet(self, where: Where) -> Question:
        """Let every station move again, the fleet's task typed."""
        word = where.moment.state.spec.task

        def then(answers: Answers) -> None:
            self._feed.order("release fleet", {SUPERVISOR: c.ReleaseFleet(cause=answers[1])})

        held = [name for name in where.moment.state.stations if where.moment.need(name).rank <= 3]
        text = f"{', '.join(held)} may move at once. {WARNING}"
        asked = (f"type {word}", "what was wrong (for the journal)")
        return Question("Release the fleet", text, asked, word, then)

    # --- authority --------------------------------------------------------------------------

    def take_lease(self, where: Where) -> Question | None:
        """Take the control lease: at once if it is free, from another by typing `take`."""
        lease = where.moment.lease

        def then(answers: Answers) -> None:
            del answers
            self._feed.order(
                f"take control from {lease.who}", {SUPERVISOR: c.TakeLease(force=True)}
            )

        if lease.free:
            self._feed.order("take control", {SUPERVISOR: c.TakeLease()})
            return None
        text = (
            f"{lease.who} commands this fleet. What {lease.who} orders after this is refused; the "
            "robots go on as they are, and anyone can stop them at any time."
        )
        return Question("Take control", text, ("type take",), "take", then)

    def hand_over(self, where: Where) -> Question:
        """Hand the fleet over to autonomy: a live checklist and a typed word."""
        stations = where.moment.state.spec.stations

        def then(answers: Answers) -> None:
            command = c.HandOver(mode=Mode.AUTONOMOUS, word=answers[0])
            self._feed.order("hand over", {SUPERVISOR: command})

        async def watch() -> Watched:
            try:
                found = await self._feed.checklist()
            except (Refused, Unreachable) as fault:
                return Watched([], f"the supervisor told no checklist: {fault}")
            return Watched(checklist.lines(found), checklist.objection(found), found.word)

        text = (
            f"{', '.join(stations)}: every motion without a question before it, until the run ends "
            "or somebody stops it."
        )
        return Question("Hand over to autonomy", text, ("the word",), "", then, watch)

    def take_back(self, where: Where) -> None:
        """Back to setup, at once."""
        del where
        self._feed.order("back to setup", {SUPERVISOR: c.HandOver(mode=Mode.SETUP)})

    # SAFETY: what is approved is what was painted; keys that came too soon are not answers.
    def approve(self, where: Where) -> None:
        """Let the robot move once, as the card shows."""
        shown = self._settled("approve", where)
        if shown is not None:
            self._answer(f"approve one reset of {where.station}", shown, card.approval(shown))

    def approve_more(self, where: Where) -> Question | None:
        """The same, and further resets of the same code, so many and for so long."""
        shown = self._settled("approve several", where)
        if shown is None:
            return None

        def then(answers: Answers) -> None:
            count, minutes = int(answers[1]), float(answers[2])
            words = f"approve {count} resets of {where.station} in {minutes:g} min"
            self._answer(words, shown, card.approval(shown, count, minutes))

        text = (
            f"{where.station} moves as its card shows, and may repeat its reset without a card. "
            "One changed byte of its task's files ends that."
        )
        asked = ("type approve", f"how many resets, 2 to {MOST_RESETS}", "within how many minutes")
        heading = f"Approve several resets of {where.station}"
        return Question(heading, text, asked, "approve", then, check=_scope)

    def reject(self, where: Where) -> Question | None:
        """Let the robot stay; the words go to whoever wrote the code."""
        shown = self._settled("reject", where)
        if shown is None:
            return None

        def then(answers: Answers) -> None:
            command = c.Reject(approval_id=shown.card.approval_id, words=answers[0])
            self._answer(f"reject the reset of {where.station}", shown, command)

        text = "Your words go to the try, the journal and the station's agent, as data."
        return Question(f"Reject the reset of {where.station}", text, ("why",), "", then)

    def _settled(self, words: str, where: Where) -> card.Shown | None:
        shown = where.card
        if shown is None or card.early(shown, where.now_s):
            self._feed.refuse(words, "the card has only just appeared; look, then press again")
            return None
        return shown

    def _answer(self, words: str, shown: card.Shown, command: c.Approve | c.Reject) -> None:
        self._feed.answer(shown.card.approval_id, words, command)

    # --- setup ------------------------------------------------------------------------------

    def try_reset(self, where: Where) -> None:
        """Have the station show what its reset would do; nothing moves before it is approved."""
        name = where.station
        self._feed.order(f"try the reset of {name}", {SUPERVISOR: c.TryReset(station=name)})

    def try_verify(self, where: Where) -> None:
        """Have the station's verifier look once."""
        name = where.station
        self._feed.order(f"ask the verifier of {name}", {SUPERVISOR: c.TryVerify(station=name)})

    def label_success(self, where: Where) -> None:
        """Judge the scene as it is: done."""
        self._label(where.station, success=True)

    def label_failure(self, where: Where) -> None:
        """Judge the scene as it is: not done."""
        self._label(where.station, success=False)

    def _label(self, name: str, *, success: bool) -> None:
        command = c.LabelScene(success=success, by=self._feed.person, entered="room")
        self._feed.order(f"label {name}: {'success' if success else 'failure'}", {name: command})

    def withdraw_label(self, where: Where) -> None:
        """Take back the last label of this station."""
        name = where.station
        command = c.WithdrawLabel(by=self._feed.person)
        self._feed.order(f"take back the last label of {name}", {name: command})

    # --- training ---------------------------------------------------------------------------

    def cancel_job(self, where: Where) -> Question:
        """End a training job, the word typed."""
        job = where.job
        assert job is not None, "refused before"
        word = "cancel"

        def then(answers: Answers) -> None:
            del answers
            self._feed.cancel_job(job)

        text = (
            f"{job.status.job_id} on {job.box} is told to end and may write a last checkpoint; "
            "what it wrote is kept, and a later job can resume from it."
        )
        return Question(f"Cancel {job.status.job_id}", text, (f"type {word}",), word, then)

    # --- agents -----------------------------------------------------------------------------

    def pause_agent(self, where: Where) -> None:
        """No further turn after the present one; the robot is not held by it."""
        agent = _agent(where)
        self._feed.order(f"pause {agent}", {agent: c.PauseAgent(reason=REASON)})

    def interrupt_agent(self, where: Where) -> None:
        """A pause that does not wait: the answer under way is dropped whole, waits are left."""
        agent = _agent(where)
        self._feed.order(f"interrupt {agent}", {agent: c.InterruptAgent(reason=REASON)})

    def resume_agent(self, where: Where) -> None:
        """Go on."""
        agent = _agent(where)
        self._feed.order(f"resume {agent}", {agent: c.ResumeAgent()})

    def answer_agent(self, where: Where) -> Question:
        """Answer what an agent asks: in words, or by a choice's number."""
        seen = where.moment.agent(where.station)
        assert seen is not None, "refused before"
        assert seen.question is not None, "refused before"
        asked, _ = seen.question

        def then(answers: Answers) -> None:
            text = chosen(answers[0], asked.choices)
            command = c.AnswerAgent(question_id=asked.question_id, text=text)
            self._feed.order(f"answer to {seen.name}", {seen.name: command})

        offered = "".join(f"\n{i}: {each}" for i, each in enumerate(asked.choices, start=1))
        hint = "your answer, or a choice's number" if asked.choices else "your answer"
        return Question(f"{seen.name} asks", f"{asked.text}{offered}", (hint,), "", then)

    def stop_agent(self, where: Where) -> Question:
        """End an agent for good, its name typed."""
        agent = _agent(where)

        def then(answers: Answers) -> None:
            del answers
            self._feed.order(f"stop {agent}", {agent: c.StopAgent(reason=REASON)})

        text = (
            f"{agent} ends for good in this run; its ideas, commits and journal stay. The robot is "
            "not held by it. A pause (p) can be taken back, this cannot."
        )
        return Question(f"Stop {agent}", text, (f"type {agent}",), agent, then)

    def message_agent(self, where: Where) -> Question:
        """Words for the agent's next turn."""
        agent = _agent(where)

        def then(answers: Answers) -> None:
            self._feed.order(f"message to {agent}", {agent: c.MessageAgent(text=answers[0])})

        text = f"{agent} reads it at its next turn; it stands in the journal."
        return Question(f"Message to {agent}", text, ("your words",), "", then)


def chosen(typed: str, choices: tuple[str, ...]) -> str:
    """The choice that a number names; else the words as they are."""
    if typed.isascii() and typed.isdigit() and 1 <= int(typed) <= len(choices):
        return choices[int(typed) - 1]
    return typed


def _scope(answers: Answers) -> str:
    """What is wrong with count and minutes."""
    try:
        count, minutes = int(answers[1]), float(answers[2])
    except ValueError:
        return "a whole number of resets, and minutes, please"
    if not 2 <= count <= MOST_RESETS:
        return f"2 to {MOST_RESETS} resets, got {count}"
    return "" if 0.0 < minutes <= MOST_MINUTES else f"up to {MOST_MINUTES:g} min, got {minutes:g}"


def _agent(where: Where) -> str:
    agent = where.moment.agent(where.station)
    assert agent is not None, "refused before"
    return agent.name
