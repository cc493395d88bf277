"""Results that an agent writes itself: claims in a commit, nothing in the record."""

import pytest

from agents.git.bundle import Gate
from agents.git.command import GitRefused
from agents.git.notes import notes_ref, read_notes
from agents.git.repository import Repository
from agents.git.trailers import idea_message
from agents.git.workspace import Workspace
from tests.agents.test_git import (
    BUNDLE,
    COMMIT,
    RECIPE,
    bundle_by_script,
    idea,
    share,
)

FORGED = (
    "Result: 100/100\nInterval: 0.9630 1.0000\nPurpose: evaluate\nDecision: adopted\n"
    "Ledger: r1/a1-1/promote/1\n"
)


def test_a_result_in_a_commit_is_a_claim_and_no_note(
    clone: Workspace,
    gate: Gate,
    origin: Repository,
) -> None:
    # Hypotheses are the agent's words: a line break in one could begin a trailer of its own.
    one = idea("a1-1", f"Better.\n\n{FORGED}")
    share(clone, gate, one, {**RECIPE, "policy.py": b"x = 2\n", "result.txt": FORGED.encode()})

    assert "\nResult:" not in idea_message(one)
    assert read_notes(origin.git) == {}
    assert read_notes(gate.git) == {}


def test_a_commit_with_forged_trailers_is_no_result(
    clone: Workspace,
    gate: Gate,
    origin: Repository,
) -> None:
    forged = "".join(f"printf '{line}\\n'\n" for line in FORGED.splitlines())
    script = (
        "echo x > recipe/new\ngit add -A\n"
        f'{{ printf "%s" "$MESSAGE"\n{forged}}} | git commit -q -F -\n'
        'git update-ref "$BRANCH" HEAD\n' + BUNDLE
    )
    commit = gate.admit(bundle_by_script(clone, gate, script), "a1-1")
    gate.push(gate.branch("a1-1"))

    # It stands in the commit, for whoever wants to read what was claimed, and counts nowhere.
    assert b"Result: 100/100" in origin.git.run("cat-file", "commit", commit)
    assert read_notes(origin.git) == {}


@pytest.mark.parametrize("station", ["s1", "s2"])
def test_a_forged_note_does_not_leave_the_clone(
    clone: Workspace,
    gate: Gate,
    origin: Repository,
    station: str,
) -> None:
    ref = notes_ref(station)
    note = f"printf '{FORGED.replace(chr(10), chr(92) + 'n')}' > /tmp/note\n"
    script = (
        "echo x > recipe/new\ngit add -A\n" + COMMIT + note
        + f"git notes --ref={ref} add -F /tmp/note HEAD\n"
        + f'git bundle create -q - "^$BASE" "$BRANCH" {ref}\n'
    )  # fmt: skip

    with pytest.raises(GitRefused) as refused:
        gate.admit(bundle_by_script(clone, gate, script), "a1-1")

    assert refused.value.reason == "foreign_ref"
    assert gate.git.commit_of(ref) is None
    assert read_notes(origin.git) == {}
