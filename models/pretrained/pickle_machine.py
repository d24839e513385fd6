"""A machine for the pickles of plain values: containers, text, numbers; names are noted, never imported.

It knows no recursion, and takes memory for what it reads alone. Source: CPython's `Lib/pickletools.py`.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError

#: Of a module or of what it has.
_LONGEST_NAME = 1000

#: Of a number of 8 bytes with its sign.
_MOST_DIGITS = 20


@dataclass(frozen=True)
class Global:
    """A name that a pickle wants imported; only looked at."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{f'{self.module}.{self.name}'!r:.100}"


class Machine:
    """The stack, the marks in it, what the pickle remembers by number, and what it names outside of it, by key."""

    def __init__(self, data: memoryview, start: int) -> None:
        self._data, self.position = data, start
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self.outside: dict[str, Any] = {}

    def take(self, count: int) -> bytes:
        """Gives the next bytes of the pickle."""
        start = self.position
        self.skip(count)
        return bytes(self._data[start : self.position])

    def skip(self, count: int) -> None:
        """Passes over bytes."""
        if not 0 <= count <= len(self._data) - self.position:
            raise damaged(f"goes on behind byte {len(self._data):,}, where it must have ended")
        self.position += count

    def number(self, form: struct.Struct) -> Any:
        """Gives the next number."""
        return form.unpack(self.take(form.size))[0]

    def line(self) -> str:
        """Gives the next line of text, such as a module's name."""
        length = bytes(self._data[self.position : self.position + _LONGEST_NAME]).find(b"\n")
        if length < 0:
            raise damaged(f"has a name of more than {_LONGEST_NAME} letters")
        return str(self.take(length + 1)[:-1], "utf-8", "replace")

    def push(self, value: Any) -> None:
        """Lays a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Takes the uppermost value above the last mark."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise damaged("takes a value that is not there")
        return self._stack.pop()

    def pop_to_mark(self) -> list[Any]:
        """Takes the last mark and all values above it."""
        if not self._marks:
            raise damaged("goes back to a mark that is not there")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def mark(self) -> None:
        """Marks where the next values will lie."""
        self._marks.append(len(self._stack))

    def remember(self, number: int | None = None) -> None:
        """Stores the uppermost value under a number, the next free one by default."""
        value = self.pop()
        self.push(value)
        self._memo[len(self._memo) if number is None else number] = value

    def recall(self, number: int) -> None:
        """Lays a stored value on the stack again."""
        if number not in self._memo:
            raise damaged(f"recalls value {number}, which it has not stored")
        self.push(self._memo[number])


def damaged(what: str) -> FacetError:
    """Gives the error of a pickle that does `what`, which no writer makes."""
    return FacetError(f"its pickle {what}, expected an undamaged file")


def _number(form: str) -> Callable[[Machine], None]:
    packed = struct.Struct(form)
    return lambda machine: machine.push(machine.number(packed))


def _text(form: str, coding: str) -> Callable[[Machine], None]:
    length = struct.Struct(form)
    return lambda machine: machine.push(str(machine.take(machine.number(length)), coding, "replace"))


def _long(machine: Machine) -> None:
    machine.push(int.from_bytes(machine.take(machine.take(1)[0]), "little", signed=True))


def _digits(machine: Machine) -> None:
    """Lays a number in digits on the stack: what Python 2 wrote for those of more than 4 bytes."""
    digits = machine.line()
    if not digits.removeprefix("-").isdecimal() or len(digits) > _MOST_DIGITS:
        raise damaged(f"has a number {digits!r:.40}")
    machine.push(int(digits))


def _tuple(length: int) -> Callable[[Machine], None]:
    def operation(machine: Machine) -> None:
        values = [machine.pop() for _ in range(length)]
        machine.push(tuple(reversed(values)))

    return operation


def _memory(form: str, *, recall: bool) -> Callable[[Machine], None]:
    packed, act = struct.Struct(form), Machine.recall if recall else Machine.remember
    return lambda machine: act(machine, machine.number(packed))


def _append(machine: Machine, values: list[Any]) -> None:
    target = machine.pop()
    if not isinstance(target, list):
        raise damaged("appends to what is no list")
    target.extend(values)
    machine.push(target)


def _set(machine: Machine, values: list[Any]) -> None:
    target = machine.pop()
    if not isinstance(target, dict) or len(values) % 2:
        raise damaged("sets items of what is no dict")
    target.update(items_of(zip(values[::2], values[1::2], strict=True)))
    machine.push(target)


def items_of(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Gives a dict of keys and values; keys are text, None, or numbers of 8 bytes."""
    found = {}
    for key, value in pairs:
        # other keys would be hashed by code that recurses, and longer numbers made to have one hash
        if not (isinstance(key, str | float | None) or (isinstance(key, int) and -(2**63) <= key < 2**63)):
            raise damaged(f"has a dict with a key of type {type(key).__name__}")
        found[key] = value
    return found


def _global(machine: Machine) -> None:
    module = machine.line()
    machine.push(Global(module, machine.line()))


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise damaged("imports a name that is no text")
    machine.push(Global(module, name))


#: By the byte that stands for them. All that plain values need, of protocols 2 to 5.
PLAIN_OPERATIONS: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": lambda machine: machine.skip(1),
    b"\x95": lambda machine: machine.skip(8),
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b")": lambda machine: machine.push(()),
    b"]": lambda machine: machine.push([]),
    b"}": lambda machine: machine.push({}),
    b"K": _number("<B"),
    b"M": _number("<H"),
    b"J": _number("<i"),
    b"G": _number(">d"),
    b"\x8a": _long,
    b"I": _digits,
    b"X": _text("<I", "utf-8"),
    b"\x8c": _text("<B", "utf-8"),
    b"U": _text("<B", "latin-1"),
    b"T": _text("<i", "latin-1"),
    b"(": Machine.mark,
    b"t": lambda machine: machine.push(tuple(machine.pop_to_mark())),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"a": lambda machine: _append(machine, [machine.pop()]),
    b"e": lambda machine: _append(machine, machine.pop_to_mark()),
    b"s": lambda machine: _set(machine, [machine.pop(), machine.pop()][::-1]),
    b"u": lambda machine: _set(machine, machine.pop_to_mark()),
    b"q": _memory("<B", recall=False),
    b"r": _memory("<I", recall=False),
    b"\x94": Machine.remember,
    b"h": _memory("<B", recall=True),
    b"j": _memory("<I", recall=True),
    b"c": _global,
    b"\x93": _stack_global,
}
