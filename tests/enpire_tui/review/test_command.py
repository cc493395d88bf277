"""`enpire-tui review` in processes of its own, and what it writes."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.enpire_tui.review.homes import RUN, SECRET, a_story
from tests.enpire_tui.room.test_terminal import Terminal
from tests.enpire_tui.test_cli import run


@pytest.fixture
def told(home):
    commit = a_story(home)
    home.end()
    return home.folder, commit


def test_without_a_terminal_the_whole_transcript_is_written(told):
    folder, _ = told
    done = run("review", home=folder)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 14
    assert SECRET not in done.stdout


def test_search_writes_the_hits_and_their_number(told):
    folder, _ = told
    done = run("review", RUN, "--search", "adopted", "--agent", "a1", home=folder)
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["00:00:13 a1  system   a1-1: it was adopted"]
    assert done.stderr == f"1 of 14 lines of {RUN}\n"


def test_json_has_every_field_and_a_result_last(told):
    folder, _ = told
    done = run("review", "--kind", "idea", "--json", home=folder)
    lines = [json.loads(each) for each in done.stdout.splitlines()]
    assert [each["event"]["idea_id"] for each in lines[:-1]] == ["a1-1", "a2-1"]
    last = lines[-1]
    assert (last["kind"], last["run"], last["outcome"]) == ("Reviewed", RUN, "success")
    assert (last["lines"], last["found"]) == (14, 2)
    assert last["tokens"] == {"a1": 1500, "a2": 0}


def test_an_idea_comes_with_its_score_and_its_change(told):
    folder, commit = told
    done = run("review", "--idea", "a1-1", home=folder)
    assert "score: 45/100 [0.36, 0.55], champion 0.10" in done.stdout
    assert f"commit: {commit}" in done.stdout
    assert "-0.3\n" in done.stdout
    assert "+0.9\n" in done.stdout
    last = json.loads(
        run("review", "--idea", "a1-1", "--json", home=folder).stdout.splitlines()[-1]
    )
    assert "+0.9" in last["diff"]
    assert last["idea"]["decision"] == "adopted"


@pytest.mark.parametrize("form", ["md", "html", "jsonl"])
def test_exports_hold_every_line_and_no_secret(told, tmp_path, form):
    folder, _ = told
    path = tmp_path / f"out.{form}"
    done = run("review", "--export", str(path), home=folder)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert SECRET not in text
    assert "[redacted]" in text
    assert "GitFailed: no" in text
    assert list(tmp_path.glob(".*")) == []
    if form == "jsonl":
        assert [json.loads(each)["line"] for each in text.splitlines()] == list(range(1, 15))
    else:
        assert "45/100" in text


def test_html_of_an_export_is_text_and_not_markup(home, tmp_path):
    home.idea("a1-1", hypothesis="<script>alert(1)</script>")
    path = tmp_path / "out.html"
    assert run("review", "--export", str(path), home=home.folder).returncode == 0
    assert "<script" not in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("r9",), 2, RUN),
        (("--agent", "a7"), 2, "agents are a1, a2, run"),
        (("--kind", "thought"), 2, "kinds are agent, tool"),
        (("--idea", "a9-9"), 2, "lately a1-1, a2-1"),
        (("--search", "(", "--regex"), 2, "no regular expression"),
        (("--regex",), 2, "--search"),
        (("--export", "x.pdf"), 2, ".md, .jsonl, .html"),
        (("--export", "/nonexistent/x.md"), 1, "cannot be written"),
    ],
)
def test_what_is_wrong_is_named(told, arguments, code, words):
    folder, _ = told
    done = run("review", *arguments, home=folder)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.timeout(240)
def test_on_a_terminal_the_screen_opens_and_is_left(told, tmp_path):
    folder, _ = told
    terminal = Terminal(tmp_path, folder)
    terminal.start("review", RUN[:9])
    try:
        terminal.wait(f"{RUN} success 1 of 14", "GitFailed: no")
        # All in one go, as a quick hand or a slow link has it.
        terminal.keys("/", *"explored", "Enter")
        terminal.wait("1 of 1 hits of explored")
        terminal.keys("q")
        terminal.wait("left 0")
    finally:
        terminal.end()


def test_a_home_without_runs_is_an_error(tmp_path):
    assert run("review", home=tmp_path).returncode == 1


def test_the_review_without_a_screen_imports_no_textual():
    code = (
        "import sys, enpire_tui.review.command\n"
        "assert not {'textual', 'rich', 'mujoco'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
