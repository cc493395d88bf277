"""Inputs and results of the agents' tools. A tool is named by its input's type."""

from collections.abc import Mapping
from typing import Literal, cast

import msgspec

from robots.wire.records import Counts, Episode, Frozen

IdeaKind = Literal["algorithm", "heuristic", "data", "infrastructure", "ablation"]
PAUSED = "PAUSED"


class ToolRefused(Exception):
    """A tool did not act; `reason` says by which rule, such as "PAUSED" or "duplicate: a2-3"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def first_of(fault: BaseException) -> BaseException:
    """The first plain exception of a group of groups."""
    while isinstance(fault, BaseExceptionGroup):
        fault = cast("BaseExceptionGroup[BaseException]", fault).exceptions[0]
    return fault


class ToolCall(Frozen, tag=True):
    """Base of all inputs."""


class ToolResult(Frozen, tag=True):
    """Base of all results."""


# --- files of the working tree ------------------------------------------------------------------


class ListFiles(ToolCall):
    """Files of the working tree with their sizes."""


class ReadFile(ToolCall):
    """A file of the working tree, cut in its middle beyond the limit."""

    path: str


class WriteFile(ToolCall):
    """Write a file below `recipe/` or `notes/`."""

    path: str
    text: str


class StartFrom(ToolCall):
    """Put the working tree to the champion ("") or to an idea, dropping what is not committed."""

    idea_id: str = ""


class FileList(ToolResult):
    """Files by path, with their sizes in bytes."""

    sizes: dict[str, int]


class FileText(ToolResult):
    """Text for an agent; `cut` says how many characters were left out."""

    text: str
    cut: int = 0


# --- ideas --------------------------------------------------------------------------------------


class OpenIdea(ToolCall):
    """Claim an idea before any work on it: what is believed and what is expected.

    Attributes:
        idea_id: "" takes the next one; a known one is answered again.
        fingerprint: Of the change, where it is known already; near-duplicates are refused.
    """

    kind: IdeaKind
    hypothesis: str
    prediction: str
    parent: str
    idea_id: str = ""
    borrowed_from: str = ""
    operator: str = ""
    fingerprint: str = ""


class Commit(ToolCall):
    """Commit an idea's change, have it checked, and share it.

    Attributes:
        base: Commit that is changed.
        files: The recipe folder, whole; None takes the working tree.
        notes: Files below `notes/`, beside `files`.
    """

    idea_id: str
    base: str
    files: dict[str, bytes] | None = None
    notes: dict[str, bytes] = msgspec.field(default_factory=dict[str, bytes])


class Submit(ToolCall):
    """Hand a committed idea in for sealed evaluation."""

    idea_id: str


class Drop(ToolCall):
    """Give an idea up without handing it in."""

    idea_id: str
    detail: str


class Opened(ToolResult):
    """The idea is this agent's."""

    idea_id: str


class Committed(ToolResult):
    """The idea's commit is in the run's repository."""

    idea_id: str
    commit: str


class Submitted(ToolResult):
    """The idea was handed in.

    Attributes:
        reached: Whether the supervisor has it already; else it is handed in later.
    """

    idea_id: str
    reached: bool


class Dropped(ToolResult):
    """The idea was given up."""

    idea_id: str


# --- episodes -----------------------------------------------------------------------------------


class Explore(ToolCall):
    """Run episodes on the agent's own station with seeds of its own, and wait for them.

    Attributes:
        number: Of the batch within its idea, from 0; a known one is answered again.
        files: The recipe folder, whole; None takes the working tree.
        record: Whether the station keeps every step, for `Gather`.
    """

    idea_id: str
    number: int
    seeds: tuple[int, ...]
    base: str
    files: dict[str, bytes] | None = None
    record: bool = False


class Explored(ToolResult):
    """Every episode of the batch, with seeds, reasons, tags and scores."""

    batch_id: str
    episodes: tuple[Episode, ...]
    counts: Counts
    void: bool = False
    void_reason: str = ""


# --- training -----------------------------------------------------------------------------------


class Train(ToolCall):
    """Run a recipe's `train.py` as an idea's job on this machine's box, and wait for its end.

    Attributes:
        files: The recipe folder, whole; it names its data.
        base: Commit that is changed; the job ends when that is succeeded as champion.
        minutes: The job's limit.
    """

    idea_id: str
    files: dict[str, bytes]
    base: str
    minutes: float


class Gather(ToolCall):
    """Successful episodes of an idea's recorded explorations as a dataset on this machine's box."""

    idea_id: str
    numbers: tuple[int, ...]


class Trained(ToolResult):
    """The recipe with what it has learned."""

    files: dict[str, bytes]
    seconds: float


class Gathered(ToolResult):
    """A dataset by its name, for `data` of a `recipe.toml`."""

    name: str
    episodes: int


# --- the fleet ----------------------------------------------------------------------------------


class Wait(ToolCall):
    """Wait for a decision or other news, at most `timeout_s`; costs nothing."""

    timeout_s: float = 300.0


class Leaderboard(ToolCall):
    """Ideas with sealed evidence, best first."""

    limit: int = 20


class Digest(ToolCall):
    """What changed in the run since the last digest, at most 600 tokens."""


class PeerDiff(ToolCall):
    """An idea's change as a diff, cut in its middle beyond the limit."""

    idea_id: str


class Adopt(ToolCall):
    """An idea's change applied by Git to a commit; the result is in the working tree."""

    idea_id: str
    base: str


class ReadRecipe(ToolCall):
    """The recipe folder of a commit."""

    commit: str


class Note(ToolCall):
    """A line in the transcript."""

    text: str
    idea_id: str = ""


class BudgetLeft(ToolCall):
    """What may still be spent."""


class News(ToolResult):
    """What happened.

    Attributes:
        text: A digest.
        messages: Words of people that the agent has not heard yet, as they came, by their ids. A
            wait ends at once until they are marked as heard with a record that holds them.
    """

    text: str
    messages: Mapping[str, str] = {}


class Text(ToolResult):
    """Text for an agent; `cut` says how many characters were left out."""

    text: str
    cut: int = 0


class Recipe(ToolResult):
    """A recipe folder by path relative to it."""

    files: dict[str, bytes]


class Budget(ToolResult):
    """What may still be spent; None stands for no limit."""

    ideas: int | None
    robot_minutes: float | None


AnyCall = (
    ListFiles
    | ReadFile
    | WriteFile
    | StartFrom
    | OpenIdea
    | Commit
    | Submit
    | Drop
    | Explore
    | Train
    | Gather
    | Wait
    | Leaderboard
    | Digest
    | PeerDiff
    | Adopt
    | ReadRecipe
    | Note
    | BudgetLeft
)

TEXT_LIMIT = 6000


def cut_text(text: str, limit: int = TEXT_LIMIT, kept_as: str = "") -> tuple[str, int]:
    """Head and tail of a text, and how many characters between them were left out.

    Args:
        text: The text.
        limit: Characters of it that stay.
        kept_as: A file that holds it whole, named where something was left out.
    """
    if len(text) <= limit:
        return text, 0
    left_out = len(text) - limit
    head = limit * 2 // 3
    tail = limit - head
    words = f"{left_out} characters left out"
    if kept_as:
        # As `read_file` counts them; the character after the head stands for the line it is on.
        line = len(f"{text[:head]}.".splitlines())
        words += f": read_file {kept_as} from_line {line}"
    return f"{text[:head]}\n[... {words} ...]\n{text[-tail:]}", left_out
