"""What can go wrong with a worker, each with a reason that an episode's record can carry."""

from typing import ClassVar

from robots.sandbox.exits import Exit, ExitReason


class WorkerFailed(Exception):
    """A call to a worker failed.

    Attributes:
        reason: one or two words for a record, for example ``raised ValueError`` or ``timed out``.
        blocked: what the code tried and may not, as far as it was noticed.
    """

    usable: ClassVar[bool] = False

    def __init__(self, reason: str, message: str, blocked: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.blocked = blocked


class WorkerRaised(WorkerFailed):
    """The code raised an exception; the worker itself is still usable.

    Attributes:
        name: the exception's class.
        message: its text.
        traceback: the end of its traceback, paths as seen inside.
    """

    usable = True

    def __init__(
        self, name: str, message: str, traceback: str, blocked: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"raised {name}", f"{name}: {message}" if message else name, blocked)
        self.name = name
        self.message = message
        self.traceback = traceback


class WorkerTimedOut(WorkerFailed):
    """No reply before the deadline; the worker was killed.

    Attributes:
        wall_s: how long was waited.
        cpu_s: processor time it used meanwhile: near zero for one that sleeps.
    """

    def __init__(self, method: str, wall_s: float, cpu_s: float, ended: Exit) -> None:
        cause = "" if ended.reason is ExitReason.STOPPED else f"; it {ended.detail}"
        super().__init__(
            "timed out",
            f"{method} gave no reply in {wall_s:.3g} s of wall time, "
            f"with {cpu_s:.3g} s of processor time{cause}",
        )
        self.wall_s = wall_s
        self.cpu_s = cpu_s
        self.ended = ended


class WorkerDied(WorkerFailed):
    """The process ended, or closed its channel, instead of replying.

    Attributes:
        ended: how; its reason is STOPPED for one that only closed its channel.
    """

    def __init__(self, method: str, ended: Exit) -> None:
        closed = ended.reason is ExitReason.STOPPED
        detail = "closed its channel" if closed else ended.detail
        super().__init__(
            "closed its channel" if closed else f"died: {ended.reason}",
            f"the worker {detail} during {method}",
        )
        self.ended = ended


class WorkerBadReply(WorkerFailed):
    """The reply was not one: not decodable, too large, or not an array, a dict or None."""

    def __init__(self, message: str, blocked: tuple[str, ...] = ()) -> None:
        super().__init__("bad reply", message, blocked)
