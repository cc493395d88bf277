"""What all tests share: nothing is left behind in the machine's own folders, nobody else is called."""

import ipaddress
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def short_lived_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary folder of this session, short enough for the paths of Unix sockets."""
    # pytest's own folder stays where people look for what a failed test left.
    tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        folder = tempfile.mkdtemp(prefix="enp-")
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
    shutil.rmtree(folder, ignore_errors=True)


def _near(address: object) -> bool:
    """Whether an address is on this machine; names but `localhost` could be anybody's."""
    if not isinstance(address, tuple):
        return True
    try:
        return ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
    except ValueError:
        return address[0] in {"localhost", ""}


@pytest.fixture(scope="session", autouse=True)
def this_machine_only() -> Iterator[None]:
    """The tests' own process connects to nobody beyond this machine: to no provider of models, to nobody."""

    def guarded(
        connect: Callable[[socket.socket, Any], Any],
    ) -> Callable[[socket.socket, Any], Any]:
        def connected(self: socket.socket, address: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6} and not _near(address):
                raise PermissionError(f"a test may not connect beyond this machine: {address}")
            return connect(self, address)

        return connected

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
        yield
