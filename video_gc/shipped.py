"""Where the files are that belong to the package and are no code of it, and what it keeps."""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent


def shipped(name: str) -> Path:
    """The folder configs, datasets or tools: of the clone, or of the installed package."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def cache_folder(name: str) -> Path:
    """What is kept for this user: ~/.cache/video_gc/NAME, or below XDG_CACHE_HOME.

    Raises RuntimeError for a user without a home.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "video_gc" / name
