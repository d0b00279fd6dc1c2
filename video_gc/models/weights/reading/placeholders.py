"""What stands for the objects and functions that a file of weights names, and its plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

HASHED = (1 << 61) - 1
"""Whole numbers below it have hashes of their own; Python takes the others modulo this prime."""
DEPTH = 32
"""Levels of nesting that are kept."""


class RefusedError(Exception):
    """What a file asks for and does not get: the reason, for people."""


@dataclass(frozen=True)
class Constructor:
    """What a file gets for the name of a function or class that it may call."""

    name: str
    make: Callable[..., Any]


class Placeholder:
    """Stands for an object of another package: keeps what it was given, does nothing."""

    __slots__ = ("arguments", "entries", "items", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name, self.arguments = name, arguments
        self.entries: dict[Any, Any] | None = None
        self.items: list[Any] | None = None
        self.state: Any = None


def as_key(value: Any) -> Any:
    """The value, where it can be a key at once; else a Placeholder in its place.

    A file can choose tuples, complex and large whole numbers that have equal hashes. The time to
    fill a dictionary with them is quadratic, and the hash of a nested tuple may never end.
    """
    if isinstance(value, int):
        return value if abs(value) < HASHED else Placeholder("int")
    simple = value is None or isinstance(value, str | bytes | float | Placeholder)
    return value if simple else Placeholder(type(value).__name__)


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
    whole, value = value, _content(value) if isinstance(value, Placeholder) else value
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


def _content(value: Placeholder) -> Any:
    """What an object of another package holds."""
    if value.name in ("numpy.ndarray", "numpy.dtype"):
        return None
    if value.name.startswith("pathlib.") and all(isinstance(a, str) for a in value.arguments):
        return "/".join(value.arguments).replace("//", "/", 1)
    for held in (value.entries, value.items, value.state):
        if held is not None:
            return held
    first = value.arguments[0] if len(value.arguments) == 1 else None  # of an enumeration
    return first if isinstance(first, bool | int | float | str) else None
