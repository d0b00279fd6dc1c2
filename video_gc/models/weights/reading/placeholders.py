"""Placeholders for objects and functions named in a file of weights, and its plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

HASHED = (1 << 61) - 1
"""Whole numbers below it have distinct hashes; Python takes others modulo this prime."""
DEPTH = 32
"""Nesting levels that are kept."""


class RefusedError(Exception):
    """A request of a file that is refused; the text is the reason."""


@dataclass(frozen=True)
class Constructor:
    """A function or class that a file may call."""

    name: str
    make: Callable[..., Any]


class Placeholder:
    """Stands for an object of another package: keeps its arguments, does nothing."""

    __slots__ = ("arguments", "entries", "items", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name, self.arguments = name, arguments
        self.entries: dict[Any, Any] | None = None
        self.items: list[Any] | None = None
        self.state: Any = None


def as_key(value: Any) -> Any:
    """The value if it can be a key safely, otherwise a Placeholder.

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
    for any other object, for an object that contains itself, and for anything deeper than `DEPTH`.
    A shared object is copied once, so the copy is no larger than the original.
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
    """Keys as text; others are left out."""
    return [(str(k), v) for k, v in value.items() if isinstance(k, str | int | float | None)]


def _content(value: Placeholder) -> Any:
    """The content of an object of another package."""
    if value.name in ("numpy.ndarray", "numpy.dtype"):
        return None
    if value.name.startswith("pathlib.") and all(isinstance(a, str) for a in value.arguments):
        return "/".join(value.arguments).replace("//", "/", 1)
    for held in (value.entries, value.items, value.state):
        if held is not None:
            return held
    first = value.arguments[0] if len(value.arguments) == 1 else None  # an enumeration
    return first if isinstance(first, bool | int | float | str) else None
