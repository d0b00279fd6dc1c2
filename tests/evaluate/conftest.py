"""What tests of testing share."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from tests.tools.conftest import tool  # noqa: F401 - a fixture


@pytest.fixture
def drawn() -> None:
    """For tests of what a picture shows."""


@pytest.fixture(autouse=True)
def pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw only where a test asks for `drawn`: it takes half of the time of a small test."""

    def save(_figure: Figure, file: Path, **_: Any) -> None:
        Image.new("RGB", (2, 1)).save(file, "PNG")

    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", save)
