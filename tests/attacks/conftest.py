"""What attacks run against: a real agent daemon, real sandboxes, a provider's stand-in."""

from tests.agents.test_daemon import fleet  # noqa: F401 - a fixture.
from tests.agents.test_git import clone, gate, origin  # noqa: F401 - fixtures.
from tests.agents.test_models import host  # noqa: F401 - a fixture.
from tests.robots.station.conftest import (  # noqa: F401 - fixtures.
    authority,
    make_rig,
    station,
    watched,
)
