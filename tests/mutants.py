"""Takes each guard of `guards.toml` out in turn and expects its tests to fail: `make mutants`.

    python -m tests.mutants [--only PREFIX ...] [--jobs N] [--json] [--list]

A guard is a piece of a source file. For each, the tree is copied, the piece is replaced there, and
the named tests run on the copy; the checkout is never touched. A mutant is *killed* when every named
test fails by itself. It *survived* when one passed. It is *broken* when the piece is not found
exactly once, the result is no Python, or a test could not even begin (import, collection, fixture):
that would prove nothing. All named tests have to pass on an unchanged copy first.
"""

import argparse
import collections
import concurrent.futures
import enum
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("guards.toml")
LIMIT_S = 300.0
"""Wall time of one mutant's tests; pytest's own limit of a single test lies below."""

_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".ruff_cache", ".pytest_cache", ".import_linter_cache", "build", "dist"
)
_NOT_BEGUN = ("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError")


class Guard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One guard, and what must notice that it is gone.

    Attributes:
        name: Its own, `row-part`.
        row: The row of the safety table it belongs to, or what else it protects.
        file: Where it lies, from the root.
        text: The guard; occurs there once.
        mutant: What stands in its place when it is taken out.
        tests: Node ids, without parameters if any of them may fail.
    """

    name: str
    row: str
    file: str
    text: str
    mutant: str
    tests: tuple[str, ...]


class Fate(enum.Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    BROKEN = "broken"


class Result(NamedTuple):
    """One mutant's fate, and why it is not `KILLED`."""

    guard: Guard
    fate: Fate
    detail: str
    seconds: float


class GuardError(ValueError):
    """A guard that cannot be taken out; says why."""


def read_guards(path: Path = LIST) -> list[Guard]:
    """The list; every name occurs once."""
    guards = msgspec.toml.decode(path.read_bytes(), type=dict[str, list[Guard]])["guard"]
    counts = collections.Counter(guard.name for guard in guards)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise GuardError(f"{path}: the same name twice: {', '.join(twice)}")
    return guards


def without(guard: Guard, root: Path = ROOT) -> str:
    """The guard's file without it.

    Raises:
        GuardError: The text is not there exactly once, or what is left is no Python.
    """
    source = (root / guard.file).read_text(encoding="utf-8")
    found = source.count(guard.text)
    if found != 1:
        raise GuardError(f"its text occurs {found} times in {guard.file}")
    changed = source.replace(guard.text, guard.mutant)
    if changed == source:
        raise GuardError("the mutant is the guard itself")
    try:
        compile(changed, guard.file, "exec")
    except SyntaxError as error:
        raise GuardError(f"without it {guard.file} is no Python: {error}") from error
    return changed


def judge(guard: Guard, cases: Mapping[str, str | None]) -> tuple[Fate, str]:
    """Compare what the tests did with what they should have done.

    Args:
        guard: What was taken out.
        cases: By node id: "" for a test that passed, None for one that could not begin, else the
            failure's message.
    """
    for test in guard.tests:
        said = [text for node, text in cases.items() if node == test or node.startswith(f"{test}[")]
        failures = [text for text in said if text]
        if any(not text.startswith(_NOT_BEGUN) for text in failures):
            continue
        if failures or None in said or not said:
            return Fate.BROKEN, f"{test} could not begin{': ' + failures[0] if failures else ''}"
        return Fate.SURVIVED, f"{test} passed"
    return Fate.KILLED, ""


def run_tests(folder: Path, tests: Iterable[str]) -> dict[str, str | None]:
    """Run tests in a copy of the tree; see `judge` for what comes back."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o"]
    command += ["junit_family=xunit1", f"--junitxml={report}", *tests]
    # The copy comes before the checkout that the environment is bound to, in every process.
    environment = os.environ | {"PYTHONPATH": str(folder)}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return {}
    if not report.is_file():
        return {}
    cases: dict[str, str | None] = {}
    for case in ET.parse(report).iter("testcase"):
        failure = case.find("failure")
        text: str | None = "" if failure is None else failure.get("message") or "failed"
        if not text and (case.find("error") is not None or case.find("skipped") is not None):
            text = None
        cases[f"{case.get('file')}::{case.get('name')}"] = text
    return cases


def attempt(guard: Guard) -> Result:
    """Take one guard out of a copy and run its tests there."""
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        try:
            changed = without(guard)
        except (GuardError, OSError) as error:
            return Result(guard, Fate.BROKEN, str(error), 0.0)
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
        place = copy / guard.file
        place.write_text(changed, encoding="utf-8")
        for stale in place.parent.glob(f"__pycache__/{place.stem}.*"):
            stale.unlink()
        fate, detail = judge(guard, run_tests(copy, guard.tests))
    return Result(guard, fate, detail, time.monotonic() - begun_s)


def failing_unchanged(guards: list[Guard]) -> list[str]:
    """Named tests that do not pass on an unchanged copy."""
    tests = sorted({test for guard in guards for test in guard.tests})
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
        cases: dict[str, str | None] = {}
        # By file: one that hangs takes no other along.
        for file in sorted({test.split("::")[0] for test in tests}):
            cases |= run_tests(copy, [test for test in tests if test.startswith(file + "::")])
    met = {
        test: [t for n, t in cases.items() if n.split("[")[0] == test or n == test]
        for test in tests
    }
    return [test for test, texts in met.items() if not texts or any(t != "" for t in texts)]


def main(argv: list[str] | None = None) -> int:
    """Run the chosen mutants.

    Returns:
        0 if all were killed, 1 if one was not, 2 for wrong usage.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", action="append", default=[], metavar="PREFIX", help="of names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at once")
    parser.add_argument("--json", action="store_true", help="an object a line, the result last")
    parser.add_argument("--list", action="store_true", help="name the guards and run nothing")
    options = parser.parse_args(argv)
    prefixes = tuple(options.only) or ("",)
    guards = [guard for guard in read_guards() if guard.name.startswith(prefixes)]
    if not guards:
        parser.error(f"no guard's name begins with {', '.join(options.only)}")
    if options.list:
        print("\n".join(f"{guard.name:36} {guard.row:28} {guard.file}" for guard in guards))
        return 0
    red = failing_unchanged(guards)
    if red:
        sys.stderr.write("these fail with every guard in place: " + ", ".join(red) + "\n")
        return 1
    results: list[Result] = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in concurrent.futures.as_completed(pool.submit(attempt, each) for each in guards):
            results.append(done.result())
            say(results[-1], len(results), len(guards), as_json=options.json)
    counts = collections.Counter(result.fate for result in results)
    summary = {fate.value: counts[fate] for fate in Fate} | {"guards": len(guards)}
    print(json.dumps(summary) if options.json else f"{summary}".strip("{}").replace("'", ""))
    return 0 if counts[Fate.KILLED] == len(guards) else 1


def say(result: Result, number: int, of: int, *, as_json: bool) -> None:
    """Print one mutant's fate."""
    guard, fate, detail, seconds = result
    if as_json:
        row = {"name": guard.name, "row": guard.row, "file": guard.file, "tests": guard.tests}
        row |= {"fate": fate.value, "detail": detail, "seconds": round(seconds, 1)}
        print(json.dumps(row), flush=True)
        return
    line = f"{number:3}/{of}  {fate.value:9} {seconds:6.1f} s  {guard.name:36} {guard.row}"
    print(f"{line}  {detail}".rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
