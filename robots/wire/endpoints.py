"""Where daemons listen: Unix sockets below one short folder per home.

A Unix socket's path holds at most 107 bytes, and a home may lie deep: then the sockets go to a
folder in /tmp named after the home and the uid, checked to be ours.
`python -m robots.wire.endpoints HOME [SOCKET...]` prints the folder, for a link from another host,
and removes the named sockets that an earlier link left behind.
"""

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

SUN_PATH_BYTES = 107
NAME_BYTES = 48  # Longest "<name>.cmd" or "<name>.tel" that must fit.


class EndpointError(Exception):
    """A socket cannot lie where it should; says why and what to do."""


def runtime_dir(home: Path) -> Path:
    """Folder of a home's sockets, made with mode 0700.

    Raises:
        EndpointError: The folder belongs to someone else or is a link.
    """
    folder = _place(Path(home).absolute())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EndpointError(
            f"{folder} is not a folder of uid {os.getuid()}; remove it, start again"
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    return folder


def remove_runtime_dir(home: Path) -> None:
    """Remove the folder of a home's sockets; only once nothing of that home runs any more."""
    shutil.rmtree(_place(Path(home).absolute()), ignore_errors=True)


def socket_path(home: Path, name: str, kind: str) -> Path:
    """Path of a daemon's socket; `kind` is "cmd" or "tel", or another daemon's own suffix.

    Raises:
        EndpointError: The name does not fit in a Unix socket's path.
    """
    path = runtime_dir(home) / f"{name}.{kind}"
    if len(os.fsencode(path)) > SUN_PATH_BYTES:
        raise EndpointError(f"{path} is longer than {SUN_PATH_BYTES} bytes; choose a shorter name")
    return path


def command_endpoint(home: Path, name: str) -> str:
    """Endpoint on which a daemon takes commands."""
    return f"ipc://{socket_path(home, name, 'cmd')}"


def telemetry_endpoint(home: Path, name: str) -> str:
    """Endpoint on which a daemon publishes telemetry."""
    return f"ipc://{socket_path(home, name, 'tel')}"


def _place(home: Path) -> Path:
    folder = home / "run"
    if len(os.fsencode(folder)) + 1 + NAME_BYTES <= SUN_PATH_BYTES:
        return folder
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"enpire-{os.getuid()}-{digest}"


if __name__ == "__main__":
    own = runtime_dir(Path(sys.argv[1]).expanduser())
    for stale in sys.argv[2:]:
        (own / Path(stale).name).unlink(missing_ok=True)
    sys.stdout.write(f"{own}\n")
