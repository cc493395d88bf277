"""What one run leaves to the next: a page of text made by code from its journal, and nothing else.

Out: champion, what was adopted and with which figures, what was tried in vain. In: the same page, or
one that a person wrote, in `<home>/transfer.md`; agents get it quoted, as data.
"""

from pathlib import Path

from agents.git.trailers import clean
from agents.literature import QUOTE, plain
from agents.tools.calls import cut_text
from agents.view import RunView, Standing

FILE = "transfer.md"
LIMIT = 4_000
MOST_IN_VAIN = 25


def summarise(run: RunView) -> str:
    """The page of a run, as Markdown; figures are those of sealed episodes alone."""
    adopted = run.adopted()
    lines = [f"# {run.task}: run {run.run_id}", "", f"Outcome: {run.ended or 'not ended'}."]
    if run.champion is not None:
        low, high = run.champion.interval
        figures = f"{run.champion.success}/{run.champion.episodes} [{low:.3f}, {high:.3f}]"
        lines.append(f"Champion: {run.champion.idea_id} {run.champion.commit[:10]}, {figures}.")
    lines += ["", "## Adopted, in this order", ""]
    lines += [_row(each) for each in adopted] or ["nothing"]
    vain = [each for each in run.ideas.values() if each.decision == "discarded"]
    lines += ["", f"## Measured and discarded ({len(vain)})", ""]
    # The most measured are the most certain.
    vain.sort(key=lambda each: -each.episodes)
    lines += [_row(each) for each in vain[:MOST_IN_VAIN]] or ["nothing"]
    return "\n".join(lines) + "\n"


def received(home: Path) -> str:
    """What an earlier run left for the agents of this home, quoted; "" if nothing."""
    try:
        text = (home / FILE).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    told, _ = cut_text(plain(text).strip(), LIMIT)
    return "\n".join(QUOTE + line for line in told.splitlines())


def _row(each: Standing) -> str:
    figures = f"{each.success}/{each.episodes} against {each.champion_rate:.2f}"
    return (
        f"- {each.idea.idea_id} ({each.idea.kind}), {figures}: {clean(each.idea.hypothesis, 200)}"
    )
