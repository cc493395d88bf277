from collections.abc import Iterator

import pytest

from tests.enpire_tui.review.homes import Home


@pytest.fixture
def home(tmp_path) -> Iterator[Home]:
    """A home with one live run."""
    made = Home(tmp_path / "home")
    yield made
    made.close()
