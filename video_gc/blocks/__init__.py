"""Context blocks on plain tensors (N, C, *positions); they need only torch."""

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from video_gc.blocks.attention_maps import QueryMaps, SharedMap
from video_gc.blocks.criss_cross import CrissCross
from video_gc.blocks.disentangled import DisentangledNonLocal
from video_gc.blocks.global_context import GlobalContext, gc, se, snl
from video_gc.blocks.non_local import NonLocal

__all__ = [
    "BLOCKS",
    "CrissCross",
    "DisentangledNonLocal",
    "GlobalContext",
    "NonLocal",
    "QueryMaps",
    "SharedMap",
    "build_block",
    "check_block",
    "choices",
    "kind_of",
]

BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "gc": gc,
    "snl": snl,
    "se": se,
    "nl": NonLocal,
    "dnl": DisentangledNonLocal,
    "cc": CrissCross,
}
"""Kind → constructor; its first argument is the channel count, the others are options. A block maps
(N, C, *positions) to the same shape; nothing else is asked of it."""


def build_block(kind: str, channels: int, **options: Any) -> nn.Module:
    """A freshly initialised context block of `kind` for `channels` channels.

    Raises ValueError naming the valid kinds, or the valid options of that kind.
    """
    check_block(kind, options)
    return BLOCKS[kind](channels, **options)


def check_block(kind: str, options: dict[str, Any]) -> None:
    """Raise ValueError unless `kind` exists and takes every name in `options`."""
    if kind not in BLOCKS:
        raise ValueError(f"unknown block {kind!r}; {choices(kind, list(BLOCKS))}")
    names = list(inspect.signature(BLOCKS[kind]).parameters)[1:]
    for name in options:
        if name not in names:
            raise ValueError(f"block {kind!r} takes no option {name!r}; {choices(name, names)}")


def kind_of(block: nn.Module) -> str:
    """The key of `BLOCKS`, from the class and, in the one framework, from the choices made; the
    class name if it has none."""
    if isinstance(block, GlobalContext):
        if block.pool == "average":
            return "se"
        return "gc" if len(block.transform) > 1 else "snl"
    own = type(block)
    return next((kind for kind, make in BLOCKS.items() if make is own), own.__name__)


def choices(wrong: str, names: list[str]) -> str:
    """For an error: the valid name nearest to a wrong one, and all valid names."""
    nearest = difflib.get_close_matches(wrong, names, 1)  # blocks import nothing of ours
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{hint}Valid: {', '.join(names)}"
