"""Servers on loopback, with a network and decoders that the tests share."""

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from video_gc import Recognizer
from video_gc.serve.limits import Limits

if TYPE_CHECKING:
    from video_gc.serve.service import Service


@pytest.fixture(scope="session")
def recognizer(checkpoint: Path) -> Recognizer:
    return Recognizer(checkpoint, device="cpu", precision="fp32", micro_batch=4)


@pytest.fixture(scope="session")
def service(recognizer: Recognizer) -> Iterator["Service"]:
    from video_gc.serve.service import Service

    with Service(recognizer, max_seconds=20) as service:
        yield service


@pytest.fixture
def served(
    service: "Service", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., str]]:
    """A function: limits → the address of a server with them. No upload may be left at the end."""
    from video_gc.serve.api import create_app
    from video_gc.serve.server import listening, server

    uploads = tmp_path / "uploads"
    uploads.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(uploads))
    with ExitStack() as ends:

        def start(*, local: bool = False, **limits: object) -> str:
            chosen = Limits(**limits)  # type: ignore[arg-type]
            listener = ends.enter_context(listening("127.0.0.1", 0))
            app = create_app(service, chosen, local=local)
            running = server(app, timeout=chosen.timeout, patience=60)
            thread = threading.Thread(target=running.run, args=([listener],))
            thread.start()
            ends.callback(thread.join)
            ends.callback(setattr, running, "should_exit", True)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start
    assert list(uploads.iterdir()) == []
