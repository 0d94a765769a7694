"""A pickle interpreter that builds dicts, lists, tuples, strings, integers and plain arrays, and cannot do more.

A pickle is a program for a small stack machine, and the usual machine imports and calls whatever the program names.
This one has no instruction that imports or calls: a name in the file is looked up in `SYMBOLS` and becomes a mere
symbol, and what symbols mean is written out in `resnexus.weights.stored`. An opcode that is not in `_INSTRUCTIONS`
ends the reading.

Array contents are not read here. Their place in the file is noted, so that nothing is allocated for a file until the
whole of its structure has been found in order.
"""

from __future__ import annotations

import os
import pickle
import pickletools
from collections.abc import Callable
from typing import BinaryIO

from resnexus.errors import ResnexusError
from resnexus.weights.stored import SYMBOLS, Span, StoredArray, applied, complete, shown

MAX_OPCODES = 500_000
"""One opcode makes an object of about 100 bytes at most. A state of 2,000 entries takes 80,000 opcodes."""

NAME_LIMIT = 1024
"""Longest string, in bytes, that is read at once; anything longer can only be the contents of an array."""


class PdparamsError(ResnexusError):
    """A weight file that is damaged, is something else, or holds more than named arrays; the message says what."""


def unpickle(file: BinaryIO, path: str | os.PathLike[str]) -> object:
    """Return what the pickle in `file` describes, with `StoredArray` for arrays; no code of the file runs.

    Args:
        file: an open regular file, at its first byte.
        path: how messages call it.

    Raises:
        PdparamsError: an opcode, a name or a value that weight files do not contain, or a damaged file.
    """
    return _Machine(file, path).run()


class _Machine:
    """The stack, the marks and the memo of one pickle, and the instructions that change them."""

    def __init__(self, file: BinaryIO, path: str | os.PathLike[str]) -> None:
        self.file = file
        self.path = path
        self.size = os.fstat(file.fileno()).st_size
        self.at = 0
        self.opcode_at = 0
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.array_bytes = 0

    def run(self) -> object:
        """Execute instructions up to the end of the file and return the one object they leave."""
        for _ in range(MAX_OPCODES):
            self.opcode_at = self.at
            opcode = self.file.read(1)
            self.at += 1
            instruction = _INSTRUCTIONS.get(opcode)
            if instruction is not None:
                instruction(self)
            elif opcode == pickle.STOP:
                return self.finish()
            elif opcode:
                name = _OPCODE_NAMES.get(opcode, f"0x{opcode.hex()}")
                raise self.refused(f"opcode {name}", "weight files do not use it")
            else:
                raise self.truncated()
        raise self.refused(f"opcode {MAX_OPCODES + 1:,}", "no weight file needs so many")

    def finish(self) -> object:
        if self.marks or len(self.stack) != 1:
            raise self.refused("the end", f"{len(self.stack)} objects on the stack, a pickle leaves one")
        if self.at != self.size:
            raise self.refused("the end", f"{self.size - self.at:,} more bytes follow")
        return self.stack[0]

    def refused(self, what: str, why: str) -> PdparamsError:
        return PdparamsError(f"{self.path}: refused {what} at byte {self.opcode_at:,}: {why}")

    def truncated(self) -> PdparamsError:
        return PdparamsError(
            f"{self.path}: the file is cut off (truncated): it ends at byte {self.size:,}, before its pickle does"
        )

    def cut_off(self, what: str) -> PdparamsError:
        return PdparamsError(
            f"{self.path}: the file is cut off, or damaged at byte {self.opcode_at:,}: {what} begins there, and only "
            f"{self.size - self.at:,} bytes follow"
        )

    # Bytes of the file

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes; callers ask for at most `NAME_LIMIT`."""
        data = self.file.read(count)
        if len(data) != count:
            raise self.truncated()
        self.at += count
        return data

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def line(self) -> str:
        data = self.file.readline(NAME_LIMIT)
        self.at += len(data)
        if not data.endswith(b"\n"):
            raise self.refused("a name", f"it does not end within {NAME_LIMIT} bytes")
        return data[:-1].decode("ascii", "backslashreplace")

    def skip(self, count: int, text: bool) -> Span:
        span = Span(self.at, count, text)
        if count > self.size - self.at:
            raise self.cut_off(f"a string of {count:,} bytes")
        self.file.seek(count, os.SEEK_CUR)
        self.at += count
        return span

    # Stack and memo

    def pop(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.refused("an instruction", "it takes an object from an empty stack")
        return self.stack.pop()

    def pop_to_mark(self) -> list[object]:
        if not self.marks:
            raise self.refused("an instruction", "it takes objects up to a mark that is not there")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def put(self, index: int) -> None:
        if index >= MAX_OPCODES:
            raise self.refused(f"memo entry {index:,}", "no weight file has so many objects")
        value = self.pop()
        self.stack.append(value)
        self.memo[index] = value

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise self.refused(f"memo entry {index:,}", "nothing was stored there")
        self.stack.append(self.memo[index])

    # Instructions

    def protocol(self) -> None:
        version = self.number(1)
        if self.opcode_at != 0 or not 2 <= version <= 5:
            raise self.refused(f"protocol {version}", "2 to 5 are accepted, at the first byte only")

    def frame(self) -> None:
        length = self.number(8)
        if length > self.size - self.at:
            raise self.cut_off(f"a frame of {length:,} bytes")

    def text(self, length: int) -> None:
        if length > NAME_LIMIT:
            self.stack.append(self.skip(length, text=True))
            return
        try:
            self.stack.append(self.take(length).decode())
        except UnicodeDecodeError as error:
            raise self.refused("a string", f"it is not UTF-8: {error.reason}") from error

    def data(self, length: int) -> None:
        self.stack.append(self.skip(length, text=False) if length > NAME_LIMIT else self.take(length))

    def python2_string(self, length: int) -> None:
        """Read a str of Python 2, which holds names as well as bytes."""
        short = length <= NAME_LIMIT
        self.stack.append(self.take(length).decode("latin-1") if short else self.skip(length, text=False))

    def long_integer(self) -> None:
        length = self.number(1)
        if length > 8:
            raise self.refused(f"an integer of {length} bytes", "8 are the most that a shape needs")
        self.stack.append(int.from_bytes(self.take(length), "little", signed=True))

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def append(self, items: list[object]) -> None:
        target = self.pop()
        if not isinstance(target, list):
            raise self.refused(f"appending to {shown(target)}", "only a list grows")
        target.extend(items)
        self.stack.append(target)

    def set_items(self, items: list[object]) -> None:
        target = self.pop()
        if not isinstance(target, dict) or len(items) % 2:
            raise self.refused(f"setting items of {shown(target)}", "only a dict takes pairs of key and value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise self.refused(f"{shown(key)} as a key", f"keys are strings of at most {NAME_LIMIT} bytes")
            if key in target:
                raise self.refused(f"the key {shown(key)}", "it occurs twice")
            target[key] = value
        self.stack.append(target)

    def item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def global_(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.refused("a global", f"{shown(module)} and {shown(name)} are no module and name")
        symbol = SYMBOLS.get((module, name))
        if symbol is None:
            raise self.refused(f"global {shown(f'{module}.{name}')}", "weight files name only what describes an array")
        self.stack.append(symbol)

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.global_(module, name)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        try:
            value = applied(function, arguments)
        except ValueError as error:
            raise self.refused("a call", str(error)) from error
        self.count(value)
        self.stack.append(value)

    def build(self) -> None:
        state, target = self.pop(), self.pop()
        try:
            complete(target, state)
        except ValueError as error:
            raise self.refused("a state", str(error)) from error
        self.count(target)
        self.stack.append(target)

    def count(self, value: object) -> None:
        """Add up the contents of arrays: those that lie apart in the file cannot be more than it."""
        if isinstance(value, StoredArray):
            self.array_bytes += value.nbytes
        if self.array_bytes > self.size:
            raise self.refused("an array", "the arrays so far are larger than the file, because they share contents")


_OPCODE_NAMES = {opcode.code.encode("latin-1"): opcode.name for opcode in pickletools.opcodes}

_INSTRUCTIONS: dict[bytes, Callable[[_Machine], None]] = {
    pickle.PROTO: _Machine.protocol,
    pickle.FRAME: _Machine.frame,
    pickle.MARK: lambda machine: machine.marks.append(len(machine.stack)),
    pickle.NONE: lambda machine: machine.stack.append(None),
    pickle.NEWTRUE: lambda machine: machine.stack.append(True),
    pickle.NEWFALSE: lambda machine: machine.stack.append(False),
    pickle.BININT1: lambda machine: machine.stack.append(machine.number(1)),
    pickle.BININT2: lambda machine: machine.stack.append(machine.number(2)),
    pickle.BININT: lambda machine: machine.stack.append(int.from_bytes(machine.take(4), "little", signed=True)),
    pickle.LONG1: _Machine.long_integer,
    pickle.SHORT_BINUNICODE: lambda machine: machine.text(machine.number(1)),
    pickle.BINUNICODE: lambda machine: machine.text(machine.number(4)),
    pickle.BINUNICODE8: lambda machine: machine.text(machine.number(8)),
    pickle.SHORT_BINBYTES: lambda machine: machine.data(machine.number(1)),
    pickle.BINBYTES: lambda machine: machine.data(machine.number(4)),
    pickle.BINBYTES8: lambda machine: machine.data(machine.number(8)),
    pickle.BYTEARRAY8: lambda machine: machine.data(machine.number(8)),
    pickle.SHORT_BINSTRING: lambda machine: machine.python2_string(machine.number(1)),
    pickle.BINSTRING: lambda machine: machine.python2_string(machine.number(4)),
    pickle.EMPTY_DICT: lambda machine: machine.stack.append({}),
    pickle.EMPTY_LIST: lambda machine: machine.stack.append([]),
    pickle.EMPTY_TUPLE: lambda machine: machine.stack.append(()),
    pickle.TUPLE: lambda machine: machine.stack.append(tuple(machine.pop_to_mark())),
    pickle.TUPLE1: lambda machine: machine.tuple_of(1),
    pickle.TUPLE2: lambda machine: machine.tuple_of(2),
    pickle.TUPLE3: lambda machine: machine.tuple_of(3),
    pickle.APPEND: lambda machine: machine.append([machine.pop()]),
    pickle.APPENDS: lambda machine: machine.append(machine.pop_to_mark()),
    pickle.SETITEM: _Machine.item,
    pickle.SETITEMS: lambda machine: machine.set_items(machine.pop_to_mark()),
    pickle.BINPUT: lambda machine: machine.put(machine.number(1)),
    pickle.LONG_BINPUT: lambda machine: machine.put(machine.number(4)),
    pickle.MEMOIZE: lambda machine: machine.put(len(machine.memo)),
    pickle.BINGET: lambda machine: machine.get(machine.number(1)),
    pickle.LONG_BINGET: lambda machine: machine.get(machine.number(4)),
    pickle.GLOBAL: lambda machine: machine.global_(machine.line(), machine.line()),
    pickle.STACK_GLOBAL: _Machine.stack_global,
    pickle.REDUCE: _Machine.reduce,
    pickle.BUILD: _Machine.build,
}
