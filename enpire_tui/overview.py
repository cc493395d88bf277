"""The state of a fleet by daemon: what the keeper holds and what each of them answers."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from agents.status import AgentStatus
from enpire_tui import home as places
from enpire_tui import lifecycle
from enpire_tui.control import Control, Refused, Unreachable
from enpire_tui.run_spec import FILE, read_spec
from robots.wire import commands as c
from robots.wire import keeper
from robots.wire.records import Frozen
from robots.wire.replies import SupervisorStatus

ASK_S = 2.0


class Daemon(Frozen):
    """A daemon as its keeper holds it."""

    name: str
    state: str
    pid: int = 0
    restarts: int = 0


class Overview(Frozen):
    """See the module.

    Attributes:
        disputes: By agent, how often what its SDK or program said it used was not what the gateway
            counted; agents without any are left out.
        jobs: Training jobs; none before there are boxes to run them on.
    """

    home: str
    up: bool
    daemons: tuple[Daemon, ...] = ()
    run: SupervisorStatus | None = None
    last_run: str = ""
    detail: str = ""
    agents: tuple[Daemon, ...] = ()
    disputes: Mapping[str, int] = {}
    jobs: tuple[str, ...] = ()


async def read(home: Path) -> Overview:
    """Asks around; whoever does not answer is named in `detail`."""
    spec = read_spec(home) if await asyncio.to_thread((home / FILE).exists) else None
    last = spec.run_id if spec is not None else ""
    if spec is None or not lifecycle.running(home):
        return Overview(home=str(home), up=False, last_run=last, detail="no fleet runs here")
    kept = tuple(
        Daemon(name=each.name, state=each.state, pid=each.pid, restarts=each.restarts)
        for each in keeper.read_state(home)
    )
    detail, run = "", None
    async with Control(home) as control:
        try:
            run = await control.status()
        except (Refused, Unreachable) as error:
            detail = f"{places.SUPERVISOR}: {error}"
        found = await asyncio.gather(*(_disputes(control, name) for name in spec.agents))
    return Overview(
        home=str(home),
        up=True,
        daemons=kept,
        run=run,
        last_run=last,
        detail=detail,
        agents=tuple(each for each in kept if each.name in spec.agents),
        disputes={name: count for name, count in zip(spec.agents, found, strict=True) if count},
    )


async def _disputes(control: Control, agent: str) -> int:
    """How often an agent's usage was disputed; 0 where it does not answer, which others tell."""
    client = control.client(agent)
    try:
        return (await client.call(c.GetStatus(), AgentStatus, ASK_S)).disputes
    except (Refused, Unreachable):
        return 0
    finally:
        client.close()


def text(found: Overview) -> str:
    """The overview for a person."""
    if not found.up:
        last = f"; last run {found.last_run}" if found.last_run else ""
        return f"{found.home}: {found.detail}{last}\n"
    lines = [f"fleet in {found.home}"]
    if found.detail:
        lines.append(found.detail)
    run = found.run
    if run is not None:
        low, high = run.champion_interval
        lines.append(
            f"run {run.run_id}  {run.task}  {run.state} {run.outcome}  mode {run.mode.value}  "
            f"{run.elapsed_s / 60:.1f} of {run.minutes:g} min"
        )
        if run.champion:
            lines.append(
                f"champion {run.champion}  {run.champion_rate:.3f} [{low:.3f}, {high:.3f}] of "
                f"{run.champion_episodes}  ideas {run.ideas}  adopted {run.adopted}"
            )
        lines += [
            f"  {each.station:10} {each.link:7} {each.word:11} {each.agent:10} "
            f"{each.idea_id:12} {each.done}/{each.of}  busy {each.busy:.0%}"
            for each in run.stations
        ]
    lines += [
        f"  {each.name:12} {each.state:8} pid {each.pid}  restarts {each.restarts}"
        for each in found.daemons
    ]
    lines += [
        f"  {name}: {count} times its own count of tokens was not the gateway's (see its events)"
        for name, count in found.disputes.items()
    ]
    return "\n".join(lines) + "\n"
