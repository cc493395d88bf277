"""Origin, gate and clone with real Git and real bubblewrap: what passes, and what is refused."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.git import rules
from agents.git.bundle import Gate, read_header
from agents.git.command import GitFailed, GitRefused, dated, environment
from agents.git.notes import ResultNote, notes_ref, read_notes, tag_discarded, write_note
from agents.git.repository import Repository
from agents.git.trailers import idea_message
from agents.git.workspace import CLONE, ScriptFailed, Workspace
from robots.station.archive import sha256
from robots.wire.records import Idea

WALL_S = 1_790_000_000.0
RECIPE = {"policy.py": b"x = 1\n", "recipe.toml": b'regime = "heuristic"\n'}
FROZEN = {"TASK.md": b"# The task\n"}


def idea(idea_id: str, hypothesis: str = "Slower is surer", **more: str) -> Idea:
    return Idea(
        idea_id=idea_id,
        agent="a1",
        commit="",
        kind="heuristic",
        hypothesis=hypothesis,
        prediction="more successes",
        parent=more.pop("parent", "baseline"),
        **more,
    )


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "origin.git", RECIPE, FROZEN)


@pytest.fixture
def gate(tmp_path: Path, origin: Repository) -> Gate:
    return Gate.open(tmp_path / "gate.git", str(origin.folder), "s1")


@pytest.fixture
def clone(tmp_path: Path, gate: Gate) -> Workspace:
    return Workspace.open(tmp_path / "clone", gate.folder / "objects", gate.baseline)


def share(clone: Workspace, gate: Gate, one: Idea, files: dict[str, bytes]) -> str:
    """The whole way of an idea: committed in the sandbox, checked, pushed."""
    branch = gate.branch(one.idea_id)
    bundle = clone.commit(gate.baseline, branch, idea_message(one), WALL_S, files)
    commit = gate.admit(bundle, one.idea_id)
    gate.push(branch)
    return commit


def bundle_by_script(clone: Workspace, gate: Gate, script: str, idea_id: str = "a1-1") -> bytes:
    """A bundle that a hostile agent made by hand in its clone."""
    variables = {
        "BASE": gate.baseline,
        "BRANCH": gate.branch(idea_id),
        "MESSAGE": idea_message(idea(idea_id)),
        **dated(WALL_S),
    }
    return clone.run(f'set -e\ncd "$CLONE"\n{script}', variables)


COMMIT = 'printf "%s" "$MESSAGE" | git commit -q -F -\ngit update-ref "$BRANCH" HEAD\n'
BUNDLE = 'git bundle create -q - "^$BASE" "$BRANCH"\n'


# --- the way of an idea -------------------------------------------------------------------------


def test_a_baseline_is_the_same_commit_on_every_machine(tmp_path: Path) -> None:
    one = Repository.create(tmp_path / "one.git", RECIPE, FROZEN)
    other = Repository.create(tmp_path / "other.git", RECIPE, FROZEN)

    assert one.baseline == other.baseline
    assert one.archive(one.baseline).files == RECIPE
    assert one.archive(one.baseline).sha256 == sha256(RECIPE)


def test_a_repository_that_exists_is_opened_as_it_is(origin: Repository) -> None:
    again = Repository.create(origin.folder, {"policy.py": b"other\n"})

    assert again.baseline == origin.baseline


def test_a_bundle_makes_the_round_trip(clone: Workspace, gate: Gate, origin: Repository) -> None:
    changed = {**RECIPE, "policy.py": b"x = 2\n"}

    commit = share(clone, gate, idea("a1-1"), changed)

    assert origin.archive(commit).files == changed
    assert origin.git.commit_of("refs/heads/s1/a1-1") == commit


def test_the_same_change_again_is_the_same_commit(clone: Workspace, gate: Gate) -> None:
    changed = {**RECIPE, "policy.py": b"x = 2\n"}

    first = share(clone, gate, idea("a1-1"), changed)
    clone.recreate(gate.baseline)
    second = share(clone, gate, idea("a1-1"), changed)

    assert first == second


def test_a_working_tree_committed_again_is_the_same_commit(clone: Workspace, gate: Gate) -> None:
    clone.write({"recipe/policy.py": b"x = 2\n"})
    given = (gate.baseline, gate.branch("a1-1"), idea_message(idea("a1-1")), WALL_S)

    first = gate.admit(clone.commit(*given), "a1-1")
    # The daemon was killed before it heard of it.
    second = gate.admit(clone.commit(*given), "a1-1")

    assert first == second
    assert gate.git.commit_of(f"{first}^") == gate.baseline


def test_trailers_rebuild_the_idea_tree(clone: Workspace, gate: Gate, origin: Repository) -> None:
    first = idea("a1-1", hypothesis="Slow \x1b[31mnear\nthe goal")
    second = idea("a1-2", parent="a1-1", borrowed_from="a2-7", operator="adopt:a2-7")
    share(clone, gate, first, {**RECIPE, "policy.py": b"x = 2\n"})
    share(clone, gate, second, {**RECIPE, "policy.py": b"x = 3\n"})

    ideas = origin.ideas()

    assert ideas["a1-1"].hypothesis == "Slow [31mnear the goal"
    assert ideas["a1-2"].parent == "a1-1"
    assert ideas["a1-2"].borrowed_from == "a2-7"
    assert ideas["a1-2"].operator == "adopt:a2-7"
    assert {each.agent for each in ideas.values()} == {"a1"}


def test_notes_carry_results_and_are_written_once(
    clone: Workspace, gate: Gate, origin: Repository
) -> None:
    commit = share(clone, gate, idea("a1-1"), {**RECIPE, "policy.py": b"x = 2\n"})
    note = ResultNote(
        success=83,
        episodes=100,
        interval=(0.7445, 0.8911),
        purpose="evaluate",
        decision="discarded",
        robot_s=2150.5,
        ledger="r1/a1-1/promote/1 r1/a1-1/promote/2",
    )

    write_note(gate, commit, note, WALL_S)
    before = gate.git.line("rev-parse", notes_ref("s1"))
    write_note(gate, commit, note, WALL_S)
    gate.push(notes_ref("s1"), tag_discarded(gate, "a1-1", commit))

    assert gate.git.line("rev-parse", notes_ref("s1")) == before
    assert read_notes(origin.git) == {commit: note}
    assert origin.git.commit_of("refs/tags/s1/discarded/a1-1") == commit


def test_a_peers_change_is_adopted_by_git(
    clone: Workspace, gate: Gate, origin: Repository, tmp_path: Path
) -> None:
    other_gate = Gate.open(tmp_path / "gate2.git", str(origin.folder), "s2")
    other = Workspace.open(tmp_path / "clone2", other_gate.folder / "objects", gate.baseline)
    theirs = share(
        other, other_gate, idea("a2-1"), {**RECIPE, "recipe.toml": b'regime = "other"\n'}
    )
    ours = share(clone, gate, idea("a1-1"), {**RECIPE, "policy.py": b"x = 2\n"})
    gate.refresh()

    merged = clone.cherry_pick(ours, theirs)

    assert merged == {"policy.py": b"x = 2\n", "recipe.toml": b'regime = "other"\n'}


def test_a_conflict_is_refused_and_leaves_the_clone_usable(clone: Workspace, gate: Gate) -> None:
    one = share(clone, gate, idea("a1-1"), {**RECIPE, "policy.py": b"x = 2\n"})
    other = share(clone, gate, idea("a1-2"), {**RECIPE, "policy.py": b"x = 3\n"})

    with pytest.raises(GitRefused, match=r"policy\.py") as refused:
        clone.cherry_pick(one, other)

    assert refused.value.reason == "conflict"
    assert clone.read()["recipe/policy.py"] == b"x = 2\n"


def test_a_conflict_is_foretold_without_a_tree(clone: Workspace, gate: Gate) -> None:
    one = share(clone, gate, idea("a1-1"), {**RECIPE, "policy.py": b"x = 2\n"})
    other = share(clone, gate, idea("a1-2"), {**RECIPE, "policy.py": b"x = 3\n"})
    third = share(clone, gate, idea("a1-3"), {**RECIPE, "extra.py": b"y = 1\n"})
    before = clone.read()

    assert gate.conflicts(one, other) == "conflict in recipe/policy.py"
    assert gate.conflicts(one, third) == ""
    assert clone.read() == before
    with pytest.raises(GitFailed):
        gate.conflicts(one, "0" * 40)


# --- a hostile clone ----------------------------------------------------------------------------


def test_hostile_configuration_and_hooks_touch_nothing_of_the_host(
    clone: Workspace, gate: Gate, tmp_path: Path
) -> None:
    marker = tmp_path / "escaped"
    clone.run(
        'set -e\ncd "$CLONE"\n'
        f'printf "#!/bin/sh\\ntouch {marker}\\ntouch {CLONE}/.git/inside\\n" > /tmp/evil\n'
        "cp /tmp/evil .git/evil && chmod +x .git/evil\n"
        f"git config core.fsmonitor {CLONE}/.git/evil\n"
        f"git config filter.x.clean {CLONE}/.git/evil\n"
        'echo "* filter=x" > .git/info/attributes\n'
        "mkdir -p .git/hooks && cp .git/evil .git/hooks/pre-commit\n"
        "cp .git/evil .git/hooks/post-index-change\n"
    )

    commit = share(clone, gate, idea("a1-1"), {**RECIPE, "policy.py": b"x = 2\n"})

    assert not marker.exists()
    assert gate.has(commit)
    # The trap did spring, where it could do no harm.
    assert (clone.folder / ".git/inside").exists()


def test_a_link_in_place_of_the_repository_leads_nowhere(
    clone: Workspace, gate: Gate, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "HEAD").write_text("ref: refs/heads/main\n")
    clone.run(f'set -e\ncd "$CLONE"\nrm -rf .git\nln -s {secret} .git')

    with pytest.raises(GitFailed):
        clone.commit(gate.baseline, gate.branch("a1-1"), idea_message(idea("a1-1")), WALL_S)
    assert clone.broken()
    clone.recreate(gate.baseline)

    assert share(clone, gate, idea("a1-1"), {**RECIPE, "policy.py": b"x = 2\n"})
    assert sorted(path.name for path in secret.iterdir()) == ["HEAD"]


def test_the_sandbox_has_neither_network_nor_origin_nor_keys_nor_labels(
    clone: Workspace, origin: Repository, tmp_path: Path
) -> None:
    held_out = tmp_path / "environments" / "push_t" / "labels" / "held_out"
    held_out.mkdir(parents=True)
    places = f"{origin.folder} {held_out} /root/.ssh /etc/shadow /home /var"
    seen = clone.run(
        f'for place in {places}; do test -e "$place" && echo "$place"; done; '
        "tail -n +3 /proc/net/dev | cut -d: -f1"
    ).decode()

    assert seen.split() == ["lo"]


def test_a_lock_that_was_left_is_no_obstacle(clone: Workspace, gate: Gate) -> None:
    clone.run('touch "$CLONE/.git/index.lock"')

    assert share(clone, gate, idea("a1-1"), {**RECIPE, "policy.py": b"x = 2\n"})


def test_endless_output_is_cut_off(clone: Workspace) -> None:
    with pytest.raises(ScriptFailed):
        clone.run("cat /dev/zero")


# --- what the gate refuses ----------------------------------------------------------------------

HOSTILE: dict[str, tuple[str, str]] = {
    "a frozen path": ("frozen_path", "echo mine > TASK.md\ngit add -A\n" + COMMIT + BUNDLE),
    "a new path outside the recipe": (
        "frozen_path",
        "mkdir -p hooks && echo x > hooks/post\ngit add -A\n" + COMMIT + BUNDLE,
    ),
    "a large file": (
        "oversize",
        f"head -c {rules.MAX_FILE_BYTES + 1} /dev/zero > recipe/big\ngit add -A\n"
        + COMMIT
        + BUNDLE,
    ),
    "too many files": (
        "oversize",
        f"for n in $(seq {rules.MAX_FILES}); do echo $n > recipe/f$n; done\ngit add -A\n"
        + COMMIT
        + BUNDLE,
    ),
    "a symbolic link": (
        "not_a_file",
        "ln -s /etc/passwd recipe/link\ngit add -A\n" + COMMIT + BUNDLE,
    ),
    "attributes that rewrite an archive": (
        "git_path",
        'echo "* export-subst" > recipe/.gitattributes\ngit add -A\n' + COMMIT + BUNDLE,
    ),
    "a submodule": (
        "not_a_file",
        'git update-index --add --cacheinfo 160000,"$BASE",recipe/sub\n' + COMMIT + BUNDLE,
    ),
    "another station's ref": (
        "foreign_ref",
        "echo x > recipe/new\ngit add -A\n"
        + COMMIT
        + "git update-ref refs/heads/s2/a2-1 HEAD\n"
        + 'git bundle create -q - "^$BASE" refs/heads/s2/a2-1\n',
    ),
    "the baseline's ref": (
        "foreign_ref",
        "echo x > recipe/new\ngit add -A\n"
        + COMMIT
        + "git update-ref refs/heads/main HEAD\n"
        + 'git bundle create -q - "^$BASE" refs/heads/main\n',
    ),
    "another idea's name": (
        "foreign_idea",
        "echo x > recipe/new\ngit add -A\n"
        'printf "Mine\\n\\nIdea: a2-9\\n" | git commit -q -F -\ngit update-ref "$BRANCH" HEAD\n'
        + BUNDLE,
    ),
    "an endless history": (
        "oversize",
        f"for n in $(seq {rules.MAX_NEW_COMMITS + 1}); do git commit -q --allow-empty -m $n; done\n"
        "echo x > recipe/new\ngit add -A\n" + COMMIT + BUNDLE,
    ),
    "no bundle at all": ("not_a_bundle", "echo hello"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_the_gate_refuses(attack: str, clone: Workspace, gate: Gate) -> None:
    reason, script = HOSTILE[attack]

    with pytest.raises(GitRefused) as refused:
        gate.admit(bundle_by_script(clone, gate, script), "a1-1")

    assert refused.value.reason == reason
    assert gate.git.commit_of(gate.branch("a1-1")) is None
    assert not list(gate.folder.glob("quarantine-*"))


def test_a_corrupt_object_is_refused(clone: Workspace, gate: Gate) -> None:
    # A commit whose author line cannot be: Git's own checks (fsck) must see it.
    script = (
        "echo x > recipe/new\ngit add -A\ntree=$(git write-tree)\n"
        'commit=$(printf "tree %s\\nparent %s\\nauthor nobody\\ncommitter nobody\\n\\nIdea: a1-1\\n"'
        ' "$tree" "$BASE" | git hash-object -t commit -w --stdin --literally)\n'
        'git update-ref "$BRANCH" "$commit"\n' + BUNDLE
    )

    with pytest.raises(GitRefused) as refused:
        gate.admit(bundle_by_script(clone, gate, script), "a1-1")

    assert refused.value.reason == "corrupt_object"


def test_every_flipped_byte_of_a_pack_is_noticed(clone: Workspace, gate: Gate) -> None:
    changed = {**RECIPE, "policy.py": b"x = 2\n"}
    bundle = clone.commit(
        gate.baseline, gate.branch("a1-1"), idea_message(idea("a1-1")), WALL_S, changed
    )
    start = read_header(bundle).pack_offset

    for at in range(start, len(bundle), max(1, (len(bundle) - start) // 8)):
        damaged = bytearray(bundle)
        damaged[at] ^= 0x10
        with pytest.raises(GitRefused):
            gate.admit(bytes(damaged), "a1-1")


def test_an_oversized_bundle_is_refused_unread(gate: Gate) -> None:
    with pytest.raises(GitRefused, match="oversize"):
        gate.admit(b"# v2 git bundle\n" + b"x" * rules.MAX_INPUT_BYTES, "a1-1")


# --- what the origin refuses --------------------------------------------------------------------


def pushed(gate: Gate, commit: str, ref: str) -> str:
    gate.git.run("update-ref", ref, commit)
    with pytest.raises(GitRefused) as refused:
        gate.push(ref)
    return refused.value.reason


def raw_push(gate: Gate, origin: Path, refspec: str, station: str | None) -> str:
    """A push around the gate, as a daemon with a fault would send it."""
    variables = environment({} if station is None else {"ENPIRE_STATION": station})
    done = subprocess.run(
        ["git", f"--git-dir={gate.folder}", "push", str(origin), refspec],
        capture_output=True,
        text=True,
        env=variables,
        timeout=30,
    )
    assert done.returncode != 0
    return done.stderr


def test_the_origin_admits_a_stations_own_refs_only(gate: Gate, origin: Repository) -> None:
    assert pushed(gate, gate.baseline, "refs/heads/s2/a2-1") == "foreign_ref"
    assert pushed(gate, gate.baseline, "refs/notes/enpire/s2") == "foreign_ref"
    assert origin.git.commit_of("refs/heads/s2/a2-1") is None


def test_the_origin_refuses_a_push_from_nobody(gate: Gate, origin: Repository) -> None:
    said = raw_push(gate, origin.folder, f"{gate.baseline}:refs/heads/s1/a1-1", None)

    assert "foreign_ref" in said


def unchecked(clone: Workspace, gate: Gate, script: str) -> str:
    """A commit put into the gate's repository past its checks."""
    bundle = bundle_by_script(clone, gate, script)
    path = gate.folder / "evil.bundle"
    path.write_bytes(bundle)
    branch = gate.branch("a1-1")
    gate.git.run("fetch", "--quiet", str(path), f"+{branch}:refs/evil")
    return gate.git.line("rev-parse", "refs/evil")


def test_the_origin_refuses_a_frozen_path_that_passed_the_gate(
    clone: Workspace, gate: Gate, origin: Repository
) -> None:
    commit = unchecked(clone, gate, "echo mine > TASK.md\ngit add -A\n" + COMMIT + BUNDLE)

    assert pushed(gate, commit, "refs/heads/s1/a1-1") == "frozen_path"


def test_the_origin_refuses_a_forced_push_and_a_deletion(
    clone: Workspace, gate: Gate, origin: Repository
) -> None:
    first = share(clone, gate, idea("a1-1"), {**RECIPE, "policy.py": b"x = 2\n"})
    other = share(clone, gate, idea("a1-2"), {**RECIPE, "policy.py": b"x = 3\n"})

    forced = raw_push(gate, origin.folder, f"+{other}:refs/heads/s1/a1-1", "s1")
    deleted = raw_push(gate, origin.folder, ":refs/heads/s1/a1-1", "s1")

    assert "non-fast-forward" in forced or "force_push" in forced
    assert "deletion" in deleted or "denyDeletes" in deleted or "prohibited" in deleted
    assert origin.git.commit_of("refs/heads/s1/a1-1") == first


def test_a_tag_is_never_moved(clone: Workspace, gate: Gate, origin: Repository) -> None:
    first = share(clone, gate, idea("a1-1"), {**RECIPE, "policy.py": b"x = 2\n"})
    second = share(clone, gate, idea("a1-2"), {**RECIPE, "policy.py": b"x = 3\n"})
    gate.push(tag_discarded(gate, "a1-1", first))

    said = raw_push(gate, origin.folder, f"+{second}:refs/tags/s1/discarded/a1-1", "s1")

    assert "moved_tag" in said
    with pytest.raises(GitFailed):
        tag_discarded(gate, "a1-1", second)


def test_a_killed_daemons_locks_and_quarantines_are_swept(gate: Gate, origin: Repository) -> None:
    (gate.folder / "quarantine-left").mkdir()
    (gate.folder / "packed-refs.lock").touch()

    again = Gate.open(gate.folder, str(origin.folder), "s1")

    assert not list(gate.folder.glob("quarantine-*"))
    assert not (gate.folder / "packed-refs.lock").exists()
    assert again.baseline == origin.baseline


# --- rules, pure --------------------------------------------------------------------------------


def entry(path: str, size: int = 1, mode: str = "100644", object_id: str = "a") -> rules.Entry:
    return rules.Entry(mode, object_id, size, path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tree: [*tree, entry("recipe/new.py")], ""),
        (lambda tree: tree[1:], "frozen_path"),
        (lambda tree: [entry("TASK.md", object_id="b"), *tree[1:]], "frozen_path"),
        (lambda tree: [*tree, entry("recipe/.git/config")], "git_path"),
        (lambda tree: [*tree, entry("recipe/.GIT/config")], "git_path"),
        (lambda tree: [*tree, entry("recipe/a\x1b[2J")], "unprintable_path"),
        (lambda tree: [*tree, *(entry(f"recipe/{n}", 200_000) for n in range(6))], "oversize"),
    ],
)
def test_a_tree_is_judged(
    change: Callable[[list[rules.Entry]], list[rules.Entry]], reason: str
) -> None:
    frozen = [entry("TASK.md"), entry("recipe/policy.py")]

    assert rules.tree_refusal(change(frozen), frozen).partition(":")[0] == reason


@pytest.mark.skipif(os.geteuid() != 0, reason="another uid needs root")
def test_the_clone_belongs_to_the_sandboxs_user(clone: Workspace) -> None:
    assert clone.folder.stat().st_uid != 0


def test_files_that_ideas_carry_are_read_from_the_origin(
    clone: Workspace, gate: Gate, origin: Repository, tmp_path: Path
) -> None:
    one = idea("a1-1")
    bundle = clone.commit(
        gate.baseline,
        gate.branch("a1-1"),
        idea_message(one),
        WALL_S,
        RECIPE,
        {"survey.json": b"[1,\n2]\n"},
    )
    first = gate.admit(bundle, "a1-1")
    gate.push(gate.branch("a1-1"))
    share(clone, gate, idea("a1-2"), {**RECIPE, "policy.py": b"x = 2\n"})
    other = Gate.open(tmp_path / "gate2.git", str(origin.folder), "s2")

    assert other.shared("notes/survey.json") == {first: b"[1,\n2]\n"}
    assert other.shared("notes/survey.json", {first}) == {}


def test_what_an_agent_committed_itself_is_one_commit_of_its_base(
    clone: Workspace, gate: Gate
) -> None:
    branch = gate.branch("a1-1")
    clone.write({"recipe/policy.py": b"x = 2\n"})
    clone.shell(
        "git commit -q -a -m mine; echo 'x = 3' > recipe/policy.py; git commit -q -a -m too"
    )

    bundle = clone.commit(gate.baseline, branch, idea_message(idea("a1-1")), WALL_S)
    commit = gate.admit(bundle, "a1-1")

    assert gate.archive(commit).files["policy.py"] == b"x = 3\n"
    assert "+x = 3" in gate.diff(f"{commit}^", commit)
    assert gate.git.commit_of(f"{commit}^") == gate.baseline
