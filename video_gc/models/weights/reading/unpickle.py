"""Read pickles without importing anything; calls only functions from its caller.

Python's own unpickler calls every function that a file names, and allocates every size that it
claims. Here `find` gives the meaning of a name, only a `Constructor` is called, and a size beyond
the end of the file is an error. Python's pickletools decode the opcodes of the protocols 0 to 5.
"""

import codecs
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, cast

from video_gc.models.weights.reading.placeholders import (
    Constructor,
    Placeholder,
    RefusedError,
    as_key,
)

OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
PARTS = 2_000_000
"""Largest number of opcodes in one pickle; a file of weights has some thousand."""
BITS = 8192
"""Largest size of a whole number."""


class Unpickler:
    """Reads one pickle from the position of `file`; `end`: the position after its last byte.

    find: module and name → a Constructor, a value, or a Placeholder.
    storage: a persistent id → its value.
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

        Raises RefusedError; a damaged file can raise any other exception.
        """
        for _ in range(PARTS):
            code = self.read(1).decode("latin1")
            opcode = OPCODES.get(code)
            if opcode is not None and opcode.name == "STOP":
                return self.stack.pop()
            if opcode is None or opcode.name not in OPERATIONS:
                raise RefusedError(f"the opcode {code!r} is not allowed")
            OPERATIONS[opcode.name](self, self.argument(opcode))
        raise RefusedError(f"a description of more than {PARTS} parts is not allowed")

    def argument(self, opcode: pickletools.OpcodeInfo) -> Any:
        """The argument of an opcode."""
        source = cast(IO[bytes], self)  # its readers call only `read` and `readline`
        if opcode.name == "STRING":  # from Python 2: bytes, which may not be text
            quoted: Any = pickletools.read_stringnl(source, decode=False)
            return codecs.escape_decode(quoted)[0].decode("latin1")
        return opcode.arg and opcode.arg.reader(source)

    def read(self, size: int) -> bytes:
        """The next bytes."""
        if size > self.left:
            raise EOFError(f"{size} bytes are claimed where {self.left} are left")
        content = self.file.read(size)
        self.left -= len(content)
        return content

    def readline(self) -> bytes:
        """The rest of the line, with its end."""
        content = self.file.readline(self.left)
        self.left -= len(content)
        return content

    def push(self, value: Any) -> None:
        """Push a value onto the stack."""
        if isinstance(value, int) and value.bit_length() > BITS:
            raise RefusedError(f"a whole number of {value.bit_length()} bits is not allowed")
        self.stack.append(bytes(value) if isinstance(value, bytearray) else value)

    def pop_mark(self) -> list[Any]:
        """Pop the values above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_tuple(self, size: int) -> None:
        """Make one value of the last ones."""
        if len(self.stack) < size:
            raise IndexError("the stack is empty")
        self.stack[-size:] = [tuple(self.stack[-size:])]

    def keep(self, place: int) -> None:
        """Memoise the top of the stack."""
        self.memo[place] = self.stack[-1]

    def name(self, module: Any, name: Any) -> None:
        """Push the meaning of a name."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name that is not text")
        self.push(self.find(module, name))

    def name_on_stack(self) -> None:
        """As `name`."""
        name, module = self.stack.pop(), self.stack.pop()
        self.name(module, name)

    def call(self, function: Any, arguments: Any) -> None:
        """Call a Constructor; a Placeholder gives a Placeholder; refuse anything else."""
        if not isinstance(arguments, tuple):
            raise TypeError("arguments that are not a tuple")
        if isinstance(function, Placeholder):
            self.push(Placeholder(function.name, arguments))
        elif isinstance(function, Constructor):
            self.push(function.make(*arguments))
        else:
            raise RefusedError(f"calling a {type(function).__name__} is not allowed")

    def call_on_stack(self) -> None:
        """Call the function below the arguments."""
        arguments, function = self.stack.pop(), self.stack.pop()
        self.call(function, arguments)

    def call_with_keywords(self) -> None:
        """As `call_on_stack`; keyword arguments are ignored."""
        self.stack.pop()
        self.call_on_stack()

    def call_marked(self) -> None:
        """Protocols 0 and 1: the class is the first value above the mark."""
        function, *arguments = self.pop_mark()
        self.call(function, tuple(arguments))

    def call_named(self, name: str) -> None:
        """Protocol 0: as `call_marked`, with the class's name as text."""
        self.name(*name.split(" ", 1))
        function = self.stack.pop()
        self.call(function, tuple(self.pop_mark()))

    def build(self) -> None:
        """Give an object its state; only Placeholders and a few types accept it."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Placeholder):
            target.state = state
        elif isinstance(target, OrderedDict):  # torch stores the versions of its modules there
            if isinstance(state, dict) and "_metadata" in state:
                target._metadata = state["_metadata"]  # type: ignore[attr-defined]
        elif isinstance(target, Constructor):
            raise RefusedError(f"a state for {target.name} is not allowed")

    def extend(self, items: list[Any]) -> None:
        """The list on top of the stack."""
        target = self.stack[-1]
        if isinstance(target, Placeholder):
            target.items = target.items or []
            target.items += items
        elif type(target) is list:
            target += items
        else:
            raise RefusedError(f"appending to a {type(target).__name__} is not allowed")

    def set_items(self, items: list[Any]) -> None:
        """Put alternating keys and values into the dictionary on top of the stack."""
        target = self.stack[-1]
        if isinstance(target, Placeholder):
            target.entries = target.entries or {}
            target = target.entries
        if not isinstance(target, dict):
            raise RefusedError(f"setting items of a {type(target).__name__} is not allowed")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[as_key(key)] = value

    def new_dictionary(self) -> None:
        """Make a value from those above the last mark."""
        items = self.pop_mark()
        self.push({})
        self.set_items(items)

    def check_frame(self, size: int) -> None:
        """Raise EOFError for a frame beyond the file."""
        if size > self.left:
            raise EOFError(f"{size} bytes are claimed where {self.left} are left")


OPERATIONS: dict[str, Callable[[Unpickler, Any], Any]] = {
    **dict.fromkeys(
        (
            "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
            "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
            "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
        ),
        Unpickler.push,
    ),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Unpickler.keep),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, place: m.push(m.memo[place])),
    "MEMOIZE": lambda m, _: m.keep(len(m.memo)),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_mark())),
    "TUPLE1": lambda m, _: m.pop_tuple(1),
    "TUPLE2": lambda m, _: m.pop_tuple(2),
    "TUPLE3": lambda m, _: m.pop_tuple(3),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "LIST": lambda m, _: m.push(m.pop_mark()),
    "EMPTY_SET": lambda m, _: m.push([]),  # a list: a set would compute hashes
    "FROZENSET": lambda m, _: m.push(m.pop_mark()),
    "APPEND": lambda m, _: m.extend([m.stack.pop()]),
    "APPENDS": lambda m, _: m.extend(m.pop_mark()),
    "ADDITEMS": lambda m, _: m.extend(m.pop_mark()),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "DICT": lambda m, _: m.new_dictionary(),
    "SETITEM": lambda m, _: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.set_items(m.pop_mark()),
    "GLOBAL": lambda m, name: m.name(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name_on_stack(),
    "REDUCE": lambda m, _: m.call_on_stack(),
    "NEWOBJ": lambda m, _: m.call_on_stack(),
    "NEWOBJ_EX": lambda m, _: m.call_with_keywords(),
    "OBJ": lambda m, _: m.call_marked(),
    "INST": Unpickler.call_named,
    "BUILD": lambda m, _: m.build(),
    "PERSID": lambda m, name: m.push(m.storage(name)),
    "BINPERSID": lambda m, _: m.push(m.storage(m.stack.pop())),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.pop_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "FRAME": Unpickler.check_frame,
    "PROTO": lambda _m, _version: None,
}  # fmt: skip
"""Opcode → its action; missing ones (extensions, external buffers) are refused."""
