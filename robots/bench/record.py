"""What the bench found about an environment, kept by its hash, and what was published of it."""

from pathlib import Path

import msgspec

from robots.bench.findings import Check
from robots.bench.resets import ResetFigures
from robots.bench.sights import VerifierFigures
from robots.station.seeds import write_durably
from robots.station.tasks import Task
from robots.wire import codec
from robots.wire.records import EnvironmentManifest, Frozen, Signed
from robots.wire.signing import SigningKey


class PublishRefused(Exception):
    """An environment that may not be published yet; the message says what is missing."""


class EnvironmentRecord(Frozen):
    """Findings about the files with this hash; other files have none of them.

    Attributes:
        checks: Of the last conformance run, () before the first.
    """

    manifest_sha256: str
    checks: tuple[Check, ...] = ()
    reset: ResetFigures | None = None
    verifier: VerifierFigures | None = None

    @property
    def passed(self) -> bool:
        """Whether the conformance suite was run and every check was ok."""
        return bool(self.checks) and all(check.ok for check in self.checks)


class Records:
    """The records of a fleet's environments, a file each.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, task: Task) -> EnvironmentRecord:
        """What is known of a task as its files are now; a record that cannot be read is none."""
        sha256 = task.manifest_sha256()
        empty = EnvironmentRecord(manifest_sha256=sha256)
        try:
            content = self._path(task, "json").read_bytes()
            record = msgspec.json.decode(content, type=EnvironmentRecord)
        except (FileNotFoundError, msgspec.DecodeError):
            return empty
        return record if record.manifest_sha256 == sha256 else empty

    def keep(
        self,
        task: Task,
        sha256: str,
        *,
        checks: tuple[Check, ...] | None = None,
        reset: ResetFigures | None = None,
        verifier: VerifierFigures | None = None,
    ) -> None:
        """Add findings to a task's record; of files that have changed since, they are void.

        Args:
            task: The task.
            sha256: Its manifest's hash when the findings' run began.
            checks: Found, or None to leave the last ones.
            reset: Likewise.
            verifier: Likewise.
        """
        known = self.read(task)
        if known.manifest_sha256 != sha256:
            return
        record = EnvironmentRecord(
            manifest_sha256=sha256,
            checks=known.checks if checks is None else checks,
            reset=reset or known.reset,
            verifier=verifier or known.verifier,
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self._path(task, "json"), msgspec.json.encode(record))

    def publish(self, task: Task, key: SigningKey, wall_s: float) -> EnvironmentManifest:
        """Sign what a task's files are.

        Raises:
            PublishRefused: It has not passed, or has no figures, as it is now.
        """
        record = self.read(task)
        missing = [
            command
            for command, there in (
                ("check", record.passed),
                ("reset-test", record.reset is not None),
                ("score", record.verifier is not None),
            )
            if not there
        ]
        if missing:
            raise PublishRefused(
                f"{task.spec.name} with hash {record.manifest_sha256[:12]}: no pass or figure of "
                f"{', '.join(missing)}; run `enpire-tui environment` with each of them first"
            )
        manifest = EnvironmentManifest(
            task=task.spec.name,
            manifest_sha256=record.manifest_sha256,
            files=task.files(),
            published_wall_s=wall_s,
        )
        signed = codec.encode(key.sign(manifest))
        write_durably(self._path(task, "published"), signed)
        return manifest

    def published(self, task: Task) -> Signed | None:
        """The signed manifest of a task, None where nobody published it."""
        try:
            content = self._path(task, "published").read_bytes()
        except FileNotFoundError:
            return None
        return codec.decode(content, Signed)

    def _path(self, task: Task, kind: str) -> Path:
        return self._folder / f"{task.spec.name}.{kind}"
