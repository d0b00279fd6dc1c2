"""Which checkpoint of a run directory is meant; without torch, so that tools start at once."""

from pathlib import Path

CHECKPOINTS, LAST, BEST = "checkpoints", "last.ckpt", "best.ckpt"


def best_checkpoint(run: Path) -> Path:
    """Where a run directory has its best checkpoint, once it has one."""
    return run / CHECKPOINTS / BEST


def checkpoint_in(source: Path) -> Path:
    """The best checkpoint of a run directory, else its last; any other path or name as it is."""
    best = best_checkpoint(source)
    if not best.parent.is_dir():
        return source
    last = best.with_name(LAST)
    return last if last.is_file() and not best.is_file() else best
