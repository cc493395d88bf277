"""Whether a ledger record is what was asked for: the one gate through which scores come.

A record counts if the station's own key signed it and it names the batch, the station, the task,
the commit, the recipe and the purpose that were dispatched. What an agent or a commit says about a
score is never read.
"""

from collections.abc import Collection

from enpire_tui.supervisor.state import Batch, Candidate
from robots.wire.events import BatchCounted
from robots.wire.records import LedgerRecord, Outcome, Signed
from robots.wire.signing import verify


class RecordRefused(Exception):
    """A record that is genuine but not the one that was asked for."""


def counted(
    signed: Signed, trusted: Collection[bytes], batch: Batch, candidate: Candidate, task: str
) -> BatchCounted:
    """The counting event of a batch's signed record.

    Raises:
        SignatureRefused: No trusted key signed it.
        RecordRefused: It is not the record of this batch; says which field differs.
    """
    record = verify(signed, LedgerRecord, trusted)
    recipe = candidate.recipe.sha256 if candidate.recipe is not None else ""
    asked: tuple[tuple[str, object, object], ...] = (
        ("batch_id", batch.batch_id, record.batch_id),
        ("station", batch.station, record.station),
        ("task", task, record.task),
        ("purpose", batch.purpose, record.purpose),
        ("commit", candidate.idea.commit, record.commit),
        ("recipe_sha256", recipe, record.recipe_sha256),
    )
    for field, expected, found in asked:
        if expected != found:
            raise RecordRefused(f"{field}: dispatched {expected!r}, the record says {found!r}")
    finished = [each for each in record.episodes if each.outcome is not Outcome.VOID]
    said = record.counts.success + record.counts.failure
    if len(finished) != said or said > batch.episodes:
        raise RecordRefused(
            f"counts: {said} outcomes of {len(finished)} episodes, {batch.episodes} dispatched"
        )
    return BatchCounted(
        batch_id=batch.batch_id,
        station=batch.station,
        idea_id=batch.idea_id,
        stage=batch.stage,
        counts=record.counts,
        void=record.void,
        robot_s=sum(each.robot_s + each.reset_s for each in record.episodes),
        wall_s=sum(each.wall_s for each in record.episodes),
    )
