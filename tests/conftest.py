"""What all tests share: nothing they start leaves a folder behind in the machine's own."""

import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def short_lived_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary folder of this session, short enough for the paths of Unix sockets."""
    # pytest's own folder stays where people look for what a failed test left.
    tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        folder = tempfile.mkdtemp(prefix="enp-")
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
    shutil.rmtree(folder, ignore_errors=True)
