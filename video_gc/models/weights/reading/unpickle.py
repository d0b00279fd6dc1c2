"""A machine for pickles that imports nothing and calls nothing but what its owner gives it.

Python's own unpickler calls whatever a file names, and asks for as much memory as a file claims.
Here a name is a question to `find`, a call goes to a `Maker`, and no size is believed that the file
does not have. The opcodes are those of the protocols 0 to 5 (Lib/pickletools.py of CPython).
"""

import codecs
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

from video_gc.models.weights.reading.inert import Inert, Maker, RefusedError, as_key

PARTS = 2_000_000
"""Opcodes in one pickle; a file of weights has some thousand."""
LONG = 1024
"""Bytes of a whole number."""


class Unpickler:
    """Reads one pickle from where `file` stands; `end`: the position after the last byte it has.

    find: module and name → a Maker, a value, or an Inert.
    storage: a persistent id → what stands for it.
    """

    def __init__(
        self,
        file: IO[bytes],
        end: int,
        find: Callable[[str, str], Any],
        storage: Callable[[Any], Any],
    ) -> None:
        self.file, self.find, self.storage = file, find, storage
        self.left = end - file.tell()
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object.

        Raises RefusedError, or whatever the bytes of a broken file lead to.
        """
        for _ in range(PARTS):
            code = self.read(1)
            if code == pickle.STOP:
                return self.stack.pop()
            if code not in OPCODES:
                raise RefusedError(f"the opcode {code!r} is not allowed")
            OPCODES[code](self)
        raise RefusedError(f"a description of more than {PARTS} parts is not allowed")

    def read(self, size: int) -> bytes:
        """The next bytes."""
        if size > self.left:
            raise EOFError(f"{size} bytes are claimed where {self.left} are left")
        content = self.file.read(size)
        if len(content) != size:
            raise EOFError("the file became shorter")
        self.left -= size
        return content

    def line(self) -> bytes:
        """Up to the end of the line, without it."""
        content = self.file.readline(self.left)
        self.left -= len(content)
        if not content.endswith(b"\n"):
            raise EOFError("a line without an end")
        return content[:-1]

    def number(self, size: int, *, signed: bool = False) -> int:
        """The next bytes as one."""
        return int.from_bytes(self.read(size), "little", signed=signed)

    def push(self, value: Any) -> None:
        """Onto the stack."""
        self.stack.append(value)

    def pop_mark(self) -> list[Any]:
        """What lies above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_tuple(self, size: int) -> None:
        """Make one of the last values."""
        if len(self.stack) < size:
            raise IndexError("the stack is empty")
        self.stack[-size:] = [tuple(self.stack[-size:])]

    def keep(self, place: int) -> None:
        """The top of the stack, for later."""
        self.memo[place] = self.stack[-1]

    def integer(self, size: int) -> int:
        """Of many bytes, in two's complement."""
        if size > LONG:
            raise RefusedError(f"a whole number of {size} bytes is not allowed")
        return self.number(size, signed=True)

    def name(self, module: Any, name: Any) -> None:
        """What a name stands for."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name that is no text")
        self.push(self.find(module, name))

    def call(self, function: Any, arguments: Any) -> None:
        """A Maker makes, an Inert begets an Inert, anything else is refused."""
        if not isinstance(arguments, tuple):
            raise TypeError("arguments that are no tuple")
        if isinstance(function, Inert):
            self.push(Inert(function.name, arguments))
        elif isinstance(function, Maker):
            self.push(function.make(*arguments))
        else:
            raise RefusedError(f"calling a {type(function).__name__} is not allowed")

    def reduce(self) -> None:
        """Call the function below the arguments on the stack."""
        arguments, function = self.stack.pop(), self.stack.pop()
        self.call(function, arguments)

    def new_with_names(self) -> None:
        """As `reduce`; arguments by name are forgotten."""
        self.stack.pop()
        self.reduce()

    def object(self) -> None:
        """Of protocol 0 and 1: the class is the first above the mark."""
        function, *arguments = self.pop_mark()
        self.call(function, tuple(arguments))

    def instance(self) -> None:
        """Of protocol 0: as `object`, with the class's name as text."""
        self.name(self.line().decode(), self.line().decode())
        function = self.stack.pop()
        self.call(function, tuple(self.pop_mark()))

    def build(self) -> None:
        """Give an object its state; only what stands for foreign objects takes it."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif isinstance(target, OrderedDict):  # torch keeps the versions of its modules there
            if isinstance(state, dict) and "_metadata" in state:
                target._metadata = state["_metadata"]  # type: ignore[attr-defined]
        elif isinstance(target, Maker):
            raise RefusedError(f"a state for {target.name} is not allowed")

    def extend(self, items: list[Any]) -> None:
        """The list on top of the stack."""
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.items = target.items or []
            target.items += items
        elif type(target) is list:
            target += items
        else:
            raise RefusedError(f"appending to a {type(target).__name__} is not allowed")

    def set_items(self, items: list[Any]) -> None:
        """Keys and values, in turns, into the dictionary on top of the stack."""
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.entries = target.entries or {}
            target = target.entries
        if not isinstance(target, dict):
            raise RefusedError(f"setting items of a {type(target).__name__} is not allowed")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[as_key(key)] = value


def _string(machine: Unpickler) -> str:
    """Of Python 2, quoted: bytes, of which nobody says whether they are text."""
    line = machine.line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("a string without quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin1")


def _whole(machine: Unpickler) -> int | bool:
    line = machine.line()
    return line == b"01" if line in (b"00", b"01") else int(line)


def _frame(machine: Unpickler) -> None:
    size = machine.number(8)
    if size > machine.left:
        raise EOFError(f"{size} bytes are claimed where {machine.left} are left")


def _stack_global(machine: Unpickler) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.name(module, name)


def _dictionary(machine: Unpickler) -> None:
    items = machine.pop_mark()
    machine.push({})
    machine.set_items(items)


OPCODES: dict[bytes, Callable[[Unpickler], Any]] = {
    pickle.PROTO: lambda m: m.read(1),
    pickle.FRAME: _frame,
    pickle.MARK: lambda m: m.marks.append(len(m.stack)),
    pickle.POP: lambda m: m.stack.pop(),
    pickle.POP_MARK: lambda m: m.pop_mark(),
    pickle.DUP: lambda m: m.push(m.stack[-1]),
    pickle.NONE: lambda m: m.push(None),
    pickle.NEWTRUE: lambda m: m.push(True),
    pickle.NEWFALSE: lambda m: m.push(False),
    pickle.INT: lambda m: m.push(_whole(m)),
    pickle.LONG: lambda m: m.push(int(m.line().rstrip(b"L"))),
    pickle.FLOAT: lambda m: m.push(float(m.line())),
    pickle.BININT: lambda m: m.push(m.number(4, signed=True)),
    pickle.BININT1: lambda m: m.push(m.number(1)),
    pickle.BININT2: lambda m: m.push(m.number(2)),
    pickle.LONG1: lambda m: m.push(m.integer(m.number(1))),
    pickle.LONG4: lambda m: m.push(m.integer(m.number(4))),
    pickle.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.read(8))[0]),
    pickle.STRING: lambda m: m.push(_string(m)),
    pickle.SHORT_BINSTRING: lambda m: m.push(m.read(m.number(1)).decode("latin1")),
    pickle.BINSTRING: lambda m: m.push(m.read(m.number(4)).decode("latin1")),
    pickle.UNICODE: lambda m: m.push(m.line().decode("raw-unicode-escape")),
    pickle.SHORT_BINUNICODE: lambda m: m.push(_text(m, 1)),
    pickle.BINUNICODE: lambda m: m.push(_text(m, 4)),
    pickle.BINUNICODE8: lambda m: m.push(_text(m, 8)),
    pickle.SHORT_BINBYTES: lambda m: m.push(m.read(m.number(1))),
    pickle.BINBYTES: lambda m: m.push(m.read(m.number(4))),
    pickle.BINBYTES8: lambda m: m.push(m.read(m.number(8))),
    pickle.BYTEARRAY8: lambda m: m.push(m.read(m.number(8))),
    pickle.EMPTY_TUPLE: lambda m: m.push(()),
    pickle.TUPLE: lambda m: m.push(tuple(m.pop_mark())),
    pickle.TUPLE1: lambda m: m.pop_tuple(1),
    pickle.TUPLE2: lambda m: m.pop_tuple(2),
    pickle.TUPLE3: lambda m: m.pop_tuple(3),
    pickle.EMPTY_LIST: lambda m: m.push([]),
    pickle.LIST: lambda m: m.push(m.pop_mark()),
    pickle.APPEND: lambda m: m.extend([m.stack.pop()]),
    pickle.APPENDS: lambda m: m.extend(m.pop_mark()),
    pickle.EMPTY_SET: lambda m: m.push([]),  # as a list: a set would ask for hashes
    pickle.ADDITEMS: lambda m: m.extend(m.pop_mark()),
    pickle.FROZENSET: lambda m: m.push(m.pop_mark()),
    pickle.EMPTY_DICT: lambda m: m.push({}),
    pickle.DICT: _dictionary,
    pickle.SETITEM: lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    pickle.SETITEMS: lambda m: m.set_items(m.pop_mark()),
    pickle.PUT: lambda m: m.keep(int(m.line())),
    pickle.BINPUT: lambda m: m.keep(m.number(1)),
    pickle.LONG_BINPUT: lambda m: m.keep(m.number(4)),
    pickle.MEMOIZE: lambda m: m.keep(len(m.memo)),
    pickle.GET: lambda m: m.push(m.memo[int(m.line())]),
    pickle.BINGET: lambda m: m.push(m.memo[m.number(1)]),
    pickle.LONG_BINGET: lambda m: m.push(m.memo[m.number(4)]),
    pickle.GLOBAL: lambda m: m.name(m.line().decode(), m.line().decode()),
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: lambda m: m.reduce(),
    pickle.NEWOBJ: lambda m: m.reduce(),
    pickle.NEWOBJ_EX: lambda m: m.new_with_names(),
    pickle.OBJ: lambda m: m.object(),
    pickle.INST: lambda m: m.instance(),
    pickle.BUILD: lambda m: m.build(),
    pickle.PERSID: lambda m: m.push(m.storage(m.line().decode())),
    pickle.BINPERSID: lambda m: m.push(m.storage(m.stack.pop())),
}
"""What each opcode does; those that are missing (extensions, buffers outside) are refused."""


def _text(machine: Unpickler, size: int) -> str:
    return machine.read(machine.number(size)).decode("utf-8", "surrogatepass")
