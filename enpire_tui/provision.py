"""Makes a fleet's home: keys, settings of every daemon, the run's repository, the keeper's list.

Nothing here starts anything. Run twice, it changes nothing but what the fleet file changed.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agents.gateway.settings import ARXIV
from agents.git.repository import Repository
from agents.programs.table import program_named
from agents.search import settings
from enpire_tui import evaluate
from enpire_tui import home as places
from enpire_tui.fleet import Fleet, FleetError, ProviderEntry, StationEntry, write_fleet
from enpire_tui.run_spec import FILE, RunSpec, read_spec, write_spec
from enpire_tui.supervisor.budgets import Budget
from enpire_tui.toml_text import Value, to_toml
from recipes import shipped
from robots.station.archive import ArchiveRefused
from robots.wire import keys
from robots.wire.keeper import ProcessSpec, write_specs
from robots.wire.records import EnvironmentManifest, RecipeArchive
from robots.wire.signing import SigningKey

# One thread a process: several stations share the cores, and a library's own threads only fight.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Lockstep stations and agents give way to the supervisor; a real-time station gives way to nobody.
NICE_LOCKSTEP, NICE_AGENT = 5, 7
OF_A_RUN = ("journals", "agents", "stations")
LATCH = "estop"
LOCAL = "local"


def provision(fleet: Fleet, home: Path) -> RunSpec:
    """Makes or completes the home, with a new run if the last one is over.

    Raises:
        FleetError: The baseline recipe is missing or refused.
    """
    for folder in ("keys", "pids", "logs", "journals", "runs"):
        (home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    last = read_spec(home) if (home / FILE).exists() else None
    if last is not None and not places.ended(home, last):
        fleet_changed = last.stations != tuple(each.name for each in fleet.station)
        if fleet_changed or last.task != fleet.task:
            raise FleetError(
                f"{home}: run {last.run_id} of {last.task} on {', '.join(last.stations)} has not "
                "ended; finish it with the same fleet, or choose another --home"
            )
    elif last is not None:
        _put_away(home, last)
        last = None
    write_fleet(fleet, home / "fleet.toml")
    keys.provision(home, places.roles_of(fleet))
    grants = _signing_key(home, places.SUPERVISOR)
    trusted = {each.name: _signing_key(home, each.name) for each in fleet.station}
    spec = last or _new_run(fleet, home, trusted)
    write_spec(home, spec)
    for number, station in enumerate(fleet.station, start=1):
        _write_station(fleet, home, station, number, grants)
    for station, agent in places.agents_of(fleet).items():
        _write_agent(fleet, home, station, agent)
    _write_gateway(fleet, home)
    if fleet.hosts:
        from enpire_tui.hosts import write_links

        write_links(fleet, home)
    if fleet.agent.box != LOCAL:
        from enpire_tui.boxes import write_agents_box

        write_agents_box(fleet, home)
    write_specs(home, process_specs(fleet, home))
    return spec


def baseline_of(task: str) -> RecipeArchive:
    """The recipe a run of this task starts from.

    Raises:
        FleetError: There is none, or it may not travel.
    """
    try:
        return shipped.pack(task, "baseline")
    except ArchiveRefused as error:
        raise FleetError(f"task {task!r}: no usable baseline recipe: {error}") from None


def start_of(fleet: Fleet, home: Path) -> RecipeArchive:
    """The recipe that a fleet's run starts from.

    Raises:
        FleetError: There is none, it may not travel, or it has yet to be trained.
    """
    if not fleet.recipe:
        return baseline_of(fleet.task)
    wanted = evaluate.Options(recipe=fleet.recipe, task=fleet.task, episodes=1)
    found, _ = evaluate.find_recipe(wanted, home)
    if settings.learns(found.files) and settings.WEIGHTS_FILE not in found.files:
        raise FleetError(
            f"recipe: {fleet.recipe} has learned nothing yet; `enpire-tui train {fleet.recipe} "
            f"--task {fleet.task} --data DATASET --id ID`, and start from ID"
        )
    return found


def process_specs(fleet: Fleet, home: Path) -> list[ProcessSpec]:
    """What the keeper of this machine keeps."""
    specs = [_python(home, places.SUPERVISOR, "enpire_tui.supervisor", "--home", str(home))]
    if places.needs_gateway(fleet):
        specs.append(_python(home, places.GATEWAY, "agents.gateway", "--home", str(home)))
    specs += [
        _python(home, f"link-{host}", "enpire_tui.link", str(home), host) for host in fleet.hosts
    ]
    for each in fleet.station:
        if not each.host:
            specs += station_processes(home, each)
    specs += [
        _script(home, agent, "enpire-agent", "agents.cli", nice=NICE_AGENT)
        for agent in places.agents_of(fleet).values()
    ]
    return specs


def station_processes(home: Path, station: StationEntry) -> list[ProcessSpec]:
    """How a station daemon is started, and beside it the simulated robot of one in real time."""
    lockstep = station.clock == "lockstep"
    nice = NICE_LOCKSTEP if lockstep else 0
    specs = [_script(home, station.name, "enpire-robot", "robots.station.cli", nice=nice)]
    if station.driver == "mujoco" and not lockstep:
        robot = ("--home", str(home), "--name", station.name)
        specs.append(_python(home, f"robot-{station.name}", "robots.drivers.robot_process", *robot))
    return specs


def _python(home: Path, name: str, module: str, *arguments: str) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-m", module, *arguments),
        log=str(home / "logs" / f"{name}.log"),
    )


def _script(home: Path, name: str, script: str, module: str, *, nice: int) -> ProcessSpec:
    """A console script of ours, or the function behind it where only the package is importable."""
    beside = Path(sys.executable).parent / script
    call = f"import sys; from {module} import main; sys.exit(main())"
    program = (str(beside),) if beside.exists() else (sys.executable, "-c", call)
    environment = {**THREADS, "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")}
    return ProcessSpec(
        name=name,
        argv=(*program, "--home", str(home), "--name", name),
        log=str(home / "logs" / f"{name}.log"),
        env=environment,
        nice=nice,
    )


def _signing_key(home: Path, name: str) -> bytes:
    """Public half of a daemon's signing key, made if there is none."""
    path = home / "keys" / f"{name}.sign"
    try:
        return SigningKey.load_or_create(path).public
    except (OSError, ValueError) as error:
        raise FleetError(f"{path}: {error}; restore the key, or choose another --home") from None


def _new_run(fleet: Fleet, home: Path, trusted: Mapping[str, bytes]) -> RunSpec:
    run_id = time.strftime("r%Y%m%d-%H%M%S", time.gmtime())
    baseline = start_of(fleet, home)
    origin = Repository.create(
        places.origin_of(home, run_id), baseline.files, {"TASK.md": _brief(fleet).encode()}
    )
    agent_of = places.agents_of(fleet)
    return RunSpec(
        run_id=run_id,
        task=fleet.task,
        seed=fleet.seed,
        backend=fleet.agent.backend,
        stations=tuple(each.name for each in fleet.station),
        agents=tuple(agent_of.values()),
        agent_of=agent_of,
        trusted=dict(trusted),
        budget=Budget(
            minutes=fleet.minutes,
            robot_minutes=fleet.robot_minutes,
            ideas=fleet.budget.ideas,
            tokens=fleet.budget.tokens,
        ),
        baseline_commit=origin.baseline,
        baseline=baseline,
        simulated=fleet.simulated,
        unsandboxed=any(each.unsandboxed for each in fleet.station),
        gateway=places.needs_gateway(fleet),
        people=tuple(bytes.fromhex(each) for each in fleet.people.values()),
    )


def _brief(fleet: Fleet) -> str:
    """What agents are told of the task: what a policy sees and does, never how it is scored."""
    from robots.station.tasks import load_task

    spec = load_task(fleet.task).spec
    keys_seen = "".join(
        f"- `{each.key}`: shape {each.shape}, {each.unit or 'no unit'}\n"
        for each in spec.observation
    )
    keys_seen += "".join(
        f"- `image.{each.name}`: uint8, shape {(*each.policy, 3)}, RGB\n"
        for each in spec.cameras
        if each.policy
    )
    limits = spec.limits
    return (
        f"# {spec.name}\n\n{spec.description}\n\n## Observation\n{keys_seen}\n## Action\n"
        f"- `{spec.action_name}`: shape {limits.shape}, {spec.action_unit or 'no unit'}, "
        f"from {limits.low} to {limits.high}\n\n## Rates\nThe policy acts at {spec.policy_hz:g} Hz "
        f"for at most {spec.episode_limit_s:g} s an episode.\n"
    )


def _write_station(
    fleet: Fleet, home: Path, station: StationEntry, number: int, grant_key: bytes
) -> None:
    own = station.seed if station.seed is not None else number
    table: dict[str, Value] = {
        "task": fleet.task_of(station),
        "driver": station.driver,
        "clock": station.clock,
        # A run's seed draws other worlds: the same stations, other frictions and cameras.
        "station_seed": fleet.seed * 1000 + own,
        "grant_keys": [grant_key.hex()],
        "sandbox": "off" if station.unsandboxed else "required",
        **_published(fleet, home, fleet.task_of(station)),
    }
    _write(home / "stations" / station.name / "station.toml", table)


def _published(fleet: Fleet, home: Path, name: str) -> dict[str, Value]:
    """What a station is told of a published task: its signed manifest, and who may sign one.

    Raises:
        FleetError: The task is no longer what was published, or by someone unknown.
    """
    from robots.bench.record import Records
    from robots.station.tasks import load_task
    from robots.wire import codec, signing

    if name.startswith("gym:"):
        return {}
    task = load_task(name)
    people: list[Value] = [*fleet.people.values()]
    try:
        signed = Records(places.environments(home)).published(task)
        if signed is None:
            return {}
        keys = [bytes.fromhex(each) for each in fleet.people.values()]
        manifest = signing.verify(signed, EnvironmentManifest, keys)
    except (signing.SignatureRefused, codec.DecodeError) as error:
        raise FleetError(f"task {name}: {error}; publish it again with a key of [people]") from None
    changed = {key for key, _ in task.files().items() ^ manifest.files.items()}
    if changed:
        raise FleetError(
            f"task {name}: not what was published: {', '.join(sorted(changed))}; restore it, or "
            "publish it again"
        )
    return {"publishers": people, "published": codec.encode(signed).hex()}


def _write_agent(fleet: Fleet, home: Path, station: str, agent: str) -> None:
    position = [each.name for each in fleet.station].index(station)
    table: dict[str, Value] = {
        "station": station,
        "backend": fleet.backend_of(fleet.station[position]),
        "seed": fleet.seed * 1000 + position + 1,
        "sandboxed": not fleet.station[position].unsandboxed,
        "model": fleet.agent.model,
        "program": fleet.agent.program,
        "job_minutes": fleet.training_minutes / max(len(places.agents_of(fleet)), 1),
        "literature": _absolute(fleet.literature.folder),
        "box": fleet.agent.box,
    }
    if fleet.agent.sees is not msgspec.UNSET:
        table["sees"] = fleet.agent.sees
    _write(home / "agents" / agent / "agent.toml", table)


def _absolute(folder: str) -> str:
    """A folder for a daemon, which starts elsewhere; "" stays."""
    return str(Path(folder).expanduser().resolve()) if folder else ""


PROVIDERS = {
    "anthropic": ("https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    "openai": ("https://api.openai.com", "OPENAI_API_KEY"),
}
UNBOUNDED_TOKENS = 1_000_000_000


def provider(fleet: Fleet, name: str) -> dict[str, Value]:
    """Where a provider is, where its key lies and how fast it may be asked, as a gateway is told."""
    url, variable = PROVIDERS[name]
    entry = fleet.providers.get(name, ProviderEntry())
    return {
        "base_url": entry.base_url or url,
        "key_file": entry.key_file,
        "key_env": entry.key_env or variable,
        "requests_per_minute": entry.requests_per_minute,
        "tokens_per_minute": entry.tokens_per_minute,
    }


def _write_gateway(fleet: Fleet, home: Path) -> None:
    """Providers, papers, and for each agent its slice of the run's tokens; a hand-made file stays."""
    path = home / "gateway" / "gateway.toml"
    backends = {fleet.backend_of(each) for each in fleet.station}
    if "acp" in backends:
        backends.add(program_named(fleet.agent.program).provider)
    used = backends & {*PROVIDERS}
    if not used and not fleet.providers and not fleet.literature.arxiv:
        return
    providers: dict[str, Value] = {}
    for name in sorted({*used, *fleet.providers}):
        providers[name] = provider(fleet, name)
    agents = places.agents_of(fleet).values()
    share = fleet.budget.tokens // max(len(agents), 1) or UNBOUNDED_TOKENS
    slices: dict[str, Value] = {agent: {"budget_tokens": share} for agent in agents}
    asked = fleet.literature
    arxiv: dict[str, Value] = {"enabled": asked.arxiv, "base_url": asked.arxiv_url or ARXIV}
    _write(path, {"providers": providers, "agents": slices, "arxiv": arxiv})


def _write(path: Path, table: Mapping[str, Value]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(to_toml(table), encoding="utf-8")
    new.replace(path)


def _put_away(home: Path, last: RunSpec) -> None:
    """Moves what belongs to the ended run into its folder; secrets and seeds begin anew with it.

    SAFETY: a latched emergency stop is a person's to clear, so it stays where it is.
    """
    kept = places.run_folder(home, last.run_id)
    for name in OF_A_RUN:
        if (home / name).exists():
            shutil.move(home / name, kept / name)
    shutil.copy2(home / FILE, kept / FILE)
    for latch in (kept / "stations").glob(f"*/{LATCH}"):
        place = home / "stations" / latch.parent.name / LATCH
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(latch, place)
    (home / "journals").mkdir(mode=0o700, exist_ok=True)
