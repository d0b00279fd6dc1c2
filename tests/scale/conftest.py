"""A network and a process that decodes, which the tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from video_gc import Recognizer
from video_gc.predict.decoders import Decoders


@pytest.fixture(scope="session")
def recognizer(checkpoint: Path) -> Recognizer:
    return Recognizer(checkpoint, device="cpu", micro_batch=4)


@pytest.fixture(scope="package")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(1)
    yield decoders
    decoders.close()


@pytest.fixture(autouse=True)
def shared(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of every `Scorer` here: to start one takes seconds."""

    class Shared:
        count, run = decoders.count, staticmethod(decoders.run)

        def __init__(self, count: int) -> None:
            self.asked = count

        def close(self) -> None:
            """They live on."""

    monkeypatch.setattr("video_gc.scale.scoring.Decoders", Shared)
