"""The fleet file: which stations, agents and hosts there are, in TOML.

A wrong file is refused whole, before anything is started, by a message that names the file, the
key, what was found there and what to write instead.
"""

import re
import tomllib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from agents.programs.table import PROGRAMS
from enpire_tui.fleet_entries import (
    SIMULATED_DRIVERS,
    UNITS_S,
    AgentEntry,
    BoxEntry,
    BudgetEntry,
    Entry,
    Fleet,
    FleetError,
    HostEntry,
    LiteratureEntry,
    ProviderEntry,
    StationEntry,
    seconds,
)
from enpire_tui.toml_text import Value, to_toml

__all__ = [
    "SIMULATED_DRIVERS",
    "UNITS_S",
    "AgentEntry",
    "BoxEntry",
    "BudgetEntry",
    "Entry",
    "Fleet",
    "FleetError",
    "HostEntry",
    "LiteratureEntry",
    "ProviderEntry",
    "StationEntry",
    "seconds",
]

T = TypeVar("T")

Refuse = Callable[[str, str], "FleetError"]

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
RESERVED = frozenset({"supervisor", "gateway", "operator", "viewer", "keeper", "link"})
# Any other is the name of an installed entry point.
BUILT_IN = ("search", "anthropic", "openai", "acp")
PROVIDERS = ("anthropic", "openai")
CLOCKS = ("lockstep", "realtime")
BOX_KINDS = ("local", "ssh", "slurm", "ray")
MOST_STATIONS = 64


def backends() -> tuple[str, ...]:
    """Backends that a fleet file may name: those built in, and those installed beside them."""
    installed = {point.name for point in entry_points(group="enpire.backends")}
    return (*BUILT_IN, *sorted(installed - {*BUILT_IN, "none"}))


def agent_name(station: str) -> str:
    """Name of a station's agent: `a1` for `s1`, `agent-NAME` for a station of another name."""
    number = station.removeprefix("s")
    return f"a{number}" if station.startswith("s") and number.isdigit() else f"agent-{station}"


def demo_fleet(stations: int = 4, task: str = "push_t", backend: str = "search") -> Fleet:
    """Simulated lockstep stations with an agent each, and this machine as the only box."""
    if not 1 <= stations <= MOST_STATIONS:
        raise FleetError(f"--stations: {stations} is not between 1 and {MOST_STATIONS}")
    driver = "gymnasium" if task.startswith("gym:") else "mujoco"
    return check(
        Fleet(
            name="demo",
            task=task,
            station=tuple(
                StationEntry(name=f"s{number}", driver=driver) for number in range(1, stations + 1)
            ),
            boxes={"local": BoxEntry()},
            agent=AgentEntry(backend=backend),
        ),
        "demo fleet",
    )


def read_fleet(path: Path) -> Fleet:
    """Reads and checks a fleet file.

    Raises:
        FleetError: Naming file, key and remedy.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FleetError(
            f"{path}: cannot be read ({error.strerror}); name an existing file with --fleet"
        ) from None
    except UnicodeDecodeError as error:
        raise FleetError(f"{path}: is not UTF-8 text ({error.reason})") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FleetError(f"{path}: is not TOML: {error}; correct that line") from None
    return check(_converted(table, str(path)), str(path))


def write_fleet(fleet: Fleet, path: Path) -> None:
    """Writes the resolved fleet, as the daemons were started from it."""
    plain = msgspec.json.decode(msgspec.json.encode(_without_none(fleet)))
    path.write_text(to_toml(cast("dict[str, Value]", plain)), encoding="utf-8")


def check(fleet: Fleet, source: str) -> Fleet:
    """The same fleet, if it can be used.

    Raises:
        FleetError: Naming `source`, the key and the remedy.
    """

    def refuse(key: str, problem: str) -> FleetError:
        return FleetError(f"{source}: {key}: {problem}")

    if not NAME.fullmatch(fleet.name):
        raise refuse("name", f"{fleet.name!r} is not a name; use a-z, 0-9 and -, 32 at most")
    if not fleet.station:
        raise refuse("station", "there is none; add a [[station]] table with a name")
    if len(fleet.station) > MOST_STATIONS:
        raise refuse("station", f"{len(fleet.station)} stations; {MOST_STATIONS} are the most")
    _check_budget(fleet, refuse)
    seen: set[str] = set()
    for station in fleet.station:
        _check_station(fleet, station, seen, refuse)
        seen.update((station.name, agent_name(station.name)))
    if fleet.agent.backend not in backends():
        raise refuse("agent.backend", _one_of(fleet.agent.backend, backends()))
    if "acp" in {fleet.backend_of(each) for each in fleet.station} and (
        fleet.agent.program not in PROGRAMS
    ):
        raise refuse("agent.program", _one_of(fleet.agent.program, tuple(sorted(PROGRAMS))))
    for name, host in fleet.hosts.items():
        _check_host(name, host, refuse)
    for name, box in fleet.boxes.items():
        _check_box(fleet, f"boxes.{name}", box, refuse)
    boxes = tuple(sorted({*fleet.boxes, "local"}))
    if fleet.agent.box not in boxes:
        raise refuse("agent.box", _one_of(fleet.agent.box, boxes))
    _check_outside(fleet, refuse)
    return fleet


def _check_outside(fleet: Fleet, refuse: Refuse) -> None:
    """Providers, literature and people."""
    for name in fleet.providers:
        if name not in PROVIDERS:
            raise refuse(f"providers.{name}", _one_of(name, PROVIDERS))
        for key in ("requests_per_minute", "tokens_per_minute"):
            if getattr(fleet.providers[name], key) < 0:
                raise refuse(f"providers.{name}.{key}", "must be 0 or more; 0 is no limit")
    folder = fleet.literature.folder
    if folder and not Path(folder).expanduser().is_dir():
        raise refuse("literature.folder", f"{folder!r} is no folder; make it, or name another")
    if fleet.literature.arxiv_url and not re.match(r"https?://\w", fleet.literature.arxiv_url):
        found = fleet.literature.arxiv_url
        raise refuse("literature.arxiv_url", f"{found!r} is no address; give http(s)://host")
    for name, text in fleet.people.items():
        if not re.fullmatch(r"[0-9a-f]{64}", text):
            raise refuse(f"people.{name}", "is not a public key; use its 64 hexadecimal digits")


def _check_budget(fleet: Fleet, refuse: Refuse) -> None:
    for key in ("time", "robot_time", "training_time"):
        text: str = getattr(fleet.budget, key)
        if key != "time" and not text:
            continue
        try:
            found_s = seconds(text, f"budget.{key}")
        except FleetError as error:
            raise refuse(f"budget.{key}", str(error).partition(": ")[2]) from None
        if found_s <= 0:
            raise refuse(f"budget.{key}", f"{text!r} is nothing; give a run some time")
    for key in ("ideas", "tokens"):
        if getattr(fleet.budget, key) < 0:
            raise refuse(f"budget.{key}", "is below 0; use 0 for no bound")


def _check_station(fleet: Fleet, station: StationEntry, seen: set[str], refuse: Refuse) -> None:
    key = f"station {station.name!r}"
    if not NAME.fullmatch(station.name):
        raise refuse(f"{key}: name", "is not a name; use a-z, 0-9 and -, 32 at most")
    if station.name in RESERVED or station.name.startswith("link-"):
        raise refuse(f"{key}: name", "is a daemon of the fleet itself; choose another")
    if station.name in seen:
        raise refuse(f"{key}: name", "is there twice; every station needs its own")
    if station.clock not in CLOCKS:
        raise refuse(f"{key}: clock", _one_of(station.clock, CLOCKS))
    if station.agent and station.agent not in (*backends(), "none"):
        raise refuse(f"{key}: agent", _one_of(station.agent, (*backends(), "none")))
    if station.host and station.host not in fleet.hosts:
        raise refuse(
            f"{key}: host", f"{station.host!r} is not in the file; add [hosts.{station.host}]"
        )


def _check_host(name: str, host: HostEntry, refuse: Refuse) -> None:
    if not 0 < host.port < 65536:
        raise refuse(f"hosts.{name}.port", f"{host.port} is no port; use 1 to 65535")
    if not host.home.startswith("/"):
        raise refuse(f"hosts.{name}.home", f"{host.home!r} is not absolute; begin it with /")
    if not Path(host.known_hosts).expanduser().is_file():
        raise refuse(
            f"hosts.{name}.known_hosts",
            f"{host.known_hosts} does not exist; write the host's key there "
            f"(ssh-keyscan -p {host.port} {host.address}, compared by a person)",
        )


def _check_box(fleet: Fleet, key: str, box: BoxEntry, refuse: Refuse) -> None:
    if box.kind not in BOX_KINDS:
        raise refuse(f"{key}.kind", _one_of(box.kind, BOX_KINDS))
    if box.host and box.host not in fleet.hosts:
        raise refuse(f"{key}.host", f"{box.host!r} is not in the file; add [hosts.{box.host}]")
    if (box.kind == "ssh") > bool(box.host):
        raise refuse(f"{key}.host", "is missing; name one of [hosts]")
    if box.kind == "local" and box.host:
        raise refuse(f"{key}.kind", "'local' is this machine; use 'ssh' for a host")


def check_tasks(fleet: Fleet, source: str) -> None:
    """Refuses a task that this installation does not have.

    Raises:
        FleetError: Naming `source`, the station and the known tasks.
    """
    from robots.station.tasks import TaskError, load_task

    for station in fleet.station:
        task = fleet.task_of(station)
        try:
            load_task(task)
        except TaskError as error:
            key = f"station {station.name!r}: task" if station.task else "task"
            raise FleetError(f"{source}: {key}: {error}") from None


def _one_of(found: str, allowed: tuple[str, ...]) -> str:
    return f"{found!r} is unknown; use one of {', '.join(allowed)}"


def _converted(table: dict[str, Any], source: str) -> Fleet:
    stations: list[StationEntry] = []
    entries: object = table.pop("station", [])
    if not isinstance(entries, list):
        raise FleetError(f"{source}: station: is one table; write [[station]], once a station")
    for index, entry in enumerate(cast("list[object]", entries), start=1):
        found: object = entry
        named = cast("dict[str, object]", entry).get("name") if isinstance(entry, dict) else None
        label = f"station {named!r}" if isinstance(named, str) else f"station number {index}"
        stations.append(_as(StationEntry, found, source, label))
    hosts = _tables(HostEntry, table.pop("hosts", {}), source, "hosts")
    boxes = _tables(BoxEntry, table.pop("boxes", {}), source, "boxes")
    providers = _tables(ProviderEntry, table.pop("providers", {}), source, "providers")
    table.setdefault("name", Path(source).stem.lower())
    fleet = _as(Fleet, table, source, "")
    return msgspec.structs.replace(
        fleet, station=tuple(stations), hosts=hosts, boxes=boxes, providers=providers
    )


def _tables(kind: type[T], found: object, source: str, key: str) -> dict[str, T]:
    if not isinstance(found, dict):
        raise FleetError(f"{source}: {key}: is no table; write [{key}.NAME]")
    entries = cast("dict[str, object]", found)
    return {name: _as(kind, each, source, f"{key}.{name}") for name, each in entries.items()}


def _as(kind: type[T], found: object, source: str, label: str) -> T:
    """`found` as `kind`; msgspec's error is told in the file's own words."""
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at ")
        inner = path.strip("`").removeprefix("$").removeprefix(".").replace("[...]", "")
        unknown = re.search(r"unknown field `(\w+)`", problem)
        missing = re.search(r"missing required field `(\w+)`", problem)
        if unknown is not None:
            inner = f"{inner}.{unknown[1]}".removeprefix(".")
            remedy = f"is an unknown key; remove it or use one of {', '.join(_keys(kind, path))}"
        elif missing is not None:
            inner = f"{inner}.{missing[1]}".removeprefix(".")
            remedy = "is missing; add it"
        else:
            remedy = problem[0].lower() + problem[1:] + "; correct the value"
        key = f"{label}: {inner}" if label and inner else label or inner
        raise FleetError(f"{source}: {key}: {remedy}") from None


def _keys(kind: type[Any], path: str) -> tuple[str, ...]:
    """Keys of the table an error lies in."""
    tables: dict[str, type[Entry]] = {
        "budget": BudgetEntry,
        "agent": AgentEntry,
        "literature": LiteratureEntry,
    }
    first = path.strip("`").removeprefix("$.").split("[")[0].split(".")[0]
    struct = tables.get(first, kind)
    return tuple(field.name for field in msgspec.structs.fields(struct))


def _without_none(fleet: Fleet) -> Fleet:
    stations = tuple(
        msgspec.structs.replace(each, seed=each.seed if each.seed is not None else number)
        for number, each in enumerate(fleet.station, start=1)
    )
    return msgspec.structs.replace(fleet, station=stations)
