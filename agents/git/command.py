"""Git as a subprocess of ours: clean environment, no hooks, no configuration but a repository's own.

Only bare repositories that a daemon owns are opened with it. A clone that an agent can write is
used by Git inside the sandbox alone (`agents.git.workspace`): any key of its configuration can name
a program to run.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

NULL_ID = "0" * 40
NOBODY_NAME = "enpire"
NOBODY_MAIL = "enpire@localhost"

# What a command line overrides, so that a repository's own configuration cannot matter.
OVERRIDES = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
    "-c", "protocol.version=2",
    "-c", "advice.detachedHead=false",
)  # fmt: skip


class GitFailed(RuntimeError):
    """Git ended with an error, or not in time; the message carries its last words."""


class GitRefused(ValueError):
    """A commit, bundle or push breaks a rule of the research repository; `reason` names it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables of a Git process: nothing of the user's, nothing of the system's configuration."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file:ssh",
        "GIT_AUTHOR_NAME": NOBODY_NAME,
        "GIT_AUTHOR_EMAIL": NOBODY_MAIL,
        "GIT_COMMITTER_NAME": NOBODY_NAME,
        "GIT_COMMITTER_EMAIL": NOBODY_MAIL,
        **(extra or {}),
    }


def dated(wall_s: float) -> dict[str, str]:
    """Variables that date a commit: the same change at the same date is the same commit."""
    date = f"{int(wall_s)} +0000"
    return {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}


class Git:
    """One bare repository that a daemon of ours owns."""

    def __init__(self, folder: Path, timeout_s: float = 60.0) -> None:
        self.folder = folder
        self._timeout_s = timeout_s

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run `git ARGUMENTS` in the repository and return its output.

        Raises:
            GitFailed: A non-zero exit or no end within the time-out.
        """
        done = self.attempt(*arguments, stdin=stdin, extra=extra)
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip()[-800:]
            raise GitFailed(f"git {arguments[0]} ended with {done.returncode}: {words}")
        return done.stdout

    def attempt(
        self,
        *arguments: str,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """As `run`, where a non-zero exit is an answer."""
        try:
            return subprocess.run(
                ["git", *OVERRIDES, f"--git-dir={self.folder}", *arguments],
                input=stdin,
                capture_output=True,
                env=environment(extra),
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise GitFailed(f"git {arguments[0]} took over {self._timeout_s:.0f} s") from late

    def line(self, *arguments: str, stdin: bytes = b"") -> str:
        """The output of a command that prints one line."""
        return self.run(*arguments, stdin=stdin).decode().strip()

    def commit_of(self, ref: str) -> str | None:
        """Id of the commit that `ref` names, or None."""
        done = self.attempt("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        return done.stdout.decode().strip() or None if done.returncode == 0 else None
