"""What tests of testing share."""

from tests.tools.conftest import tool  # noqa: F401 - a fixture
