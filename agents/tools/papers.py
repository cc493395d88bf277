"""Papers of arXiv, through the gateway: the agent's own socket of it is the only way there."""

from pathlib import Path

import msgspec

from agents.tools import calls as t

# The fleet stands in one line there, and the gateway says at once who would wait for long.
TIMEOUT_S = 180.0


class _Error(msgspec.Struct):
    message: str


class _Answer(msgspec.Struct):
    error: _Error


class Papers:
    """The gateway's two paths for papers.

    Args:
        socket: The gateway's, of this agent.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def search(self, words: str) -> str:
        """Papers with all of the words, with abstracts, marked as data.

        Raises:
            ToolRefused: By which rule, and what to do.
        """
        return await self._ask("/arxiv/search", words=words)

    async def read(self, paper_id: str, from_line: int) -> str:
        """A paper's abstract and text from a line on, marked as data.

        Raises:
            ToolRefused: By which rule, and what to do.
        """
        return await self._ask("/arxiv/paper", id=paper_id, from_line=str(from_line))

    async def _ask(self, path: str, **asked: str) -> str:
        try:
            from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector
        except ImportError:
            raise t.ToolRefused("arxiv: aiohttp is missing: install enpire-tui[gateway]") from None
        connector = UnixConnector(str(self._socket))
        try:
            async with (
                ClientSession(connector=connector, timeout=ClientTimeout(TIMEOUT_S)) as session,
                session.get(f"http://gateway{path}", params=asked) as answer,
            ):
                told = await answer.text()
        except (ClientError, TimeoutError, OSError) as error:
            words = f"arxiv: the gateway does not answer ({type(error).__name__})"
            raise t.ToolRefused(f"{words}; go on without") from None
        if answer.status == 200:
            return told
        try:
            raise t.ToolRefused(msgspec.json.decode(told, type=_Answer).error.message)
        except msgspec.DecodeError:
            raise t.ToolRefused(f"arxiv: the gateway answered {answer.status}") from None
