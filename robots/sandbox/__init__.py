"""The one sandbox, for workers, agents and jobs: bubblewrap, control groups and limits."""

from robots.sandbox.availability import Availability, probe
from robots.sandbox.bubblewrap import start
from robots.sandbox.exits import Counters, Exit, ExitReason
from robots.sandbox.process import Sandbox
from robots.sandbox.python import SITE, PythonInside, python_mounts
from robots.sandbox.spec import (
    SANDBOX_UID,
    Bind,
    Data,
    Limits,
    Mask,
    Mount,
    SandboxError,
    SandboxSpec,
    Scratch,
    Symlink,
    SyscallFilter,
)

__all__ = [
    "SANDBOX_UID",
    "SITE",
    "Availability",
    "Bind",
    "Counters",
    "Data",
    "Exit",
    "ExitReason",
    "Limits",
    "Mask",
    "Mount",
    "PythonInside",
    "Sandbox",
    "SandboxError",
    "SandboxSpec",
    "Scratch",
    "Symlink",
    "SyscallFilter",
    "probe",
    "python_mounts",
    "start",
]
