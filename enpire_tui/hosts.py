"""Stations on other machines: their files are copied, their keeper started, over SSH.

A remote keeper holds its stations exactly as the local one does; what joins the two is the link,
which makes the remote sockets appear here.
"""

from pathlib import Path, PurePosixPath

from enpire_tui.fleet import Fleet, HostEntry, StationEntry
from enpire_tui.link import copy_files, run_on, start_remote, write_host
from enpire_tui.provision import NICE_LOCKSTEP, THREADS
from enpire_tui.run_spec import RunSpec
from robots.wire.keeper import ProcessSpec, write_specs
from robots.wire.ssh import HostSpec, LinkError, connect

SOCKETS = ("cmd", "tel")

_STOP = """
import signal, sys, time
from pathlib import Path
from robots.wire.keeper import keeper_identity
from robots.wire.processes import is_alive, send_signal
found = keeper_identity(Path(sys.argv[1]))
if found is not None:
    send_signal(found, signal.SIGTERM)
    until = time.monotonic() + 30
    while is_alive(found):
        if time.monotonic() > until:
            sys.exit("the keeper did not end")
        time.sleep(0.05)
"""

# Whatever an earlier run left is put away before the next begins; a latched stop stays in force.
_PUT_AWAY = """
import shutil, sys
from pathlib import Path
home, run = Path(sys.argv[1]), sys.argv[2]
home.mkdir(parents=True, exist_ok=True)
mark = home / "run_id"
last = mark.read_text().strip() if mark.exists() else ""
if last and last != run:
    kept = home / "runs" / last
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("journals", "stations"):
        if (home / name).exists():
            shutil.move(home / name, kept / name)
    for latch in (kept / "stations").glob("*/estop"):
        place = home / "stations" / latch.parent.name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy2(latch, place / "estop")
mark.write_text(run)
"""


def stations_of(fleet: Fleet, host: str) -> tuple[StationEntry, ...]:
    """Stations that run on a host."""
    return tuple(each for each in fleet.station if each.host == host)


def host_spec(fleet: Fleet, name: str) -> HostSpec:
    """A host as its link knows it."""
    entry = fleet.hosts[name]
    return HostSpec(
        name=name,
        address=entry.address,
        port=entry.port,
        username=entry.user or Path.home().name,
        client_key=str(Path(entry.key).expanduser()) if entry.key else "",
        known_hosts=str(Path(entry.known_hosts).expanduser()),
        home=entry.home,
        python=entry.python,
        forwards=tuple(
            f"{each.name}.{kind}" for each in stations_of(fleet, name) for kind in SOCKETS
        ),
    )


def write_links(fleet: Fleet, home: Path) -> None:
    """Writes what the links of this home read."""
    for name in fleet.hosts:
        write_host(home, host_spec(fleet, name))


async def start(fleet: Fleet, home: Path, spec: RunSpec) -> None:
    """Copies files and starts the keeper on every host; one that runs already is left alone.

    Raises:
        LinkError: A host cannot be reached, refuses us, or something failed there.
    """
    for name in fleet.hosts:
        if not stations_of(fleet, name):
            continue
        host = host_spec(fleet, name)
        async with await connect(host) as connection:
            await run_on(connection, host, _python(host, _PUT_AWAY, host.home, spec.run_id))
        await copy_files(host, _files(fleet, home, host))
        log = str(PurePosixPath(host.home) / "logs" / "keeper.log")
        await start_remote(host, [host.python, "-m", "robots.wire.keeper", host.home], log)


async def stop(fleet: Fleet) -> list[str]:
    """Ends the keeper on every host; what could not be ended is told in words."""
    failed: list[str] = []
    for name in fleet.hosts:
        if not stations_of(fleet, name):
            continue
        host = host_spec(fleet, name)
        try:
            async with await connect(host) as connection:
                await run_on(connection, host, _python(host, _STOP, host.home))
        except LinkError as error:
            failed.append(str(error))
    return failed


def _python(host: HostSpec, code: str, *arguments: str) -> list[str]:
    return [host.python, "-c", code, *arguments]


def _files(fleet: Fleet, home: Path, host: HostSpec) -> list[tuple[Path, str]]:
    """What a host's stations need: their own keys and settings, who is let in, nothing more."""
    there = PurePosixPath(host.home)
    staged = home / "hosts" / host.name
    staged.mkdir(mode=0o700, parents=True, exist_ok=True)
    stations = stations_of(fleet, host.name)
    write_specs(staged, [_process(fleet.hosts[host.name], each) for each in stations])
    names = ["keys/authorized.toml"]
    for each in stations:
        names += [f"keys/{each.name}.{kind}" for kind in ("key", "pub", "sign")]
        names.append(f"stations/{each.name}/station.toml")
    files = [(home / name, str(there / name)) for name in names]
    return [*files, (staged / "keeper.json", str(there / "keeper.json"))]


def _process(host: HostEntry, station: StationEntry) -> ProcessSpec:
    call = "import sys; from robots.station.cli import main; sys.exit(main())"
    return ProcessSpec(
        name=station.name,
        argv=(host.python, "-c", call, "--home", host.home, "--name", station.name),
        log=str(PurePosixPath(host.home) / "logs" / f"{station.name}.log"),
        env={**THREADS, "MUJOCO_GL": "egl"},
        nice=NICE_LOCKSTEP if station.clock == "lockstep" else 0,
    )
