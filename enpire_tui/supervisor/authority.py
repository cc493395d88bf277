"""Who may hand a fleet over to autonomy: pure checks, each refusal with its reason.

A person hands over by typing a word, once nothing is missing from the checklist. Where nobody
watches, a policy file signed with that person's key stands in for the word. Simulated fleets need
neither beyond their own word, since nothing there can be hurt.
"""

from enpire_tui.supervisor.checklist import SIMULATED_WORD, WORD
from robots.wire.commands import HandOver
from robots.wire.records import Frozen, Mode, PolicyFile
from robots.wire.signing import SignatureRefused, verify

__all__ = ["SIMULATED_WORD", "WORD", "Authority", "refusal"]


class Authority(Frozen):
    """What a hand-over is checked against.

    Attributes:
        people: Public keys (32 bytes) of those who may sign a policy file.
        unsandboxed: Stations that run without a sandbox because somebody said so.
    """

    task: str
    stations: tuple[str, ...]
    minutes: float
    simulated: bool
    people: tuple[bytes, ...] = ()


def refusal(command: HandOver, authority: Authority, now_wall_s: float) -> str:
    """Why this hand-over is refused, or "" if it is admitted.

    Args:
        command: What was asked.
        authority: What it is checked against.
        now_wall_s: Unix seconds; only the expiry of a signed file is read by it.
    """
    if command.mode is Mode.SETUP:
        return ""
    if authority.simulated and command.policy is None:
        if command.word in (SIMULATED_WORD, WORD):
            return ""
        return f"word: type {SIMULATED_WORD!r} to hand over a simulated fleet"
    if command.policy is None:
        if command.word == WORD:
            return ""
        return (
            "policy: real drivers need a policy file signed with a person's key, or where a person "
            f"watches the word {WORD!r}"
        )
    try:
        policy = verify(command.policy, PolicyFile, authority.people)
    except SignatureRefused as error:
        return f"policy: {error}"
    if policy.task != authority.task:
        return f"policy: permits task {policy.task!r}, the run's is {authority.task!r}"
    missing = sorted(set(authority.stations) - set(policy.stations))
    if missing:
        return f"policy: does not permit station {', '.join(missing)}"
    if policy.minutes < authority.minutes:
        return f"policy: permits {policy.minutes:g} minutes, the run has {authority.minutes:g}"
    if now_wall_s > policy.not_after_wall_s:
        return "policy: has expired; sign a new one"
    return ""
