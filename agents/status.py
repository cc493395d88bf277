"""What an agent answers to `GetStatus`."""

from robots.wire.records import Frozen


class AgentStatus(Frozen):
    """An agent at one moment.

    Attributes:
        label: What thinks, in words for people.
        state: THINKING, EXPLORING, WAITING, PAUSED, STOPPED or FAILED.
        pending: Ideas handed in whose decision is not known.
        disputes: How often the usage that its SDK or program told was not what the gateway counted.
        robot_s: Robot seconds spent on exploration.
    """

    name: str
    station: str
    backend: str
    label: str
    state: str
    detail: str
    run_id: str
    ideas: int
    pending: tuple[str, ...]
    adopted: int
    robot_s: float
    supervisor_reached: bool = True
    disputes: int = 0
