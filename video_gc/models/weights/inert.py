"""What a file of weights gets in place of the objects and functions that it names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class RefusedError(Exception):
    """What a file asks for and does not get: the reason, for people."""


@dataclass(frozen=True)
class Maker:
    """What a file gets for the name of a function or class that it may call."""

    name: str
    make: Callable[..., Any]


class Inert:
    """Stands for an object of another package: keeps what it was given, does nothing."""

    __slots__ = ("arguments", "entries", "items", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name, self.arguments = name, arguments
        self.entries: dict[Any, Any] | None = None
        self.items: list[Any] | None = None
        self.state: Any = None


def as_key(value: Any) -> Any:
    """The value, where it can be a key at once; else an Inert in its place.

    The hash of nested tuples is computed anew each time, by every way that leads to a leaf: some
    hundred bytes can keep a computer busy for ever.
    """
    if isinstance(value, tuple):
        flat = len(value) <= 64 and all(isinstance(item, int | str | None) for item in value)
        return value if flat else Inert("a tuple")
    simple = value is None or isinstance(value, str | bytes | int | float | complex | Inert)
    return value if simple else Inert(type(value).__name__)
