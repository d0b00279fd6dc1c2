"""The checkpoint of a run directory; without torch, so that tools start quickly."""

import os
from pathlib import Path

CHECKPOINTS, LAST, BEST = "checkpoints", "last.ckpt", "best.ckpt"


def best_checkpoint(run: Path) -> Path:
    """The path of a run directory's best checkpoint, which may not exist yet."""
    return run / CHECKPOINTS / BEST


def checkpoint_in(source: Path) -> Path:
    """The best checkpoint of a run directory, else its last; other paths or names unchanged.

    Raises FileNotFoundError for a path that does not exist and is no name of published weights.
    """
    if (source.suffix or len(source.parts) > 1) and not os.path.lexists(source):
        raise FileNotFoundError(
            f"{source}: no such checkpoint or run directory; video-gc train writes "
            "RUN/checkpoints/best.ckpt"
        )
    best = best_checkpoint(source)
    if not best.parent.is_dir():
        return source
    last = best.with_name(LAST)
    return last if last.is_file() and not best.is_file() else best
