"""Workers: policies, resets and verifiers, each in a sandboxed process of its own."""

from robots.worker.failures import (
    WorkerBadReply,
    WorkerDied,
    WorkerFailed,
    WorkerRaised,
    WorkerTimedOut,
)
from robots.worker.worker import CallResult, Worker, WorkerKind, worker_limits

__all__ = [
    "CallResult",
    "Worker",
    "WorkerBadReply",
    "WorkerDied",
    "WorkerFailed",
    "WorkerKind",
    "WorkerRaised",
    "WorkerTimedOut",
    "worker_limits",
]
