"""What lies beside the weights of a file, as data that anybody can walk through."""

from collections.abc import Mapping
from typing import Any

DEPTH = 32
"""Levels of nesting that are kept."""


def plain(value: Any, depth: int = 0, seen: dict[int, Any] | None = None) -> Any:
    """A copy in dictionaries by string, lists, strings, numbers and None.

    None stands for any other object, for what holds itself, and for what lies deeper than `DEPTH`.
    An object that lies in many places is copied once, so the copy is no larger than the original.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    seen = {} if seen is None else seen
    if depth > DEPTH:
        return None
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = None
    if isinstance(value, Mapping):
        seen[id(value)] = {str(k): plain(v, depth + 1, seen) for k, v in value.items()}
    elif isinstance(value, list | tuple | set | frozenset):
        seen[id(value)] = [plain(item, depth + 1, seen) for item in value]
    return seen[id(value)]
