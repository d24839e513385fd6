"""The work on one block of images: each file is opened once, checked by decoding, and written at its place.

A block is work for any thread, process or machine that sees the image files and the file to write.
"""

import itertools
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.image_store import Image, ImageStore
from hdf5_helper.packing.journal import BlockRecord, first_line
from hdf5_helper.sources.records import RejectedError
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.direct import page_memory, write_around_cache
from hdf5_helper.storage.positional import Pieces, open_for_writing, read_pieces, write_pieces

#: How the reason begins where the system, and not the image, is why there is none.
UNREADABLE = "cannot be read: "

# A pipe or a device that has taken the place of an image file must not be waited for
_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


class Original(Protocol):
    """Where one image comes from."""

    def read(self) -> Image:
        """Gives an image file's bytes, or pixels; raises RejectedError where they cannot be had."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file that must be as the survey saw it.

    Attributes:
        path: of the file.
        size: its bytes.
        mtime_ns: its time of modification in nanoseconds.
    """

    path: str
    size: int
    mtime_ns: int

    def read(self) -> bytes:
        """See Original."""
        try:
            handle = os.open(self.path, _OPEN)
            try:
                status = os.fstat(handle)
                data = os.read(handle, self.size + 1) if stat.S_ISREG(status.st_mode) else b""
                while data and len(data) < self.size and (more := os.read(handle, self.size - len(data))):
                    data += more
            finally:
                os.close(handle)
        except OSError as error:
            raise RejectedError(f"{UNREADABLE}{error.strerror}") from None
        if (status.st_size, status.st_mtime_ns, len(data)) != (self.size, self.mtime_ns, self.size):
            raise RejectedError("has changed since the tree was listed")
        return data


@dataclass(frozen=True)
class Block:
    """A run of rows whose images are written together.

    Attributes:
        number: of the block.
        originals: where its images come from.
        starts: int64 (rows + 1,): image i has room for bytes [starts[i], starts[i + 1]) of the block.
        file: the file to write.
        pieces: where the block lies in it.
        store: how images are kept.
        journal: path of the journal.
        begun: its first line.
        around_cache: whole pages go straight to the disk, where that can be done.
    """

    number: int
    originals: Sequence[Original]
    starts: NDArray[np.int64]
    file: str
    pieces: Pieces
    store: ImageStore
    journal: str
    begun: bytes
    around_cache: bool = False


@dataclass(frozen=True)
class WrittenBlock:
    """A block whose inner pages are in the file and durable.

    Attributes:
        record: what is known of its images.
        edges: (file offset, bytes) of the pages that it shares with its neighbours: these are left to one writer.
    """

    record: BlockRecord
    edges: tuple[tuple[int, bytes], ...]


def write_block(block: Block) -> WrittenBlock:
    """Reads, checks and writes the images of a block; what is no image leaves its room empty."""
    starts = block.starts.tolist()
    content = page_memory(starts[-1], block.pieces[0][0])
    facts: dict[str, list[Any]] = {name: [] for name in block.store.facts}
    rejects: dict[int, str] = {}
    for row, original in enumerate(block.originals):
        room = content[starts[row] : starts[row + 1]]
        try:
            noted = block.store.keep(original.read(), room)
        except RejectedError as reason:
            rejects[row], noted = str(reason), {}
            room[:] = 0
        for name, values in facts.items():
            values.append(noted.get(name, _NOTHING[name]))
    edges = _write_inner_pages(block, content.data)
    kinds = block.store.facts
    return WrittenBlock(
        BlockRecord(block.number, {n: np.array(values, kinds[n]) for n, values in facts.items()}, rejects), edges
    )


#: Facts of a row without an image.
_NOTHING: Mapping[str, Any] = {
    names.CHECKSUM: 0,
    names.CHANNEL_MEAN: (0, 0, 0),
    names.ENCODED_LENGTH: 0,
    names.ENCODED_HEIGHT: 0,
    names.ENCODED_WIDTH: 0,
    names.ENCODED_ORIENTATION: 0,
}


def _write_inner_pages(block: Block, content: memoryview) -> tuple[tuple[int, bytes], ...]:
    """Writes whole pages, makes them durable, and gives what lies before and behind them."""
    inner: list[tuple[int, memoryview]] = []
    edges: list[tuple[int, memoryview]] = []
    for offset, data in _cut_at_edges(block.pieces, content):
        whole = offset % names.PAGE == 0 and (offset + len(data)) % names.PAGE == 0
        (inner if whole else edges).append((offset, data))
    handle = open_for_writing(block.file)
    try:
        # the file is made anew after its journal: whoever finds this line has not opened a later pack's file
        if first_line(block.journal) != block.begun:
            raise FacetError(f"{block.file}: another pack of it has begun since, expected this one to be over")
        for offset, data in inner:
            if not (block.around_cache and write_around_cache(handle, data, offset)):
                write_pieces(handle, data, [(offset, len(data))])
        os.fsync(handle)
    finally:
        os.close(handle)
    return tuple((offset, bytes(data)) for offset, data in edges)


def _cut_at_edges(pieces: Pieces, content: memoryview) -> list[tuple[int, memoryview]]:
    """Gives the content by (file offset, bytes), cut at the first and at the last border of pages in each piece."""
    parts: list[tuple[int, memoryview]] = []
    for offset, length in pieces:
        data, content = content[:length], content[length:]
        before = min(-offset % names.PAGE, length)
        behind = (offset + length) % names.PAGE if length - before >= names.PAGE else length - before
        cuts = (0, before, length - behind, length)
        parts += [(offset + start, data[start:stop]) for start, stop in itertools.pairwise(cuts) if start < stop]
    return parts


def is_written(block: Block, record: BlockRecord) -> bool:
    """Says whether the file holds the images that `record` speaks of: bytes are read and summed, nothing decoded."""
    handle = open_for_writing(block.file)
    try:
        content = memoryview(read_pieces(handle, block.pieces))
    finally:
        os.close(handle)
    starts = block.starts.tolist()
    lengths = record.facts[names.ENCODED_LENGTH] if names.ENCODED_LENGTH in record.facts else np.diff(block.starts)
    checksums = record.facts[names.CHECKSUM].tolist()
    return all(
        row in record.rejects or xxhash.xxh3_64_intdigest(content[start : start + length]) == checksum
        for row, (start, length, checksum) in enumerate(zip(starts, lengths.tolist(), checksums, strict=False))
    )
