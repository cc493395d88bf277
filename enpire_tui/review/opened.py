"""What is behind a line: its whole row, the idea it is about, and that idea's change."""

import re
import time

from agents.git.command import Git, GitFailed
from enpire_tui.lines import plain
from enpire_tui.review.ideas import IdeaStory
from enpire_tui.review.runs import ReviewedRun
from enpire_tui.review.transcript import Transcript
from enpire_tui.review.words import cut, plain_lines

DIFF_CHARACTERS = 1 << 18
GIT_S = 20.0

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def row_lines(transcript: Transcript, line: int) -> list[str]:
    """A line's row with every field, long texts whole.

    Raises:
        Unreadable: Its journal cannot be read.
    """
    row = transcript.row(line)
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(row.wall_s))
    agent, turn = transcript.agent(line), transcript.turn(line)
    lines = [f"{row.kind}  {agent}  turn {turn}  {at}.{int(row.wall_s % 1 * 1000):03} UTC"]
    if turn and (spent := transcript.tokens(agent, turn)):
        lines.append(f"tokens of this turn: {spent} fresh input and output")
    for name in row.event.__struct_fields__:
        first, *rest = plain_lines(str(plain(getattr(row.event, name))))
        lines.append(f"{name}: {first}")
        lines += [f"    {each}" for each in rest]
    return lines


def idea_lines(story: IdeaStory) -> list[str]:
    """What is known of an idea."""
    made = ", ".join(filter(None, (story.kind, story.operator)))
    facts = {
        "idea": f"{story.idea_id} ({made}) on {story.parent or 'unknown'}",
        "borrowed from": story.borrowed_from,
        "hypothesis": story.hypothesis,
        "prediction": story.prediction,
        "commit": story.commit,
        "decision": f"{story.decision or 'open'}: {story.detail}" if story.detail else "open",
        "score": story.score and f"{story.score}, champion {story.champion_rate:.2f}",
    }
    return [f"{name}: {' '.join(plain_lines(text))}" for name, text in facts.items() if text]


def diff_lines(run: ReviewedRun, commit: str) -> list[str]:
    """The recipe's change in a commit, from the run's own repository. Blocks for Git."""
    if not _COMMIT.fullmatch(commit):
        return ["no commit"] if not commit else [f"{' '.join(plain_lines(commit))} is no commit"]
    arguments = ("diff-tree", "-p", "--stat", "--no-color", "--no-ext-diff", "--no-textconv", "-U3")
    try:
        # SAFETY: the origin is a bare repository of the supervisor's; agents cannot configure it.
        changed = Git(run.origin, GIT_S).run(*arguments, f"{commit}^", commit, "--", "recipe")
    except GitFailed as failed:
        return [f"no diff: {' '.join(plain_lines(str(failed)))}"]
    text = cut(changed.decode(errors="replace"), DIFF_CHARACTERS)
    return plain_lines(text.rstrip("\n")) if text else ["nothing of the recipe was changed"]
