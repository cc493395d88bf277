"""What a fleet file says: its tables as structs, and the error that names what is wrong in one."""

import re

import msgspec

UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
# Drivers with which no person can be hurt, so that a built-in policy may hand over.
SIMULATED_DRIVERS = frozenset({"mujoco", "gymnasium"})


class FleetError(ValueError):
    """A fleet that cannot be used; the message names file, key and remedy."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the file's tables: an unknown key is an error, not a guess."""


class StationEntry(Entry, frozen=True):
    """One station.

    Attributes:
        task: "" for the fleet's task.
        agent: Backend of its agent, "" for the fleet's, "none" for no agent.
        host: Name of a host of the file, "" for this machine.
        seed: Fixed draw of a simulated station's world; by its position when left out.
    """

    name: str
    task: str = ""
    driver: str = "mujoco"
    clock: str = "lockstep"
    agent: str = ""
    host: str = ""
    seed: int | None = None
    unsandboxed: bool = False


class HostEntry(Entry, frozen=True):
    """A machine that is reached by SSH.

    Attributes:
        key: File of the private key.
        known_hosts: File with the host's key; an unknown or changed one is refused.
        python: Interpreter there, with `enpire-tui` installed.
        home: The fleet's folder there, an absolute path.
    """

    address: str
    known_hosts: str
    home: str
    port: int = 22
    user: str = ""
    key: str = ""
    python: str = "python3"


class BoxEntry(Entry, frozen=True):
    """A machine, or a cluster's login node, for training jobs.

    Attributes:
        kind: What starts a job there: `local` and `ssh` a process, else the cluster's queue.
        host: Name of a host of the file, "" for this machine.
        ray: Address of Ray's dashboard, seen from there.
    """

    kind: str = "local"
    host: str = ""
    gpus: int = 0
    ray: str = "http://127.0.0.1:8265"


class BudgetEntry(Entry, frozen=True):
    """What a run may spend; durations with their unit, such as "15 min". 0 is no bound.

    Attributes:
        robot_time: Of all robots together, "" for no bound.
        training_time: Of all agents' training jobs together, a share each; "" for no bound.
    """

    time: str = "15 min"
    robot_time: str = ""
    training_time: str = ""
    ideas: int = 0
    tokens: int = 0


class AgentEntry(Entry, frozen=True):
    """What all agents have in common.

    Attributes:
        model: Of a language model, "" for the backend's default.
        program: Of the backend "acp": which command-line agent.
        sees: Whether the model is shown pictures; left out for what is usual with the backend.
        box: Where their training jobs run, a name of `[boxes]`; "local" for this machine.
    """

    backend: str = "search"
    model: str = ""
    program: str = ""
    box: str = "local"
    sees: bool | msgspec.UnsetType = msgspec.UNSET


class ProviderEntry(Entry, frozen=True):
    """Where a provider of language models is, and where its key lies on the gateway's host.

    Attributes:
        base_url: "" for the provider's own address.
        key_env: Variable of the environment with the key, "" for the provider's usual one.
        key_file: File with it, in the variable's place.
        requests_per_minute: Of the whole fleet; 0 for no limit.
        tokens_per_minute: Fresh input and output of the whole fleet; 0 for no limit.
    """

    base_url: str = ""
    key_env: str = ""
    key_file: str = ""
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


class LiteratureEntry(Entry, frozen=True):
    """What agents may read of the literature.

    Attributes:
        folder: Of papers as text, "" for its place in the fleet's home.
        arxiv: Whether they may search and read arXiv, through the gateway.
        arxiv_url: A mirror of it, "" for its own address for programs.
    """

    folder: str = ""
    arxiv: bool = False
    arxiv_url: str = ""


class Fleet(Entry, frozen=True):
    """A fleet, checked.

    Attributes:
        recipe: What a run starts from, as `evaluate` names recipes; "" for the task's baseline.
        people: Public keys (hexadecimal) of those who may sign a policy file.
    """

    name: str
    task: str = "push_t"
    recipe: str = ""
    seed: int = 0
    station: tuple[StationEntry, ...] = ()
    hosts: dict[str, HostEntry] = {}
    boxes: dict[str, BoxEntry] = {}
    budget: BudgetEntry = BudgetEntry()
    agent: AgentEntry = AgentEntry()
    providers: dict[str, ProviderEntry] = {}
    literature: LiteratureEntry = LiteratureEntry()
    people: dict[str, str] = {}

    @property
    def minutes(self) -> float:
        """Research wall clock of a run, in minutes."""
        return seconds(self.budget.time, "budget.time") / 60.0

    @property
    def robot_minutes(self) -> float:
        """Minutes of all robots together; 0 without a bound."""
        text = self.budget.robot_time
        return seconds(text, "budget.robot_time") / 60.0 if text else 0.0

    @property
    def training_minutes(self) -> float:
        """Minutes of all training jobs of agents together; 0 without a bound."""
        text = self.budget.training_time
        return seconds(text, "budget.training_time") / 60.0 if text else 0.0

    @property
    def simulated(self) -> bool:
        """Whether no station of the fleet moves anything real."""
        return all(each.driver in SIMULATED_DRIVERS for each in self.station)

    def task_of(self, station: StationEntry) -> str:
        return station.task or self.task

    def backend_of(self, station: StationEntry) -> str:
        return station.agent or self.agent.backend


def seconds(text: str, key: str) -> float:
    """Seconds of a duration such as "15 min".

    Raises:
        FleetError: No number, or a unit other than s, min and h.
    """
    match = DURATION.fullmatch(text)
    if match is None:
        raise FleetError(f'{key}: {text!r} is no duration; write a number and a unit ("15 min")')
    number, unit = match.groups()
    if unit not in UNITS_S:
        found = f"unit {unit!r}" if unit else "missing unit"
        raise FleetError(f'{key}: {found} in {text!r}; use s, min or h, as in "15 min"')
    return float(number) * UNITS_S[unit]
