"""One session of a language model: its messages, kept in the agent's journal as they are made.

A session is one idea's. It is rebuilt from the journal after a restart, message by message; calls
whose answers are missing are then made again, which the tools answer without repeating anything.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from agents.backends.usage import Told
from agents.desk import Desk
from agents.pictures import Album, Answer


class Asked(NamedTuple):
    """A tool call, as a model asked for it."""

    call_id: str
    name: str
    arguments: bytes


class Reply(NamedTuple):
    """What a model said.

    Attributes:
        messages: In the provider's own form, to be given back to it as they are.
        texts: What it said in words.
        calls: Tools it wants to be run.
        used: Tokens by class, as its SDK tells them.
    """

    messages: list[dict[str, Any]]
    texts: list[str]
    calls: list[Asked]
    used: Told


class ProviderFailed(Exception):
    """The provider did not answer.

    Attributes:
        kind: `busy` passes by itself; `refused` needs a person; `budget` is used up; `invalid` means
            that this conversation cannot go on.
        retry_s: When it asked to be tried again, 0 if it did not say.
    """

    def __init__(self, kind: str, detail: str, retry_s: float = 0.0) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.retry_s = retry_s


class Provider(Protocol):
    """One model behind one provider's interface; used as a context, which is its connection.

    Attributes:
        socket: The gateway's, of this agent.
    """

    name: str
    label: str
    socket: Path

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def ask(self, system: str, messages: list[dict[str, Any]]) -> Reply:
        """The model's next words and calls.

        Raises:
            ProviderFailed: It did not answer, or its answer was cut; nothing of it is to be acted on.
        """
        ...

    def said(self, text: str) -> dict[str, Any]:
        """Words to the model, as a message."""
        ...

    def answers(self, answered: list[tuple[Asked, Answer]]) -> list[dict[str, Any]]:
        """Answers to its calls, as messages; pictures in them by their hashes."""
        ...

    def shown(self, messages: list[dict[str, Any]], album: Album) -> list[dict[str, Any]]:
        """The same messages with pictures in the provider's own form, to be sent and not kept."""
        ...

    def open_calls(self, messages: list[dict[str, Any]]) -> list[Asked]:
        """Calls at the end of a conversation that have no answer yet."""
        ...


class Session:
    """A conversation, journalled.

    Args:
        desk: Whose journal.
        key: Names this session among the agent's records.
    """

    def __init__(self, desk: Desk, key: str) -> None:
        self._desk = desk
        self._key = key
        self.messages: list[dict[str, Any]] = []
        while (known := desk.log.records.get(f"{key}/{len(self.messages)}")) is not None:
            self.messages.append(msgspec.json.decode(known))

    def add(self, *messages: dict[str, Any], heard: tuple[str, ...] = ()) -> None:
        """Take messages in, on record before anything is done about them.

        Args:
            messages: In the provider's form.
            heard: Words of people that the only message holds, by their ids.
        """
        for message in messages:
            key = f"{self._key}/{len(self.messages)}"
            self._desk.record_backend(key, msgspec.json.encode(message), heard)
            self.messages.append(message)
