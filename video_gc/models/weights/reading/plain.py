"""What lies beside the weights of a file, as data that anybody can walk through."""

from collections.abc import Mapping
from typing import Any

from video_gc.models.weights.reading.allowed import Array, Numbers
from video_gc.models.weights.reading.inert import Inert

DEPTH = 32
"""Levels of nesting that are kept."""


def plain(value: Any, depth: int = 0, seen: dict[int, Any] | None = None) -> Any:
    """A copy in dictionaries by string, lists, strings, numbers and None.

    An object of another package becomes its items or its attributes, a path its text. None stands
    for any other object, for what holds itself, and for what lies deeper than `DEPTH`.
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
    whole, value = value, _content(value) if isinstance(value, Inert) else value
    if isinstance(value, Mapping):
        seen[id(whole)] = {k: plain(v, depth + 1, seen) for k, v in _named(value)}
    elif isinstance(value, list | tuple | set | frozenset):
        seen[id(whole)] = [plain(item, depth + 1, seen) for item in value]
    elif value is None or isinstance(value, bool | int | float | str):
        seen[id(whole)] = value
    return seen[id(whole)]


def _named(value: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    """Keys as text; those that have none are left out."""
    return [(str(k), v) for k, v in value.items() if isinstance(k, str | int | float | None)]


def _content(value: Inert) -> Any:
    """What an object of another package holds."""
    if isinstance(value, Array | Numbers):
        return None
    if value.name.startswith("pathlib.") and all(isinstance(a, str) for a in value.arguments):
        return "/".join(value.arguments).replace("//", "/", 1)
    for held in (value.entries, value.items, value.state):
        if held is not None:
            return held
    first = value.arguments[0] if len(value.arguments) == 1 else None  # of an enumeration
    return first if isinstance(first, bool | int | float | str) else None
