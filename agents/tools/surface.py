"""The tools as a language model sees them: names, schemas, and answers as text cut at the source.

One implementation for SDK loops and for MCP. Every call has an id given by whoever thinks. What a
call with side effects is about to do is journalled under that id before it acts, and its answer
after, so that a call repeated after a restart is answered, and nothing is done twice.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from agents.desk import Desk
from agents.pictures import Answer, Picture
from agents.tools import calls as t
from agents.tools.toolbox import Toolbox
from robots.wire import codec
from robots.wire.records import Frozen

RESULTS = "results/"
"""Where `read_file` finds answers that were cut; no folder of the working tree."""

_NONE = codec.encode(())


class Unchecked(Exception):
    """A call whose arguments are not what its schema says; the text goes back to the model."""


class Tool(NamedTuple):
    """One tool.

    Attributes:
        arguments: Their struct; its schema is what a model is given.
        run: Does it, and says what came of it.
        once: Whether it has side effects that must not be repeated.
    """

    name: str
    description: str
    arguments: type[Frozen]
    run: "Callable[[Surface, Any, str], Awaitable[str | Answer]]"
    once: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of its arguments."""
        _, parts = msgspec.json.schema_components([self.arguments], ref_template="#/$defs/{name}")
        told = {
            key: value
            for key, value in parts[self.arguments.__name__].items()
            if key not in ("title", "description")
        }
        return told | {"additionalProperties": False}


class Assigned(Frozen):
    """What a call is to do, decided before it acts."""

    idea_id: str
    number: int
    base: str


class Work(Frozen):
    """Where an agent stands in its session.

    Attributes:
        idea_id: The open idea, "" for none.
        base: Commit that it changes.
        explored: Batches explored for it.
        summary: What the last session left for this one.
        closed: Sessions that have ended.
        pictures: Shown in this session.
    """

    run_id: str = ""
    idea_id: str = ""
    base: str = ""
    explored: int = 0
    summary: str = ""
    closed: int = 0
    pictures: int = 0


class Surface:
    """The tools of one agent.

    Args:
        tools: What they are made of.
        backend: Whose records these are.
        offered: What may be called.
        sees: Whether whoever thinks is shown pictures, where the agent's settings do not say.
    """

    def __init__(
        self, tools: Toolbox, backend: str, offered: Sequence[Tool], *, sees: bool = True
    ) -> None:
        self._offered = offered
        told = tools.desk.settings.sees
        self.sees = sees if told is None else told
        self.tools = tools
        self.desk: Desk = tools.desk
        self._backend = backend
        self.work = self._recalled()

    async def call(self, call_id: str, name: str, arguments: bytes) -> Answer:
        """Run a tool and say what came of it; refusals are answers as well.

        Raises:
            ToolRefused: PAUSED, STOPPED or run_ended: the turn ends and the call stays open.
        """
        answered = self.desk.log.records.get(self._key("answer", call_id))
        if answered is not None:
            shown = self.desk.log.records.get(self._key("pictures", call_id), _NONE)
            return Answer(answered.decode(), codec.decode(shown, tuple[Picture, ...]))
        tool: Tool | None = None
        try:
            tool = self._named(name)
            given = checked(tool, arguments)
            self.desk.check_awake()
            told = await tool.run(self, given, call_id)
        except Unchecked as wrong:
            told = f"refused: {wrong}"
        except t.ToolRefused as refused:
            if refused.reason.startswith((t.PAUSED, "STOPPED", "run_ended")):
                raise
            told = f"refused: {refused.reason}"
        answer = told if isinstance(told, Answer) else Answer(told)
        answer = answer._replace(text=self._fitting(call_id, name, answer.text))
        if tool is not None and tool.once:
            if answer.pictures:
                self.desk.record_backend(
                    self._key("pictures", call_id), codec.encode(answer.pictures)
                )
            self.desk.record_backend(self._key("answer", call_id), answer.text.encode())
        return answer

    def _fitting(self, call_id: str, tool: str, text: str) -> str:
        """An answer that fits; one that is cut lies whole in a file, which it names."""
        if len(text) <= t.TEXT_LIMIT:
            return text
        # The same call is the same file; an id is a model's and no part of a path.
        name = f"{tool}-{hashlib.sha256(call_id.encode()).hexdigest()[:8]}.txt"
        self.desk.results.put(name, text.encode())
        return t.cut_text(text, kept_as=f"{RESULTS}{name}")[0]

    def assigned(self, call_id: str, make: Callable[[], Assigned]) -> Assigned:
        """What this call is to do: as it was decided when it was first made."""
        key = self._key("call", call_id)
        known = self.desk.log.records.get(key)
        if known is not None:
            return codec.decode(known, Assigned)
        made = make()
        self.desk.record_backend(key, codec.encode(made))
        return made

    def open_idea(self) -> str:
        """The open idea.

        Raises:
            ToolRefused: There is none.
        """
        known = self.desk.log.ideas.get(self.work.idea_id)
        if known is None or known.decision:
            raise t.ToolRefused("no_idea: open an idea first, with what you expect of it")
        return self.work.idea_id

    def keep(self, **fields: str | int) -> None:
        """Change where the agent stands, journalled."""
        self.work = msgspec.structs.replace(self.work, **fields)
        self.desk.record_backend(f"{self._backend}/work", codec.encode(self.work))

    def _named(self, name: str) -> Tool:
        for tool in self._offered:
            if tool.name == name:
                return tool
        known = ", ".join(tool.name for tool in self._offered)
        raise Unchecked(f"there is no tool {name!r}; there are {known}")

    def _recalled(self) -> Work:
        run_id = self.desk.run.run_id
        known = self.desk.log.records.get(f"{self._backend}/work")
        work = Work() if known is None else codec.decode(known, Work)
        return work if work.run_id == run_id else Work(run_id=run_id)

    def _key(self, kind: str, call_id: str) -> str:
        return f"{self._backend}/{self.work.run_id}/{kind}/{call_id}"


def checked(tool: Tool, arguments: bytes) -> Frozen:
    """A call's arguments, as its schema says.

    Raises:
        Unchecked: They are something else; says what.
    """
    try:
        return msgspec.json.decode(arguments or b"{}", type=tool.arguments)
    except msgspec.DecodeError as error:
        raise Unchecked(f"{tool.name}: {error}") from None
