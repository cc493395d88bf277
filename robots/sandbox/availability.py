"""Whether sandboxes work on this host: one trial, from inside of which the walls are checked."""

import os
from collections.abc import Iterator
from functools import cache

import msgspec

from robots.sandbox import cgroup, seccomp
from robots.sandbox.bubblewrap import start
from robots.sandbox.command import installed
from robots.sandbox.python import python_mounts
from robots.sandbox.spec import Limits, SandboxError, SandboxSpec, SyscallFilter

_TRIAL_TIMEOUT_S = 10.0


class Availability(msgspec.Struct, frozen=True):
    """Whether sandboxes work on this host.

    Attributes:
        usable: a trial sandbox started and its walls held.
        reason: why not, with the remedy; empty if usable.
        weaknesses: what is enforced less exactly here than it could be.
    """

    usable: bool
    reason: str = ""
    weaknesses: tuple[str, ...] = ()


@cache
def probe() -> Availability:
    """Try a sandbox once on this host, and check its walls from inside."""
    trial = (
        "import os, socket\n"
        "assert os.getuid() != 0, 'still root inside'\n"
        "assert not os.path.exists('/etc/shadow'), 'the host is in view'\n"
        "assert [name for _, name in socket.if_nameindex()] == ['lo'], 'the network is in view'\n"
    )
    try:
        python = python_mounts(())
        spec = SandboxSpec(mounts=python.mounts, environment={})
        with start(spec, [python.executable, "-I", "-S", "-c", trial]) as sandbox:
            ended = sandbox.wait(_TRIAL_TIMEOUT_S)
            said = sandbox.output().strip()
    except SandboxError as error:
        return Availability(usable=False, reason=str(error))
    if ended is None or ended.code != 0:
        last = said.splitlines()[-1:] or [ended.detail if ended else "it did not end"]
        return Availability(usable=False, reason=f"A trial sandbox failed: {last[0]}")
    return Availability(usable=True, weaknesses=tuple(_weaknesses()))


def _weaknesses() -> Iterator[str]:
    caps = cgroup.create(Limits())
    if caps is None or not (caps.holds_memory and caps.holds_processes):
        yield "No writable control groups: caps on memory and processes are sampled, not exact."
    if caps is not None:
        caps.remove()
    if seccomp.program(SyscallFilter.WORKER) is None:
        yield f"No system call filter for {os.uname().machine}."
    if os.geteuid() != 0:
        yield "Not root: sandboxed processes run as the daemon's own user, in another namespace."
    if not installed().disables_userns:
        yield "bubblewrap is older than 0.8: nested user namespaces are left to the filter."
