"""What the search agent remembers, as its last journalled record says."""

import msgspec

from agents.search.credit import Credit
from agents.search.evidence import Trial
from agents.search.knobs import Value
from robots.wire.records import Frozen


class Plan(Frozen):
    """An idea in work. With its seed and the station's journal it is done again, not twice.

    Attributes:
        arm: Operator and target.
        base: Commit that is changed.
        base_idea: Idea of that commit, or "baseline".
        seed: Of every draw within the plan.
        data: Explored batches that the plan's model knows: those that had ended when it began.
        heard: Surveys of peers that the plan's model knows as well: the first so many on record.
        part: Which part of the model's proposal this is.
        top: Whether the champion was good already, so that knobs may move further.
    """

    idea_id: str
    arm: str
    base: str
    base_idea: str
    seed: int
    data: int = 0
    heard: int = 0
    part: int = 0
    top: bool = False


class Handed(Frozen):
    """An idea that was handed in: what it was, and what exploration had promised."""

    arm: str
    base: str
    gain: float
    minutes: float


class Promise(Frozen):
    """A change that looked good in exploration, not good enough alone."""

    arm: str
    gain: float


class Carry(Frozen):
    """Knob values that beat a champion which has been succeeded since."""

    values: dict[str, Value]
    gain: float


class SearchState(Frozen):
    """The whole memory.

    Attributes:
        run_id: Another run begins with an empty memory.
        number: Ideas numbered so far.
        draws: Choices made so far; seeds of later ones.
        lanes: The plan in work, by lane.
        tried: Arms tried, by base commit.
        promising: Changes to combine, by base commit.
        references: What the champion itself did in exploration, by commit.
        callers: Idea and number of the batch that measures a base on a block of seeds.
        carries: Numeric findings that came too late for their champion, by idea.
        handed: Ideas whose decision is awaited, by id.
        modelled: Explored batches that the model knew when it had nothing more to propose.
        champion: Commit that it was asked about.
        credited: Decisions that were already learned from, peers' as well.
    """

    run_id: str
    number: int = 0
    draws: int = 0
    credit: Credit = Credit()
    lanes: dict[str, Plan] = msgspec.field(default_factory=dict[str, Plan])
    tried: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])
    promising: dict[str, tuple[Promise, ...]] = msgspec.field(
        default_factory=dict[str, tuple[Promise, ...]]
    )
    references: dict[str, Trial] = msgspec.field(default_factory=dict[str, Trial])
    callers: dict[str, tuple[str, int]] = msgspec.field(default_factory=dict[str, tuple[str, int]])
    carries: dict[str, Carry] = msgspec.field(default_factory=dict[str, Carry])
    handed: dict[str, Handed] = msgspec.field(default_factory=dict[str, Handed])
    modelled: int = 0
    champion: str = ""
    credited: tuple[str, ...] = ()
