"""The checkpoint of a run directory; without torch, so that tools start quickly."""

from pathlib import Path

CHECKPOINTS, LAST, BEST = "checkpoints", "last.ckpt", "best.ckpt"


def best_checkpoint(run: Path) -> Path:
    """The path of a run directory's best checkpoint, which may not exist yet."""
    return run / CHECKPOINTS / BEST


def checkpoint_in(source: Path) -> Path:
    """The best checkpoint of a run directory, else its last; other paths or names unchanged."""
    best = best_checkpoint(source)
    if not best.parent.is_dir():
        return source
    last = best.with_name(LAST)
    return last if last.is_file() and not best.is_file() else best
