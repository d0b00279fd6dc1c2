"""The small files of many kinds, each encoded when a test first wants it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.decode.videos import make


@pytest.fixture(scope="session")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """name → the file; skips where there is no encoder for it."""
    folder = tmp_path_factory.mktemp("kinds")

    def find(name: str) -> Path:
        path = make(folder, name)
        if path is None:
            pytest.skip(f"PyAV has no encoder for {name} here")
        return path

    return find
