"""What the tests of agents share."""

from tests.agents.test_daemon import fleet  # noqa: F401 - a fixture.
