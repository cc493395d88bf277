"""A pickle where weights, recordings or labels are expected: refused, and nothing in it is run."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from recipes.learning import job
from robots.station.labels import read_label
from robots.station.recording import read_recording


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.marker),)


READERS = {"checkpoint": job.load, "recording": read_recording, "label": read_label}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("form", ["plain", "in an array"])
def test_a_pickle_is_refused_and_not_run(tmp_path, reader, form) -> None:
    if reader == "checkpoint":
        pytest.importorskip("torch", reason="not installed: pip install 'enpire-tui[train]'")
    marker, path = tmp_path / "ran", tmp_path / "weights"
    if form == "plain":
        path.write_bytes(pickle.dumps(Bomb(marker)))
    else:
        names = ("info", "label", "times_s")
        with path.open("wb") as file:
            np.savez(file, **{name: np.array([Bomb(marker)], object) for name in names})

    with pytest.raises(Exception, match=r"(?i)pickle|header|deserializing|allow"):
        READERS[reader](path)

    assert not marker.exists()
    # It would have gone off.
    if form == "plain":
        pickle.loads(path.read_bytes())
        assert marker.exists()
