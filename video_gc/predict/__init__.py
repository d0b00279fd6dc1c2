"""A checkpoint and a video → a prediction."""

from typing import Any

__all__ = ["Stream"]


def __getattr__(name: str) -> Any:
    # late, so that a file of this room can be used without the others
    if name == "Stream":
        from video_gc.predict.stream import Stream

        return Stream
    raise AttributeError(f"module 'video_gc.predict' has no attribute {name!r}")
