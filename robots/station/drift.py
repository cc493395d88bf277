"""Drift: does the verifier still see what it saw, and judge as it judged?

A station learns its own reference, since no two stations' cameras hang alike: the views of its
cameras over its first resets under this environment, scenes that were judged failures just after a
reset, and the first ones that were judged a success. It is signed with the station's key and kept in its
folder. Every fifty episodes, right after the reset, the views are compared, the fresh scene has to
be judged no success, and every known scene (the station's own, and those that the bench scored the
verifier on) has to be judged as before. A doubt is looked at again after each of the next resets,
and only one that stays quarantines the station: a hand in the view is no drift.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from robots.station import views
from robots.station.cameras import Images
from robots.station.children import Sight
from robots.station.known import Known
from robots.station.labels import Snapshot, packed, unpacked
from robots.station.seeds import write_durably
from robots.station.tasks import Observation
from robots.wire import codec
from robots.wire.records import Frozen, Signed
from robots.wire.signing import SignatureRefused, SigningKey, verify

log = logging.getLogger(__name__)

DRIFT = "drift"
"""Name of the file, and first word of the reason; a release from such a quarantine takes the file
away, so that the station learns anew."""

EVERY = 50
LEARNING = 20
"""Resets from which a view is learned."""
DOUBTS = 3
"""Checks in a row that must fail."""
LEAST_KEPT = 0.9
"""Share of a view's fixed edges that must be where they were.

Measured on Push-T and pin insertion: at least 0.999 in 700 looks with the cameras left alone; a doubt
in each of 144 looks once one was shifted by 2 mm or turned by 2 mrad, or more.
"""
_OWN_SCENES = 3

Ask = Callable[[Images, Observation], Sight]


class Drifted(Exception):
    """The station's sight is not what it was; the message says which."""


class KnownRecord(Frozen):
    """A `Known` scene on disk."""

    scene: bytes
    success: bool


class ViewRecord(Frozen):
    """A `View` on disk: float16, row by row."""

    shape: tuple[int, int]
    usual: bytes
    stray: bytes


class Reference(Frozen):
    """What a station has learned of its sight under one environment."""

    manifest_sha256: str
    views: dict[str, ViewRecord]
    known: tuple[KnownRecord, ...]


class DriftWatch:
    """Learns and checks one station's sight; used by its batch thread.

    Args:
        path: Of the reference's file.
        key: The station's.
        manifest_sha256: Of the environment; under another one it learns anew.
        known: Scenes of the bench.
        every: Episodes between two checks.
    """

    def __init__(
        self,
        path: Path,
        key: SigningKey,
        manifest_sha256: str,
        known: Sequence[Known] = (),
        every: int = EVERY,
    ) -> None:
        self._path = path
        self._key = key
        self._manifest_sha256 = manifest_sha256
        self._bench = tuple(known)
        self._every = every
        self._forget()
        self._load()

    @property
    def learning(self) -> bool:
        """Whether there is no reference yet."""
        return self._views is None

    def after_reset(
        self, look: Callable[[], Snapshot], accepted: Snapshot | None, ask: Ask
    ) -> None:
        """Learn, or check if it is time to.

        Args:
            look: Gives the scene, just after a reset; asked only where it is needed.
            accepted: The last scene that was judged a success, if any.
            ask: The station's verifier.

        Raises:
            Drifted: A doubt that stayed.
            ChildFailed: The verifier's process died.
        """
        if self._views is not None and not self._path.exists():
            self._forget()
        if accepted is not None and accepted is not self._taken:
            self._taken = accepted
            self._keep(accepted, success=True)
        if self._views is None:
            self._learn(look(), ask)
            return
        self._since += 1
        if self._since < self._every and not self._doubts:
            return
        found = self.doubt(look(), ask)
        self._since = 0
        self._doubts = self._doubts + 1 if found else 0
        if found:
            log.warning("doubt %d of %d: %s", self._doubts, DOUBTS, found)
        if self._doubts >= DOUBTS:
            raise Drifted(f"{DRIFT}: {found}")

    def doubt(self, seen: Snapshot, ask: Ask) -> str:
        """What is not as it was, "" if all is."""
        for name, share in self.kept(seen.images).items():
            if share < LEAST_KEPT:
                return (
                    f"camera {name} looks elsewhere: {share:.0%} of the scene's fixed edges are "
                    "where they were"
                )
        if ask(*seen).success:
            return "the verifier judges a scene that was just reset a success"
        known = (*self._bench, *self._own)
        changed = [each.success for each in known if ask(*each.scene).success != each.success]
        if changed:
            return (
                f"the verifier judges {len(changed)} of {len(known)} known scenes otherwise than "
                f"before, {sum(changed)} of them successes"
            )
        return ""

    def kept(self, images: Images) -> dict[str, float]:
        """Share of each view's fixed edges that are where they were, by camera."""
        return {
            name: views.kept(view, views.grayed(images[name]))
            for name, view in (self._views or {}).items()
        }

    # --- learning ---------------------------------------------------------------------------

    def _forget(self) -> None:
        self._views: dict[str, views.View] | None = None
        self._frames: dict[str, list[views.Gray]] = {}
        self._own: list[Known] = []
        self._taken: Snapshot | None = None
        self._resets = self._since = self._doubts = 0

    def _learn(self, seen: Snapshot, ask: Ask) -> None:
        self._resets += 1
        for name, image in seen.images.items():
            self._frames.setdefault(name, []).append(views.grayed(image))
        if not ask(*seen).success:
            self._keep(seen, success=False)
        if self._resets >= LEARNING:
            self._views = {name: views.learned(frames) for name, frames in self._frames.items()}
            self._frames = {}
            self._write()

    def _keep(self, scene: Snapshot, *, success: bool) -> None:
        """Take a scene among the known ones, until there are enough of its kind."""
        if sum(each.success == success for each in self._own) < _OWN_SCENES:
            self._own.append(Known(scene, success))
            self._write()

    def _write(self) -> None:
        if self._views is None:
            return
        reference = Reference(
            manifest_sha256=self._manifest_sha256,
            views={name: _recorded(view) for name, view in self._views.items()},
            known=tuple(
                KnownRecord(scene=packed(each.scene), success=each.success) for each in self._own
            ),
        )
        write_durably(self._path, codec.encode(self._key.sign(reference)))

    def _load(self) -> None:
        try:
            signed = codec.decode(self._path.read_bytes(), Signed)
            reference = verify(signed, Reference, {self._key.public})
        except FileNotFoundError:
            return
        except (OSError, codec.DecodeError, SignatureRefused) as error:
            # SAFETY: a reference that somebody else wrote is none.
            log.warning("%s: %s; the station learns anew", self._path, error)
            return
        if reference.manifest_sha256 == self._manifest_sha256:
            self._views = {name: _view(record) for name, record in reference.views.items()}
            self._own = [Known(unpacked(each.scene)[0], each.success) for each in reference.known]


def _recorded(view: views.View) -> ViewRecord:
    height, width = view.usual.shape
    return ViewRecord(
        shape=(height, width),
        usual=view.usual.astype(np.float16).tobytes(),
        stray=view.stray.astype(np.float16).tobytes(),
    )


def _view(record: ViewRecord) -> views.View:
    usual, stray = (
        np.frombuffer(content, np.float16).reshape(record.shape).astype(np.float64)
        for content in (record.usual, record.stray)
    )
    return views.View(usual, stray)
