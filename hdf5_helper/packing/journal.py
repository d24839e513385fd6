"""What an interrupted pack has done so far: a file beside the unfinished one, locked by the process that packs.

One line of JSON says what is packed and how; after it comes one record a block: length (uint32), XXH3-64 of the body
(uint64), both little-endian, and the body: a line of JSON, then the bytes of its arrays. A torn or damaged record ends
the list, so a kill at any moment loses one block at most.
"""

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.locking import try_lock

_RECORD = struct.Struct("<IQ")


@dataclass(frozen=True)
class BlockRecord:
    """What is known of a block whose images are in the file.

    Attributes:
        block: its number.
        facts: one array a dset, (rows, …).
        rejects: the reasons of rows that are no examples, by row from the block's first.
    """

    block: int
    facts: Mapping[str, NDArray[Any]]
    rejects: Mapping[int, str]

    def pack(self) -> bytes:
        """Gives the record's body."""
        kinds = {name: (values.dtype.str, values.shape) for name, values in self.facts.items()}
        head = {"block": self.block, "facts": kinds, "rejects": dict(self.rejects)}
        return b"\n".join([json.dumps(head).encode(), b"".join(v.tobytes() for v in self.facts.values())])

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """Reads a body that `pack` made."""
        line, _newline, content = body.partition(b"\n")
        head, facts, start = json.loads(line), {}, 0
        for name, (kind, shape) in head["facts"].items():
            count = int(np.prod(shape, dtype=np.int64))
            facts[name] = np.frombuffer(content, kind, count, start).reshape(shape)
            start += facts[name].nbytes
        return cls(head["block"], facts, {int(row): reason for row, reason in head["rejects"].items()})


def first_line(path: str) -> bytes:
    """Gives the line with which a journal begins, its end included; empty where there is no journal."""
    try:
        with open(path, "rb") as file:
            return file.readline()
    except FileNotFoundError:
        return b""


def _head(line: bytes) -> dict[str, Any] | None:
    """Reads what a pack was begun with; None where the line is torn or was never a journal's."""
    try:
        head = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return head if isinstance(head, dict) else None


class Journal:
    """The journal of one unfinished file, held and locked until it is closed.

    Args:
        path: its name; made if it does not exist.
        target: the file that is being packed, for sentences.

    Attributes:
        head: what an interrupted pack was begun with; None if there was none.
        line: the same as the journal has it, empty if there was none.
        blocks: what it has done, by block.

    Raises:
        FacetError: another process packs the same file now.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._file: IO[bytes] = open(path, "ab+")  # noqa: SIM115 - closed by close()
        if not try_lock(self._file):
            self._file.close()
            raise FacetError(f"{target}: another process is packing it now, expected another name or to wait for it")
        self.head: dict[str, Any] | None = None
        self.line = b""
        self.blocks: dict[int, BlockRecord] = {}
        self._read()

    def _read(self) -> None:
        """Reads what is whole, and cuts off what is not."""
        self._file.seek(0)
        line = self._file.readline()
        self.head = _head(line)
        self.line = line if self.head is not None else b""
        end = self._file.tell() if self.head is not None else 0
        while self.head is not None and (body := self._next_body()) is not None:
            record = BlockRecord.unpack(body)
            self.blocks[record.block] = record
            end = self._file.tell()
        self._file.truncate(end)

    def _next_body(self) -> bytes | None:
        start = self._file.read(_RECORD.size)
        if len(start) < _RECORD.size:
            return None
        length, checksum = _RECORD.unpack(start)
        body = self._file.read(length)
        return body if len(body) == length and xxhash.xxh3_64_intdigest(body) == checksum else None

    def begin(self, head: Mapping[str, Any]) -> None:
        """Writes what is packed now; no fsync, since a torn head or layout only means to begin anew."""
        self.line = json.dumps(head).encode() + b"\n"
        self._file.write(self.line)
        self._file.flush()
        self.head = dict(head)

    def forget(self) -> None:
        """Drops all that was read: the next `begin` begins anew."""
        self._file.truncate(0)
        self.head, self.line, self.blocks = None, b"", {}

    def append(self, record: BlockRecord) -> None:
        """Notes a block; no fsync, since whoever goes on compares every row with its checksum."""
        body = record.pack()
        self._file.write(_RECORD.pack(len(body), xxhash.xxh3_64_intdigest(body)) + body)
        self._file.flush()

    def sync(self) -> None:
        """Lets other machines read it: what is not synchronized may stay on this one, on a network file system."""
        os.fsync(self._file.fileno())

    def discard(self) -> None:
        """Removes the journal, while it is still locked where the system allows it."""
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:  # Windows removes no open file
            self.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Lets the lock go."""
        self._file.close()
