"""An SSH connection to a host of the fleet, for its link and its training jobs.

A host key that is unknown or has changed is never accepted by itself.
"""

import os
from pathlib import Path

import asyncssh
import msgspec

CONNECT_S = 15.0
KEEPALIVE_S = 2.0
KEEPALIVE_MISSED = 3


class LinkError(Exception):
    """Something on the remote host did not work; says what, where and what to do."""


class LinkRefused(LinkError):
    """The host, or we, were refused: trying again does not help without a person."""


class HostSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A remote host, as `HOME/hosts/NAME.json` describes it.

    Attributes:
        client_key: Private key file; "" takes the keys of the SSH agent.
        known_hosts: File of the host keys that people have checked.
        home: The fleet's home on that host.
        python: The interpreter on that host which has this package.
        forwards: Sockets of its daemons that appear here, such as "s5.cmd" and "s5.tel".
        reverse: Sockets of our daemons that appear there, such as "supervisor.cmd".
    """

    name: str
    address: str
    port: int = 22
    username: str
    client_key: str = ""
    known_hosts: str
    home: str
    python: str = "python3"
    forwards: tuple[str, ...] = ()
    reverse: tuple[str, ...] = ()

    @property
    def at(self) -> str:
        """Address and port, for people."""
        return f"{self.address}:{self.port}"


async def connect(host: HostSpec) -> asyncssh.SSHClientConnection:
    """Connect with every default that bites set on purpose.

    Raises:
        LinkRefused: The host key is unknown or changed, or the host does not accept our key.
        LinkError: The host cannot be reached.
    """
    if not _is_file(host.known_hosts):
        raise LinkRefused(_unknown_key(host))
    try:
        return await asyncssh.connect(
            host.address,
            host.port,
            username=host.username,
            # SAFETY: a user's own ssh config can switch host checking off without a word.
            config=None,
            known_hosts=host.known_hosts,
            client_keys=[host.client_key] if host.client_key else (),
            agent_path=None if host.client_key else os.environ.get("SSH_AUTH_SOCK"),
            agent_forwarding=False,
            preferred_auth="publickey",
            password_auth=False,
            kbdint_auth=False,
            gss_auth=False,
            gss_kex=False,
            # Both are off by default: a connection that died in silence is never noticed.
            keepalive_interval=KEEPALIVE_S,
            keepalive_count_max=KEEPALIVE_MISSED,
            tcp_keepalive=True,
            connect_timeout=CONNECT_S,
            login_timeout=CONNECT_S,
            compression_algs=None,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise LinkRefused(_host_key_objection(host)) from error
    except asyncssh.PermissionDenied as error:
        key = host.client_key or "the agent's keys"
        text = f"{host.name} ({host.at}) does not accept {key} for user {host.username}"
        raise LinkRefused(f"{text}: add the public key to its authorized_keys") from error
    except (OSError, asyncssh.Error, TimeoutError) as error:
        what = str(error) or type(error).__name__
        raise LinkError(f"{host.name} ({host.at}) cannot be reached: {what}") from error


def _is_file(path: str) -> bool:
    return Path(path).is_file()


def _host_key_objection(host: HostSpec) -> str:
    known = asyncssh.read_known_hosts(host.known_hosts).match(host.address, "", host.port)
    if not known[0]:
        return _unknown_key(host)
    return (
        f"the host key of {host.name} ({host.at}) has CHANGED and is refused. Either the machine"
        f" was set up anew or something stands in between. Ask whoever runs it; only then replace"
        f" its line in {host.known_hosts}"
    )


def _unknown_key(host: HostSpec) -> str:
    return (
        f"the host key of {host.name} ({host.at}) is unknown and is refused. Compare its"
        f" fingerprint at the machine (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then add"
        f" it: ssh-keyscan -p {host.port} {host.address} >> {host.known_hosts}"
    )
