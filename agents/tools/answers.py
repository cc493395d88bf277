"""How answers of tools read to a language model."""

from agents.tools import calls as t

READ_ON = 200
"""Characters kept for the words that say where to read on."""


def from_line(text: str, line: int) -> str:
    """A text from a line on, cut at whole lines; says where to read on."""
    lines = text.splitlines(keepends=True)[line - 1 :]
    size = kept = 0
    while kept < len(lines) and size + len(lines[kept]) <= t.TEXT_LIMIT - READ_ON:
        size += len(lines[kept])
        kept += 1
    if kept == len(lines):
        return "".join(lines)
    # One line that is longer than an answer is cut in its middle.
    kept = max(kept, 1)
    head, _ = t.cut_text("".join(lines[:kept]), t.TEXT_LIMIT - READ_ON)
    left = len(lines) - kept
    return f"{head}[{left} lines are left: read on with from_line {line + kept}]" if left else head


def or_no_limit(number: float | None) -> str:
    """A figure of a budget."""
    return "no limit" if number is None else f"{number:g}"


def explored_text(found: t.Explored) -> str:
    """A batch in a few lines: counts, how failures ended, the first failed episodes."""
    if found.void:
        return f"{found.batch_id} is void: {found.void_reason}"
    counts = found.counts
    tags: dict[str, int] = {}
    failed = [e for e in found.episodes if e.outcome.value == "failure"]
    for episode in failed:
        for tag in episode.tags or (episode.reason,):
            tags[tag] = tags.get(tag, 0) + 1
    lines = [f"{found.batch_id}: {counts.success} of {counts.success + counts.failure} succeeded"]
    if tags:
        told = sorted(tags.items(), key=lambda item: -item[1])
        lines.append("failures: " + ", ".join(f"{tag} {count}" for tag, count in told))
    for episode in failed[:5]:
        figures = " ".join(f"{key}={value:.4g}" for key, value in episode.figures.items())
        lines.append(f"episode {episode.index}: {episode.reason}; {figures}")
    return "\n".join(lines)
