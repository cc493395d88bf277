"""Scripted faults of the simulated robot: what a machine does to its owner, on request.

A file `stations/NAME/drill.toml` beside the robot's latch, read while the robot runs. It can make a
robot worse only: no key clears a fault, a latch or a limit. Tests write it, and whoever wants to see
what a station does when a motor runs hot.
"""

import logging
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)


class Drill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wrong with the robot.

    Attributes:
        motor_c: Temperature that its hottest motor reports.
        drives_dead: Its drives push no longer; they go on to take set-points.
        camera_frozen: Its cameras send the last picture again.
    """

    motor_c: float = 35.0
    drives_dead: bool = False
    camera_frozen: bool = False


WELL = Drill()


def read(path: Path) -> Drill:
    """The drill in force: `WELL` without a file, and with one that cannot be read, which is logged."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Drill)
    except FileNotFoundError:
        return WELL
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s: %s; keys are %s", path, error, ", ".join(Drill.__struct_fields__))
        return WELL
