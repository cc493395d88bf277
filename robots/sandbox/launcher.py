"""The first thing that runs in a new sandbox: take on its limits and identity, then become bwrap.

A script on its own (standard library only, run with ``-I -S``) rather than a ``preexec_fn``, which
is unsafe in a daemon with threads. Its one argument is a `Plan` as JSON, made by
`robots.sandbox.bubblewrap`; it never runs as part of a daemon.

SAFETY: where the daemon is root, bubblewrap must not be: a user namespace made by root still maps
to root, who owns the host's files. So the sources are bound into a private staging folder while
still root (folders like ``/root`` are closed to others), and then the real user is changed.
"""

import ctypes
import json
import os
import resource
import stat
import sys
from pathlib import Path
from typing import TypedDict

_CLONE_NEWNS = 0x0002_0000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


class Plan(TypedDict):
    """What to take on before becoming ``argv``.

    Attributes:
        parent: pid of the daemon to die with, or 0.
        members: ``cgroup.procs`` files to join.
        rlimits: resource number and limit.
        processes: room for this many processes of the user, beyond those it has now, or None.
        nice: added niceness.
        stage: folder to mount the sources into, or empty for no staging.
        sources: what to bind there, as ``0``, ``1``...
        uid: real user to become, or None to stay.
        gid: real group to become.
        argv: what to become.
        environment: with which environment.
    """

    parent: int
    members: list[str]
    rlimits: list[tuple[int, int]]
    processes: int | None
    nice: int
    stage: str
    sources: list[str]
    uid: int | None
    gid: int
    argv: list[str]
    environment: dict[str, str]


def launch(plan: Plan) -> None:
    """Carry out a plan; does not return."""
    libc = ctypes.CDLL(None, use_errno=True)
    for member in plan["members"]:
        Path(member).write_text("0")
    os.nice(plan["nice"])
    if plan["stage"]:
        _stage(libc, plan["stage"], plan["sources"])
    uid = plan["uid"]
    if plan["processes"] is not None:
        room = _threads_of(os.getuid() if uid is None else uid) + plan["processes"]
        resource.setrlimit(resource.RLIMIT_NPROC, (room, room))
    for number, limit in plan["rlimits"]:
        _, hard = resource.getrlimit(number)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(number, (limit, limit))
    if uid is not None:
        os.chdir("/")
        os.setgroups([])
        os.setresgid(plan["gid"], plan["gid"], plan["gid"])
        os.setresuid(uid, uid, uid)
    if plan["parent"]:
        # Changing the user clears this, so it comes last; a parent already gone is then seen.
        libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != plan["parent"]:
            sys.exit("the daemon that asked for this sandbox is gone")
    os.execve(plan["argv"][0], plan["argv"], plan["environment"])  # noqa: S606 - no shell wanted.


def _stage(libc: ctypes.CDLL, stage: str, sources: list[str]) -> None:
    """Bind the sources below ``stage`` in a mount namespace of our own."""
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise _error(libc, "unshare the mount namespace")
    _mount(libc, None, "/", None, _MS_REC | _MS_PRIVATE)
    # Opened before the stage covers anything.
    opened = [_opened(source) for source in sources]
    _mount(libc, "tmpfs", stage, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "mode=755,size=1m")
    for number, descriptor in enumerate(opened):
        point = Path(stage, str(number))
        source = f"/proc/self/fd/{descriptor}"
        if Path(source).is_dir():
            point.mkdir()
        else:
            point.touch()
        _mount(libc, source, str(point), None, _MS_BIND | _MS_REC)
        os.close(descriptor)


def _opened(source: str) -> int:
    """Open what is named and not what a link there names; the link may be younger than the plan."""
    descriptor = os.open(source, os.O_PATH | os.O_NOFOLLOW)
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        raise OSError(f"{source} is a symbolic link now; what is mounted must not be one")
    return descriptor


def _mount(
    libc: ctypes.CDLL,
    source: str | None,
    target: str,
    kind: str | None,
    flags: int,
    data: str | None = None,
) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    if libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]) != 0:
        raise _error(libc, f"mount {source} on {target}")


def _error(libc: ctypes.CDLL, step: str) -> OSError:
    del libc
    number = ctypes.get_errno()
    return OSError(number, f"{os.strerror(number)}: cannot {step}")


def _threads_of(uid: int) -> int:
    """Count the threads of a user: what RLIMIT_NPROC is compared with."""
    count = 0
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and process.stat().st_uid == uid:
                count += len(os.listdir(process / "task"))
        except OSError:
            continue
    return count


if __name__ == "__main__":
    try:
        launch(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"sandbox: {error}")
