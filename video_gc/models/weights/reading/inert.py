"""What a file of weights gets in place of the objects and functions that it names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HASHED = (1 << 61) - 1
"""Whole numbers below it have hashes of their own; Python takes the others modulo this prime."""


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

    Only what a file cannot give many equal hashes: those of tuples, complex and large whole numbers
    can be chosen, and some hundred kilobytes would keep a computer busy for ever.
    """
    if isinstance(value, int):
        return value if abs(value) < HASHED else Inert("int")
    simple = value is None or isinstance(value, str | bytes | float | Inert)
    return value if simple else Inert(type(value).__name__)
