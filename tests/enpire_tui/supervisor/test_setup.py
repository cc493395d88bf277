"""Setup through the supervisor: the lease, what is relayed, and what is granted. On virtual time."""

import pytest

from robots.wire import commands as c
from robots.wire import envelopes
from robots.wire import events as ev
from robots.wire.approvals import ResetResult, TryKind
from robots.wire.client import Refused
from robots.wire.lease import LEASE_TTL_S
from robots.wire.records import Mode
from robots.wire.replies import Checklist, SupervisorStatus
from tests.enpire_tui.supervisor.test_virtual_run import World, world

TRIED = ev.TryAsked(try_id="s1/t1", kind=TryKind.RESET, count=1, by="operator/ann")
BEGAN = ev.ResetBegan(try_id="s1/t1", number=1, approval_id="s1/a1")
DONE = ev.ResetTried(
    try_id="s1/t1",
    result=ResetResult(number=1, approval_id="s1/a1", outcome="reached", tries=1),
)


def grants(made: World, station: str = "s1") -> list[ev.GrantReceived]:
    rows = made.stations[station].journal.rows(0, 10**6)
    return [row.event for row in rows if isinstance(row.event, ev.GrantReceived)]


async def take(client, label: str, *, force: bool = False) -> int:
    return (
        await client.call(c.TakeLease(label=label, force=force), envelopes.LeaseTaken, 10.0)
    ).epoch


async def test_in_setup_only_an_approved_motion_is_granted_and_only_while_somebody_has_control():
    async with world(2, agents=False) as made:
        ann = made.transport.client("operator", "supervisor")
        await take(ann, "ann")
        await made.clock.sleep(5.0)
        assert grants(made) == []

        journal = made.stations["s1"].journal
        journal.append(TRIED, durable=True)
        journal.append(BEGAN, durable=True)
        await made.clock.sleep(1.0)
        first = len(grants(made))
        assert first == 1
        assert {(grant.mode, grant.ttl_s) for grant in grants(made)} == {(Mode.SETUP, 10.0)}
        assert grants(made, "s2") == []

        # Renewed while the operator is there; nobody renews the lease, as after a kill.
        await made.clock.sleep(LEASE_TTL_S)
        gone = len(grants(made))
        assert gone > first
        await made.clock.sleep(LEASE_TTL_S)
        assert len(grants(made)) == gone
        assert made.clock.monotonic() > made.stations["s1"].granted_until_s
        lapsed = made.events(ev.LeaseChanged)[-1]
        assert (lapsed.holder, lapsed.how, lapsed.before) == ("", "lapsed", "operator/ann")

        # Back again, and once the reset is over nothing more is granted.
        await take(ann, "ann")
        await made.clock.sleep(3.0)
        assert len(grants(made)) > gone
        journal.append(DONE, durable=True)
        await made.clock.sleep(1.0)
        last = len(grants(made))
        await made.clock.sleep(10.0)
        assert len(grants(made)) == last
        ann.close()


async def test_taking_the_fleet_back_needs_no_word_and_ends_the_long_grants():
    async with world(1, agents=False) as made:
        await made.hand_over()
        await made.clock.sleep(5.0)
        assert made.stations["s1"].granted_until_s > made.clock.monotonic() + 60.0

        await made.order(c.HandOver(mode=Mode.SETUP))
        await made.clock.sleep(1.0)

        last = grants(made)[-1]
        assert last.mode is Mode.SETUP
        assert made.stations["s1"].granted_until_s < made.clock.monotonic()
        before = len(grants(made))
        await made.clock.sleep(300.0)
        assert len(grants(made)) == before


async def test_two_operators_have_one_lease_which_all_can_see():
    async with world(1, agents=False) as made:
        ann = made.transport.client("operator", "supervisor")
        bob = made.transport.client("operator", "supervisor")
        epoch = await take(ann, "ann@lab")
        stop = c.StopRun(reason="x")

        with pytest.raises(Refused, match=r"lease: held by operator/ann@lab"):
            await take(bob, "bob@lab")
        status = await bob.call(c.GetStatus(), SupervisorStatus, 10.0)
        assert (status.lease.holder, status.lease.epoch) == ("operator/ann@lab", epoch)
        assert 0.0 < status.lease.left_s <= LEASE_TTL_S

        taken = await take(bob, "bob@lab", force=True)
        with pytest.raises(Refused, match=r"lease: epoch 1 is late, operator/bob@lab holds 2"):
            await ann.request(stop, 10.0, lease_epoch=epoch)
        # A late one gives nothing of another's back.
        await ann.request(c.ReleaseLease(epoch=epoch), 10.0)
        assert made.supervisor.lease().holder == "operator/bob@lab"

        await bob.request(c.ReleaseLease(epoch=taken), 10.0)
        assert made.supervisor.lease().holder == ""
        assert await take(ann, "ann@lab") == taken + 1
        rows = [(row.holder, row.how, row.before) for row in made.events(ev.LeaseChanged)]
        assert rows == [
            ("operator/ann@lab", "taken", ""),
            ("operator/bob@lab", "forced", "operator/ann@lab"),
            ("", "released", "operator/bob@lab"),
            ("operator/ann@lab", "taken", ""),
        ]
        assert made.supervisor.conductor.state.lease_holder == "operator/ann@lab"
        ann.close()
        bob.close()


async def test_the_hand_over_is_held_to_the_live_checklist():
    async with world(2, agents=False) as made:
        await made.clock.sleep(2.0)
        client = made.transport.client("s1", "supervisor")
        assert (await client.call(c.GetChecklist(), Checklist, 20.0)).ready

        made.transport.cut("supervisor", "s2")
        missing = await client.call(c.GetChecklist(), Checklist, 20.0)
        assert [item.name for item in missing.items if item.state == "MISSING"] == ["stop"]
        with pytest.raises(Refused, match="checklist: stop: no answer from s2"):
            await made.hand_over()

        made.transport.mend("supervisor", "s2")
        await made.clock.sleep(5.0)
        made.stations["s1"].journal.append(TRIED, durable=True)
        await made.clock.sleep(1.0)
        with pytest.raises(Refused, match="checklist: tries: s1/t1 open"):
            await made.hand_over()
        finished = ev.TryFinished(try_id="s1/t1")
        made.stations["s1"].journal.append(finished, durable=True)
        await made.clock.sleep(1.0)
        await made.hand_over()
        assert made.events(ev.ModeChanged)[-1].mode is Mode.AUTONOMOUS
        client.close()


@pytest.mark.parametrize("who", ["a1", "s1"])
async def test_no_agent_and_no_viewer_can_ask_or_answer(who):
    async with world(1, agents=False) as made:
        client = made.transport.client(who, "supervisor")
        answer = c.Approve(approval_id="s1/a1", plan_sha256="", scene_version="")
        for command in (c.TryReset(station="s1"), answer, c.Reject(approval_id="", words="")):
            with pytest.raises(Refused, match=r"^role"):
                await client.request(command, 10.0)
        client.close()


async def test_tries_are_setups_and_need_a_station_of_the_fleet():
    async with world(1, agents=False) as made:
        with pytest.raises(Refused, match="unknown_station"):
            await made.order(c.TryReset(station="s9"))
        with pytest.raises(Refused, match="unknown_station"):
            await made.order(c.Reject(approval_id="nonsense", words=""))
        await made.hand_over()
        with pytest.raises(Refused, match="mode: the fleet is autonomous"):
            await made.order(c.TryReset(station="s1"))
