"""Global context for video action recognition."""

from typing import Any

__all__ = ["Recognizer", "Stream"]


def __getattr__(name: str) -> Any:
    # late, so that `video_gc.blocks` can be used with torch alone
    if name == "Recognizer":
        from video_gc.predict.recognizer import Recognizer

        return Recognizer
    if name == "Stream":
        from video_gc.predict.stream import Stream

        return Stream
    raise AttributeError(f"module 'video_gc' has no attribute {name!r}")
