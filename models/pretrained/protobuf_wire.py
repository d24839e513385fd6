"""Protocol Buffers' wire format, read without a schema and without a compiler: fields by number, in their order.

Source: https://protobuf.dev/programming-guides/encoding/ . Nothing is copied but numbers: each field is a view.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.named_arrays import Array

VARINT, I64, LEN, I32 = 0, 1, 2, 5
WIDTHS = {I64: 8, I32: 4}

#: In one file; a run of numbers that are not packed counts as one. 2,622 classes in 200 layers are below 10,000.
MOST_FIELDS = 500_000
#: Rows that are compared at once in search of a run's end: bounds the memory for the comparison.
MOST_ROWS = 1 << 20


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        number: as in the schema.
        wire: VARINT, I64, LEN or I32.
        varint: the value of a VARINT, 0 ≤ varint < 2**64.
        content: bytes of a LEN field, a view.
        fixed: uint8 (fields, 8 or 4), a view: I64 or I32 fields with this number that follow one another.
    """

    number: int
    wire: int
    varint: int = 0
    content: memoryview = field(default_factory=lambda: memoryview(b""))
    fixed: Array = field(default_factory=lambda: np.empty((0, 4), np.uint8))

    @property
    def message(self) -> memoryview:
        """The bytes of a message, text or packed numbers; refuses a field that holds none."""
        if self.wire != LEN:
            raise FacetError(f"field {self.number} is of wire type {self.wire}, expected {LEN} (bytes)")
        return self.content

    @property
    def signed(self) -> int:
        """The value of an int32, int64 or enum: two's complement; refuses a field that holds none."""
        if self.wire != VARINT:
            raise FacetError(f"field {self.number} is of wire type {self.wire}, expected {VARINT} (an integer)")
        return signed(self.varint)


class WireReader:
    """Reads the messages of one file and counts their fields."""

    def __init__(self) -> None:
        self._left = MOST_FIELDS

    def fields(self, message: memoryview) -> Iterator[Field]:
        """Gives a message's fields in their order.

        Args:
            message: bytes, one-dimensional.

        Raises:
            FacetError: a field does not fit into the message, has an unknown wire type or number 0, or this reader has
                given more than MOST_FIELDS.
        """
        at = 0
        while at < len(message):
            self._left -= 1
            if self._left < 0:
                raise FacetError(f"more than {MOST_FIELDS} fields, expected fewer")
            start = at
            tag, at = varint(message, at)
            number, wire = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise FacetError(f"field number {number}, expected 1 to {(1 << 29) - 1}")
            if wire == VARINT:
                value, at = varint(message, at)
                yield Field(number, wire, varint=value)
            elif wire == LEN:
                length, at = varint(message, at)
                if length > len(message) - at:
                    raise FacetError(f"field {number} of {length} bytes, expected at most the {len(message) - at} left")
                yield Field(number, wire, content=message[at : at + length])
                at += length
            elif wire in WIDTHS:
                run = _run(message[start:], at - start, WIDTHS[wire])
                if not len(run):
                    raise FacetError(f"field {number} is cut short, expected {WIDTHS[wire]} bytes")
                at = start + len(run) * (at - start + WIDTHS[wire])
                yield Field(number, wire, fixed=run)
            else:
                raise FacetError(f"wire type {wire} in field {number}, expected 0, 1, 2 or 5")


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """Gives the unsigned integer of up to 64 bits that starts there, and the place behind it."""
    value = 0
    for place in range(10):
        if at + place >= len(message):
            raise FacetError("an integer is cut short, expected more bytes")
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & (1 << 64) - 1, at + place + 1
    raise FacetError("an integer of more than 10 bytes, expected at most 10")


def packed_varints(content: memoryview) -> list[int]:
    """Gives the signed integers of a packed field."""
    values, at = [], 0
    while at < len(content):
        value, at = varint(content, at)
        values.append(signed(value))
    return values


def signed(value: int) -> int:
    """Gives what 64 bits mean in two's complement."""
    return value - (1 << 64) if value >> 63 else value


def _run(rest: memoryview, tag: int, width: int) -> Array:
    """Gives the values of the fields of `width` bytes at the start that have the first one's tag of `tag` bytes."""
    count = len(rest) // (tag + width)
    rows = np.frombuffer(rest, np.uint8, count * (tag + width)).reshape(count, tag + width)
    stop = min(1, count)
    # by growing steps, so that many short runs cost no more than one long one
    while stop < count:
        step = rows[stop : stop + min(stop, MOST_ROWS)]
        equal = (step[:, :tag] == rows[0, :tag]).all(axis=1)
        if not equal.all():
            stop += int(equal.argmin())
            break
        stop += len(step)
    return rows[:stop, tag:]
