"""`enpire-tui environment try`: a reset on a station in setup, approved or rejected at a terminal."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from enpire_tui.cli import DONE, UNSUCCESSFUL
from enpire_tui.control import Control, Refused
from enpire_tui.lifecycle import Fault
from enpire_tui.lines import say
from robots.bench.pictures import write_png
from robots.station.tasks import TaskError, find_folder
from robots.wire import commands as c
from robots.wire import events as ev
from robots.wire.approvals import ApprovalAnswer, ApprovalCard, Scope, Sighting, TryState
from robots.wire.client import Client
from robots.wire.records import Frozen
from robots.wire.station_replies import StationReport

CARD_S = 20.0
SCOPE_S = 1800.0
DIFF_LINES = 60
GREEN, RED = (40.0, 220.0, 60.0), (240.0, 40.0, 40.0)

Array = NDArray[np.float64]


class Options(Frozen):
    """What is tried, and who answers.

    Attributes:
        folder: The task, which must be the station's.
        reject: Words with which to reject; "" to ask or approve.
    """

    folder: str
    station: str
    count: int = 1
    verify: bool = False
    approve: bool = False
    reject: str = ""
    output: Path | None = None
    json: bool = False
    take_lease: bool = False


ASKED = Options.__struct_fields__


def run(options: Options, home: Path) -> int:
    """Has the station make its try, and follows it to its end.

    Raises:
        Fault: Nobody would answer, or the task is not the station's.
        Refused, Unreachable: The fleet does not do it.
    """
    answered = options.approve or options.reject or options.verify
    if not answered and not sys.stdin.isatty():
        raise Fault("nobody can answer here: use a terminal, --approve, or --reject WORDS")
    try:
        folder = find_folder(options.folder).resolve()
    except TaskError as error:
        raise Fault(str(error)) from None
    return asyncio.run(_Attempt(options, folder).follow(home))


class _Attempt:
    """One try, from asking to its last row."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._options = options
        self._folder = folder

    async def follow(self, home: Path) -> int:
        """Asks, answers and tells."""
        options = self._options
        async with Control(home, force=options.take_lease) as control, control.lease() as epoch:
            station = control.client(options.station)
            try:
                await self._check_task(station)
                command = (
                    c.TryVerify(station=options.station)
                    if options.verify
                    else c.TryReset(station=options.station, count=options.count)
                )
                began = await control.ask(command, TryState, epoch)
                async with contextlib.aclosing(_rows(station, began.try_id)) as rows:
                    async for event in rows:
                        if isinstance(event, ev.ApprovalAsked):
                            await self._answer(control, station, epoch, event.approval_id)
                        elif self._told(event):
                            return self._finished(event)
            finally:
                station.close()
        raise Fault("the station's journal ended")

    async def _check_task(self, station: Client) -> None:
        found = (await station.call(c.GetStatus(), StationReport, CARD_S)).task
        try:
            same = find_folder(found).resolve() == self._folder
        except TaskError:
            same = False
        if not same:
            raise Fault(f"the task of {self._options.station} is {found}; name that one")

    async def _answer(
        self, control: Control, station: Client, epoch: int, approval_id: str
    ) -> None:
        """Show the card, and send what the person, or the option, says to it."""
        command = c.GetApproval(approval_id=approval_id)
        try:
            card = await station.call(command, ApprovalCard, CARD_S)
            picture = self._picture(card)
            self._show(card, picture)
            words = await self._decide(card)
            answer: c.AnyCommand = c.Reject(approval_id=approval_id, words=words)
            if not words:
                answer = c.Approve(
                    approval_id=approval_id,
                    plan_sha256=card.plan_sha256,
                    scene_version=card.scene_version,
                    scope=self._scope(card),
                )
            await control.ask(answer, ApprovalAnswer, epoch)
        except Refused as refused:
            # It ends without us: the journal tells how.
            self._say("Refused", f"{approval_id}: {refused.reason}", reason=refused.reason)
            if not refused.reason.startswith(("answered", "expired", "stale", "unknown_approval")):
                raise

    def _scope(self, card: ApprovalCard) -> Scope | None:
        """With `--approve`, one answer for all the resets that are left."""
        left = card.count - card.number + 1
        if not self._options.approve or left < 2:
            return None
        return Scope(count=left, seconds=SCOPE_S, code_sha256=card.code_sha256)

    async def _decide(self, card: ApprovalCard) -> str:
        """Words of a rejection, "" for an approval."""
        if self._options.reject:
            return self._options.reject
        if self._options.approve:
            return f"cannot be approved: {card.refusal}" if card.refusal else ""
        question = "why not? " if card.refusal else "y approves; anything else rejects, as words: "
        sys.stdout.write(question)
        sys.stdout.flush()
        said = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if said.lower() in ("y", "yes") and not card.refusal:
            return ""
        return said or "rejected without words"

    def _picture(self, card: ApprovalCard) -> str:
        """Writes the camera's picture with the planned path; returns its name, "" if there is none."""
        if self._options.output is None or card.image is None:
            return ""
        self._options.output.mkdir(parents=True, exist_ok=True)
        shape = (card.image.height, card.image.width, 3)
        image = np.frombuffer(card.image.rgb, np.uint8).reshape(shape).copy()
        if card.plan is not None:
            draw_path(image, card.plan.pixels)
        path = self._options.output / f"{card.approval_id.replace('/', '-')}.png"
        write_png(path, image)
        return str(path)

    def _show(self, card: ApprovalCard, picture: str) -> None:
        if self._options.json:
            say("ApprovalCard", msgspec.structs.replace(card, image=None), picture=picture)
            return
        same, every = card.same_code, card.all_code
        title = f"{card.approval_id}: reset {card.number} of {card.count} on {card.station}"
        lines = [
            f"{title}, {card.left_s:.0f} s to answer",
            (
                f"  code    {card.code_sha256[:12]}, reached {same.reached} of {same.resets}; "
                f"all versions {every.reached} of {every.resets}"
            ),
        ]
        if card.plan is not None:
            end = "reached" if card.plan.reached else "MISSED"
            lines.append(
                f"  plan    {card.plan.seconds:.1f} s, {card.plan.tries} tries, target {end} in "
                f"rehearsal; path of {card.plan.tool}"
            )
        else:
            lines.append(f"  plan    none: {card.plan_missing}")
        lines += [
            f"  {'ok      ' if check.ok else 'FAILED  '}{check.name}: {check.detail}"
            for check in card.checks
        ]
        changed = card.diff.splitlines()
        lines += [f"  | {line}" for line in changed[:DIFF_LINES]]
        if len(changed) > DIFF_LINES:
            lines.append(f"  | ... {len(changed) - DIFF_LINES} more lines")
        lines += [f"  picture {picture or card.image_missing or 'with -o DIR'}"]
        lines += [f"  cannot be approved: {card.refusal}"] if card.refusal else []
        sys.stdout.write("\n".join(lines) + "\n")

    def _told(self, event: ev.AnyEvent) -> bool:
        """Say what happened; whether it was the last of it."""
        match event:
            case ev.ApprovalClosed(approval_id=approval_id, state=state, by=by, reason=reason):
                words = f": {reason}" if reason else ""
                text = f"{approval_id} {state.value} by {by}{words}"
                self._say("ApprovalClosed", text, event)
            case ev.ResetTried(result=result):
                detail = f": {result.detail}" if result.detail else ""
                text = f"reset {result.number} {result.outcome}{detail}; {result.robot_s:.1f} s"
                self._say("ResetTried", text, event)
                if result.sight is not None:
                    self._verdict(result.sight)
            case ev.VerifierTried(sight=sight):
                self._say("VerifierTried", "", event)
                self._verdict(sight)
            case ev.TryFinished():
                return True
            case _:
                pass
        return False

    def _verdict(self, sight: Sighting) -> None:
        if self._options.json:
            return
        said = sight.failed or f"{'success' if sight.success else 'no success'}, {sight.score}"
        gate = f" (a station would not ask now: {sight.gate})" if sight.gate else ""
        sys.stdout.write(f"  verifier: {said}, {sight.latency_ms:.0f} ms{gate}\n")

    def _finished(self, event: ev.AnyEvent) -> int:
        assert isinstance(event, ev.TryFinished)
        wanted = 0 if self._options.verify else self._options.count
        done = event.reached == wanted and not event.detail
        if self._options.json:
            say("TryFinished", event, count=wanted, passed=done)
        else:
            detail = f": {event.detail}" if event.detail else ""
            sys.stdout.write(f"{event.reached} of {wanted} resets reached{detail}\n")
        return DONE if done else UNSUCCESSFUL

    def _say(self, kind: str, text: str, event: msgspec.Struct | None = None, **more: str) -> None:
        if self._options.json:
            say(kind, event, **more)
        elif text:
            sys.stdout.write(text + "\n")


async def _rows(station: Client, try_id: str) -> AsyncGenerator[ev.AnyEvent]:
    """The journal's rows of one try, from its first."""
    begun = False
    approvals: set[str] = set()
    async for row in station.follow(0):
        event = row.event
        begun = begun or (isinstance(event, ev.TryAsked) and event.try_id == try_id)
        if isinstance(event, ev.ApprovalAsked) and event.try_id == try_id:
            approvals.add(event.approval_id)
        if begun and (
            getattr(event, "try_id", "") == try_id or getattr(event, "approval_id", "") in approvals
        ):
            yield event


def draw_path(image: NDArray[np.uint8], pixels: tuple[tuple[float, float], ...]) -> None:
    """Draw a path into an image, from green to red; what lies outside is left out.

    Args:
        image: uint8, height x width x 3; changed in place.
        pixels: (x, y) from its top left.
    """
    if not pixels:
        return
    points = np.array(pixels, dtype=np.float64)
    gaps = np.hypot(np.diff(points[:, 0]), np.diff(points[:, 1]))
    along: Array = np.concatenate([np.zeros(1), np.cumsum(gaps)])
    count = max(2, 2 * round(float(along[-1])))
    steps: Array = np.linspace(0.0, float(along[-1]), count)
    share: Array = np.linspace(0.0, 1.0, count)[:, None]
    colours = ((1.0 - share) * np.array(GREEN) + share * np.array(RED)).astype(np.uint8)
    columns = np.rint(np.interp(steps, along, points[:, 0])).astype(np.intp)
    rows = np.rint(np.interp(steps, along, points[:, 1])).astype(np.intp)
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = columns + right, rows + down
        inside = (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
        image[y[inside], x[inside]] = colours[inside]
