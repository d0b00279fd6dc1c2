"""Where the files are that belong to the package and are no code of it."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def shipped(name: str) -> Path:
    """The folder configs, datasets or tools: of the clone, or of the installed package."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name
