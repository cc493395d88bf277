"""The origin's pre-receive hook: a station writes its own refs, forwards only, within the rules.

Copied with `rules.py` into the bare repository and run by `git receive-pack` with the standard
library alone. Who pushes is said by ENPIRE_STATION, set by the daemon that pushes (or, over SSH, by
the forced command of the host's key): agents have no way to this repository at all.
"""

import os
import subprocess
import sys
from pathlib import Path

try:
    from agents.git import rules
except ImportError:  # Beside its copy, in the hooks folder of a repository.
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import rules

NULL_ID = "0" * 40
BASELINE_REF = "refs/heads/main"


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run Git in the repository that receives the push."""
    return subprocess.run(["git", *arguments], capture_output=True, timeout=60, check=False)


def tree(commit: str) -> list[rules.Entry]:
    """The whole tree of a commit."""
    done = git("ls-tree", "-r", "-l", "-z", commit)
    if done.returncode != 0:
        raise SystemExit(f"unreadable_tree: {commit}")
    return rules.parse_tree(done.stdout)


def update_refusal(old: str, new: str, ref: str, station: str) -> str:
    """Why one update of a push is refused, "" if it is not."""
    refusal = rules.ref_refusal(ref, station)
    if refusal:
        return refusal
    if new == NULL_ID:
        return f"deletion: {ref} would be deleted; ideas are kept"
    if old != NULL_ID:
        if ref.startswith("refs/tags/"):
            return f"moved_tag: {ref} exists"
        if git("merge-base", "--is-ancestor", old, new).returncode != 0:
            return f"force_push: {ref} would lose commits"
    if ref.startswith("refs/heads/"):
        return rules.tree_refusal(tree(new), tree(BASELINE_REF))
    return ""


def main() -> None:
    """Read the updates from standard input; refuse the whole push on the first that is refused."""
    station = os.environ.get("ENPIRE_STATION", "")
    for line in sys.stdin:
        old, new, ref = line.split()
        refusal = update_refusal(old, new, ref, station)
        if refusal:
            sys.exit(f"enpire refused: {refusal}")


if __name__ == "__main__":
    main()
