"""What carries a command to a daemon, and what daemons answer to the commands that all of them know."""

from robots.wire.commands import AnyCommand
from robots.wire.records import Frozen, Role


class Request(Frozen):
    """Envelope of a command.

    Attributes:
        request_id: Chosen by the sender; a repeated id is answered with the first reply.
        incarnation: The receiver's incarnation the sender believes it talks to ("" in `Hello`).
        deadline_s: On the receiver's monotonic clock; later, the command is refused unexecuted.
        lease_epoch: Epoch of the operator's control lease, where the command needs one.
    """

    request_id: str
    incarnation: str
    deadline_s: float
    command: AnyCommand
    lease_epoch: int | None = None


class Reply(Frozen):
    """Answer to a request.

    Attributes:
        reason: "" when ok; else a named reason such as "deadline", "role", "incarnation",
            "unknown_batch", "held", "invalid: <detail>".
        body: msgpack bytes of the result struct, b"" if there is none.
    """

    request_id: str
    ok: bool
    reason: str = ""
    body: bytes = b""


class Welcome(Frozen):
    """Answer to `Hello`: whom the sender talks to, and by which clock deadlines are read.

    Attributes:
        incarnation: Changes with every start of the daemon.
        monotonic_s: The receiver's monotonic clock when it answered.
        role: Role of the sender's key, as the receiver knows it.
        journal_id: Changes when the journal was replaced; "" if the daemon keeps none.
        last_seq: Last committed row of the journal.
    """

    name: str
    incarnation: str
    monotonic_s: float
    role: Role
    journal_id: str = ""
    last_seq: int = 0


class Snapshot(Frozen):
    """A daemon's folded state up to and with row `seq`; seq 0 and b"" if there is none."""

    seq: int
    state: bytes
    journal_id: str


class LeaseTaken(Frozen):
    """The control lease as it now stands for its holder."""

    epoch: int
    ttl_s: float
