"""The reception alone, on a time of the test's own: what is stopped at the door, and what behind it."""

import asyncio

import pytest

from robots.wire import codec, envelopes, roles
from robots.wire import commands as c
from robots.wire.keys import Identity
from robots.wire.reception import Reception
from robots.wire.records import Role, Signed

SUPERVISOR = Identity("supervisor", Role.SUPERVISOR)


class Door:
    """A reception whose clock is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.executed: list[c.AnyCommand] = []
        self.replies: list[envelopes.Reply] = []
        self.reception = Reception("s1", self, self.handle)

    def monotonic(self) -> float:
        return self.now_s

    async def handle(self, command: c.AnyCommand, peer) -> None:
        self.executed.append(command)

    def knock(self, identity: Identity | None, deadline_s: float = 10.0) -> None:
        request = envelopes.Request(
            request_id=f"r{len(self.replies)}",
            incarnation=self.reception.incarnation,
            deadline_s=deadline_s,
            command=c.PauseAgent(),
        )
        self.reception.receive(
            codec.encode(request),
            identity,
            lambda reply: self.replies.append(codec.decode_reply(reply)),
        )


@pytest.fixture
async def door() -> Door:
    return Door()


async def test_a_late_command_is_stopped_at_the_door(door) -> None:
    door.now_s = 10.0
    door.knock(SUPERVISOR)

    # Answered before anything could have been executed.
    assert [reply.reason for reply in door.replies] == ["deadline"]


async def test_a_command_that_waited_past_its_deadline_is_not_executed(door) -> None:
    door.knock(SUPERVISOR)
    door.now_s = 10.0
    async with asyncio.timeout(10):
        while not door.replies:  # noqa: ASYNC110 - no event tells of a reply
            await asyncio.sleep(0)

    assert [reply.reason for reply in door.replies] == ["deadline"]
    assert door.executed == []


async def test_a_message_without_an_identity_is_dropped_and_counted(door) -> None:
    door.knock(None)

    assert door.replies == []
    assert door.reception.counts["unknown_key"] == 1


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.SUPERVISOR])
def test_only_the_supervisor_renews_grants(role) -> None:
    command = c.RenewGrant(grant=Signed(body=b"", signature=b"", key=b""))

    assert roles.admits(command, Role.SUPERVISOR)
    assert not roles.admits(command, role)
