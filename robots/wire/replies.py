"""Result structs of the supervisor's commands, read by agents, screens and scripts."""

from robots.wire.records import Counts, Frozen, Mode


class CandidateReceipt(Frozen):
    """Answer to `ProposeIdea` and `SubmitCandidate`: what the run holds of this idea.

    Attributes:
        state: PROPOSED, SCREENING, PROMOTING, ADOPTED, DISCARDED.
    """

    idea_id: str
    state: str


class NominationReceipt(Frozen):
    """Answer to `Nominate`: the idea's confirm begins as soon as it is its turn.

    Attributes:
        nomination_id: The one that stands; another than was sent where the idea waits already.
        chance: Predicted chance of a clean confirm, from sealed episodes, in [0, 1].
        left: Nominations that the agent may still make in this run.
    """

    nomination_id: str
    idea_id: str
    chance: float
    left: int


class Digest(Frozen):
    """What changed in the run since a cursor, for an agent's next turn."""

    cursor: int
    text: str


class LeaderboardRow(Frozen):
    """One idea with its sealed evidence.

    Attributes:
        success: Successes of fresh episodes (promotion and re-measurement; no screening).
        episodes: Successes and failures of fresh episodes.
        interval: Wilson's 95% interval of the fresh success rate.
        detail: The last decision in words.
    """

    idea_id: str
    agent: str
    commit: str
    kind: str
    operator: str
    parent: str
    hypothesis: str
    state: str
    screen_success: int
    screen_episodes: int
    success: int
    episodes: int
    rate: float
    interval: tuple[float, float]
    detail: str = ""


class Leaderboard(Frozen):
    """Ideas, best first; `champion` is the idea id of the present champion."""

    run_id: str
    champion: str
    rows: tuple[LeaderboardRow, ...]


class StationSummary(Frozen):
    """A station as its supervisor sees it.

    Attributes:
        link: ONLINE or LOST.
        word: EXECUTING, QUEUED, EXPLORING, ASKING, TRYING, IDLE, HELD, QUARANTINED.
        batch_id: The batch it works on, "" if none is known.
        done: Finished episodes of that batch.
        busy: Share of research time spent executing episodes with their resets.
        approval_id: What it waits for a person to answer, "" for nothing.
    """

    station: str
    link: str
    word: str
    agent: str = ""
    idea_id: str = ""
    batch_id: str = ""
    purpose: str = ""
    done: int = 0
    of: int = 0
    busy: float = 0.0
    approval_id: str = ""


class LeaseView(Frozen):
    """The control lease as everybody may know it.

    Attributes:
        holder: Key and label of who may command, "" for nobody.
        epoch: Of the last change.
        left_s: Seconds until it lapses unless it is renewed.
    """

    holder: str = ""
    epoch: int = 0
    left_s: float = 0.0


class ChecklistItem(Frozen):
    """One thing a hand-over to autonomy needs.

    Attributes:
        state: OK, WAIVED (not demanded of this fleet; the detail says why) or MISSING.
        remedy: What to do about a missing one.
    """

    name: str
    state: str
    detail: str
    remedy: str = ""


class Checklist(Frozen):
    """Answer to `GetChecklist`.

    Attributes:
        ready: Whether nothing is missing.
        word: What a person types to hand over.
        policy: Whether a signed policy file may stand in for the word.
    """

    items: tuple[ChecklistItem, ...]
    ready: bool
    word: str
    policy: bool = False


class SupervisorStatus(Frozen):
    """The run and the fleet at one moment.

    Attributes:
        state: SETUP (no run yet), RUNNING, CONFIRMING or ENDED.
        elapsed_s: Research seconds of the run.
    """

    run_id: str
    task: str
    mode: Mode
    state: str
    elapsed_s: float
    minutes: float
    champion: str
    champion_success: int
    champion_episodes: int
    champion_rate: float
    champion_interval: tuple[float, float]
    ideas: int
    adopted: int
    open_candidates: int
    confirms: int
    outcome: str = ""
    unsandboxed: bool = False
    stations: tuple[StationSummary, ...] = ()
    confirm: Counts = Counts()
    lease: LeaseView = LeaseView()
