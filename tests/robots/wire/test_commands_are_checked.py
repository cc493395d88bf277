"""What stands between a message and its execution, the same over sockets and in memory."""

import asyncio

import pytest

from robots.wire import codec, envelopes
from robots.wire import commands as c
from robots.wire.client import Refused, Unreachable
from robots.wire.records import Idea, Mode, Purpose, RecipeArchive
from robots.wire.server import EndpointTaken
from robots.wire.sockets import MESSAGE_BYTES

IDEA = Idea(
    idea_id="i", agent="a", commit="c", kind="k", hypothesis="h", prediction="p", parent="b"
)


def batch(purpose: Purpose) -> c.StartBatch:
    recipe = RecipeArchive(files={}, sha256="")
    return c.StartBatch(
        batch_id="b", purpose=purpose, commit="c", recipe=recipe, idea_id="i", episodes=1
    )


async def test_a_command_is_executed_and_answered(net) -> None:
    await net.serve()

    taken = await net.client("supervisor").call(c.GetStatus(), envelopes.LeaseTaken, 10)

    assert taken.epoch == 1
    assert net.executed == [c.GetStatus()]


@pytest.mark.parametrize(
    ("me", "command"),
    [
        ("viewer", c.Release(station="s1")),
        ("agent", c.Release(station="s1")),
        ("agent", c.HandOver(mode=Mode.AUTONOMOUS)),
        ("viewer", c.StopAgent()),
        ("operator", c.ProposeIdea(idea=IDEA, fingerprint="f")),
        ("agent", batch(Purpose.CONFIRM)),
        ("operator", batch(Purpose.CONFIRM)),
        ("viewer", batch(Purpose.EXPLORE)),
        ("agent", c.TakeLease()),
    ],
)
async def test_a_wrong_role_is_refused_and_counted(memory_net, me: str, command) -> None:
    server = await memory_net.serve()

    with pytest.raises(Refused, match=r"^role"):
        await memory_net.client(me).request(command, 10)

    assert memory_net.executed == []
    assert server.counts["role"] == 1


async def test_a_wrong_role_is_refused_over_sockets(zmq_net) -> None:
    server = await zmq_net.serve()

    with pytest.raises(Refused, match=r"^role: viewer may not send Release"):
        await zmq_net.client("viewer").request(c.Release(station="s1"), 10)

    assert server.counts["role"] == 1


@pytest.mark.parametrize("me", ["viewer", "agent", "operator", "supervisor"])
async def test_anyone_may_stop_a_robot(memory_net, me: str) -> None:
    await memory_net.serve(leased=True)
    client = memory_net.client(me)

    for stop in (c.Hold(reason="r"), c.EmergencyStop(reason="r"), c.HoldFleet(reason="r")):
        await client.request(stop, 10)

    assert len(memory_net.executed) == 3


async def test_a_stale_incarnation_is_refused(net) -> None:
    server = await net.serve()
    raw = net.raw("supervisor")
    await raw.up()
    welcome = await raw.welcome()
    late = welcome.monotonic_s + 60

    for incarnation in ("", "0" * 16):
        request = envelopes.Request(
            request_id="r" + incarnation,
            incarnation=incarnation,
            deadline_s=late,
            command=c.GetStatus(),
        )
        assert (await raw.ask(request)).reason == "incarnation"

    assert net.executed == []
    assert server.counts["incarnation"] == 2


async def test_a_passed_deadline_is_refused(net) -> None:
    server = await net.serve()
    raw = net.raw("supervisor")
    await raw.up()
    welcome = await raw.welcome()

    for request_id, deadline_s in (
        ("at", welcome.monotonic_s),
        ("before", welcome.monotonic_s - 1),
    ):
        request = envelopes.Request(
            request_id=request_id,
            incarnation=welcome.incarnation,
            deadline_s=deadline_s,
            command=c.GetStatus(),
        )
        assert (await raw.ask(request)).reason == "deadline"

    assert net.executed == []
    assert server.counts["deadline"] == 2


async def test_a_deadline_too_far_ahead_is_refused(net) -> None:
    await net.serve()

    with pytest.raises(Refused, match="at most 600 s"):
        await net.client("supervisor").request(c.GetStatus(), 601 + 10)


async def test_a_repeated_request_id_executes_once(net) -> None:
    server = await net.serve()
    client = net.client("supervisor")

    first = await client.request(c.PauseAgent(), 10, request_id="same")
    second = await client.request(c.PauseAgent(), 10, request_id="same")

    assert first == second
    assert len(net.executed) == 1
    assert server.counts["repeated"] == 1


async def test_a_repeat_while_the_first_executes_waits_for_its_answer(net, until) -> None:
    server = await net.serve()
    raw = net.raw("supervisor")
    await raw.up()
    welcome = await raw.welcome()
    request = envelopes.Request(
        request_id="same",
        incarnation=welcome.incarnation,
        deadline_s=welcome.monotonic_s + 60,
        command=c.PauseAgent(),
    )
    net.gate.clear()

    raw.channel.send(codec.encode(request))
    raw.channel.send(codec.encode(request))
    with net.still():
        await until(lambda: server.counts["repeated"] == 1)
    net.gate.set()
    replies = [await asyncio.wait_for(raw.replies.get(), 10) for _ in range(2)]

    assert replies[0] == replies[1]
    assert replies[0].ok
    assert len(net.executed) == 1


async def test_a_request_id_is_not_shared_between_peers_or_commands(net) -> None:
    await net.serve()
    client = net.client("supervisor")
    await client.request(c.PauseAgent(), 10, request_id="same")

    await net.client("operator").request(c.PauseAgent(), 10, request_id="same")
    with pytest.raises(Refused, match="used for another command"):
        await client.request(c.ResumeAgent(), 10, request_id="same")

    assert net.executed == [c.PauseAgent(), c.PauseAgent()]


async def test_malformed_messages_are_dropped_and_counted(net, until) -> None:
    server = await net.serve()
    raw = net.raw("supervisor")
    await raw.up()
    good = codec.encode(
        envelopes.Request(request_id="r", incarnation="", deadline_s=0, command=c.GetStatus())
    )
    for bad in (b"", b"\xc1", b"not msgpack", good[:-1], good + b"\0", b"\x93\x01\x02\x03"):
        raw.channel.send(bad)

    await until(lambda: server.counts["malformed"] == 6)

    assert net.executed == []
    assert raw.replies.empty()
    assert (await raw.welcome()).name == "s1"


async def test_a_command_of_another_version_is_told_so(net) -> None:
    await net.serve()
    raw = net.raw("supervisor")
    await raw.up()
    request = {
        "request_id": "r",
        "incarnation": "",
        "deadline_s": 0,
        "command": {"type": "Levitate"},
    }

    raw.channel.send(codec.encode(request))
    reply = await asyncio.wait_for(raw.replies.get(), 10)

    assert not reply.ok
    assert "Levitate" in reply.reason


async def test_an_oversized_message_is_dropped_and_counted(net, until) -> None:
    server = await net.serve()
    raw = net.raw("supervisor")
    await raw.up()

    raw.channel.send(b"\0" * (MESSAGE_BYTES + 1))

    await until(lambda: server.counts["oversized"] == 1)
    assert (await raw.welcome()).name == "s1"


async def test_an_oversized_command_is_refused_before_it_is_sent(net) -> None:
    server = await net.serve()

    with pytest.raises(Refused, match="too_large"):
        await net.client("supervisor").request(c.MessageAgent(text="x" * MESSAGE_BYTES), 10)

    assert server.counts["oversized"] == 0


async def test_what_the_handler_raises_is_an_answer(memory_net, caplog) -> None:
    async def handle(command, peer):
        if isinstance(command, c.PauseAgent):
            raise Refused("held: by a person")
        raise ZeroDivisionError("by hand")

    server = memory_net.transport.server("s1", None, handle)
    await server.start()
    client = memory_net.client("supervisor")

    with pytest.raises(Refused, match="held: by a person"):
        await client.request(c.PauseAgent(), 10)
    with pytest.raises(Refused, match="fault: ZeroDivisionError"):
        await client.request(c.ResumeAgent(), 10)
    with pytest.raises(Refused, match="no_journal"):
        await client.request(c.ReadJournal(after_seq=0), 10)
    assert server.counts["held"] == 1
    assert "ZeroDivisionError" in caplog.text
    await server.close()


async def test_too_many_commands_at_once_are_refused_but_a_stop_is_not(memory_net, until) -> None:
    server = await memory_net.serve()
    client = memory_net.client("supervisor")
    await client.hello(10)
    memory_net.gate.clear()
    with memory_net.still():
        waiting = [asyncio.create_task(client.request(c.PauseAgent(), 60)) for _ in range(256)]
        await until(lambda: len(server.reception._tasks) == 256)

        with pytest.raises(Refused, match="busy"):
            await client.request(c.PauseAgent(), 60)
        stop = asyncio.create_task(client.request(c.Hold(reason="now"), 60))
        await until(lambda: len(server.reception._tasks) == 257)

        memory_net.gate.set()
        await asyncio.gather(*waiting, stop)


async def test_an_operator_needs_the_lease_and_a_late_epoch_is_refused(net) -> None:
    await net.serve(leased=True)
    mine, other = net.client("operator"), net.client("other")

    with pytest.raises(Refused, match="take the control lease"):
        await mine.request(c.StopRun(reason="r"), 10)
    first = await mine.call(c.TakeLease(), envelopes.LeaseTaken, 10)
    await mine.request(c.StopRun(reason="r"), 10, lease_epoch=first.epoch)
    with pytest.raises(Refused, match="held by operator"):
        await other.call(c.TakeLease(), envelopes.LeaseTaken, 10)
    second = await other.call(c.TakeLease(force=True), envelopes.LeaseTaken, 10)
    with pytest.raises(Refused, match=r"lease: epoch 1 is late"):
        await mine.request(c.StopRun(reason="r"), 10, lease_epoch=first.epoch)
    await other.request(c.StopRun(reason="r"), 10, lease_epoch=second.epoch)

    assert len(net.executed) == 2


async def test_a_name_is_served_once(net) -> None:
    await net.serve()

    with pytest.raises(EndpointTaken, match="served"):
        await net.serve()


async def test_nobody_answers_is_said_at_the_deadline(memory_net) -> None:
    client = memory_net.client("supervisor")

    with pytest.raises(Unreachable, match="nobody answers"):
        await client.request(c.GetStatus(), 7)

    assert memory_net.clock.monotonic() == pytest.approx(7)


async def test_no_answer_is_said_at_the_deadline(memory_net) -> None:
    await memory_net.serve()
    client = memory_net.client("supervisor")
    memory_net.gate.clear()

    with pytest.raises(Unreachable, match="no answer to GetStatus in 3 s"):
        await client.request(c.GetStatus(), 3)

    assert memory_net.clock.monotonic() == pytest.approx(3)
