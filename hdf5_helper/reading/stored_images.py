"""From stored bytes to pixels in a batch: one class a storage, both safe to call from many threads."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.images.decode import decode_to
from hdf5_helper.images.fit import Size, fit, in_full
from hdf5_helper.images.jpeg import decode_exactly
from hdf5_helper.memory import pixel_memory
from hdf5_helper.reading.threads import Team
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.file_format import path_text
from hdf5_helper.storage.file_layout import Extents
from hdf5_helper.storage.opening import SealedFile
from hdf5_helper.storage.positional import Buffer, Pieces
from hdf5_helper.storage.structure import REMEDY

Pixels = NDArray[np.uint8]
Rows = NDArray[np.int64]

#: When an example's bytes are compared with its checksum: the first time this process reads it, always, never.
VERIFY = ("first", "always", "never")

_LEAST_COPY = 1 << 20  # bytes that are worth a thread
_IN_PIECES = -1  # in place of a file offset: the image crosses chunks


class _Batch(NamedTuple):
    """What is to be decoded, column by column: `places` are file offsets, or `_IN_PIECES`.

    `wholes` are (height, width) of images that are decoded as they are stored, upright and in full; None of others.
    """

    rows: list[int]
    places: list[int]
    lengths: list[int]
    orientations: list[int]
    unchecked: list[bool]
    wholes: list[Size | None]


class StoredImages(Protocol):
    """The images of one file."""

    def read(self, rows: Rows, out: Pixels, team: Team) -> None:
        """Fills `out` with images.

        Args:
            rows: int64 (b,), at least one, all in the file.
            out: uint8 (b, H, W, 3), C-contiguous.
            team: the threads that work on it.

        Raises:
            FacetError: the stored bytes of one are damaged.
        """

    def stored(self, rows: Rows) -> Iterator[Buffer]:
        """Gives the stored bytes of each example, unchecked; fewer where the file ends."""

    def pieces(self, first: int, last: int) -> Pieces:
        """Gives where in the file the rows [first, last) lie."""


class Verifier:
    """Compares stored bytes with their checksums, and remembers which are known to be good.

    Args:
        file: where they lie.
        when: `first`, `always` or `never`.
    """

    def __init__(self, file: SealedFile, when: str) -> None:
        self._file, self._when = file, when
        self._checksums = file.structure.column(names.CHECKSUM, file.data)
        self._good = np.full(len(self._checksums), when == "never")

    def unchecked(self, rows: Rows) -> NDArray[np.bool_]:
        """Says which of `rows` are still to be compared, bool (b,)."""
        return ~self._good[rows]

    def check(self, row: int, stored: Buffer) -> None:
        """Refuses bytes that are not those of example `row`; two threads may check the same one, which does no harm."""
        if xxhash.xxh3_64_intdigest(stored) != int(self._checksums[row]):
            raise FacetError(self.sentence(row, "its bytes do not match their checksum"))
        if self._when == "first":
            self._good[row] = True

    def mismatches(self, rows: Rows, stored: Iterator[Buffer]) -> NDArray[np.bool_]:
        """Says of which of `rows` the bytes do not match their checksum, bool (b,); notes nothing."""
        digests = np.fromiter(map(xxhash.xxh3_64_intdigest, stored), np.uint64, len(rows))
        mismatches: NDArray[np.bool_] = digests != self._checksums[rows]
        return mismatches

    def sentence(self, row: int, reason: str) -> str:
        """Gives the sentence about a damaged example."""
        path = path_text(bytes(self._file.structure.column(names.PATH, self._file.data)[row]))
        return f"{self._file.path}: example {row} ({path}) is damaged: {reason}; {REMEDY}"


class RawImages:
    """Images stored as pixels, which are copied.

    Args:
        file: where they lie.
        verifier: checks them.
    """

    def __init__(self, file: SealedFile, verifier: Verifier) -> None:
        self._data, self._verifier = file.data, verifier
        dset = file.structure.dsets[names.IMAGES]
        self._extents, self._row_bytes = dset.extents, dset.nbytes // dset.shape[0]

    def read(self, rows: Rows, out: Pixels, team: Team) -> None:
        """See StoredImages: each thread copies a run of rows."""
        parts = max(1, min(team.count, out.nbytes // _LEAST_COPY))
        step = -(-len(rows) // parts)
        runs = iter([slice(first, first + step) for first in range(0, len(rows), step)])
        Team(team.threads, parts).run(partial(self._copy, runs, rows, out))

    def _copy(self, runs: Iterator[slice], rows: Rows, out: Pixels) -> None:
        for run in runs:
            self._copy_run(rows[run], out[run])

    def _copy_run(self, rows: Rows, out: Pixels) -> None:
        places, _within = _places(self._extents, rows * self._row_bytes)  # chunks hold whole rows
        try:
            self._data.gather(places, out.reshape(len(rows), self._row_bytes))
        except EOFError:
            last = int(rows[places.argmax()])
            raise FacetError(self._verifier.sentence(last, "the file ends before it")) from None
        for place in np.flatnonzero(self._verifier.unchecked(rows)).tolist():
            self._verifier.check(int(rows[place]), out[place].data)

    def stored(self, rows: Rows) -> Iterator[Buffer]:
        """See StoredImages: pixels."""
        places, _within = _places(self._extents, rows * self._row_bytes)
        return (self._data.view(place, self._row_bytes) for place in places.tolist())

    def pieces(self, first: int, last: int) -> Pieces:
        """See StoredImages."""
        return self._extents.pieces(first * self._row_bytes, last * self._row_bytes)


class EncodedImages:
    """Images stored as image files, which are decoded and brought to the batch's size.

    Args:
        file: where they lie.
        verifier: checks their bytes.
        how: `stretch`, `crop` or `pad`.
    """

    def __init__(self, file: SealedFile, verifier: Verifier, how: str) -> None:
        self._data, self._verifier, self._how = file.data, verifier, how
        self._extents = file.structure.dsets[names.ENCODED_BYTES].extents
        self._starts = file.structure.column(names.ENCODED_OFFSET, file.data).astype(np.int64)
        self._lengths = file.structure.column(names.ENCODED_LENGTH, file.data).astype(np.int64)
        self._orientations = file.structure.column(names.ENCODED_ORIENTATION, file.data)
        sides = (file.structure.column(name, file.data) for name in (names.ENCODED_HEIGHT, names.ENCODED_WIDTH))
        self._sizes = np.stack([*sides], 1)

    def read(self, rows: Rows, out: Pixels, team: Team) -> None:
        """See StoredImages: each thread takes the next image when it is done with one, since they differ in size."""
        team.run(partial(self._decode, iter(range(len(rows))), self._batch(rows, (out.shape[1], out.shape[2])), out))

    def _batch(self, rows: Rows, size: Size) -> _Batch:
        orientations = self._orientations[rows]
        sizes = self._sizes[rows]
        as_stored = (orientations == 1) & in_full(sizes, size, self._how)
        places, lengths = self._found(rows)
        unchecked = self._verifier.unchecked(rows)
        wholes = [(h, w) if yes else None for (h, w), yes in zip(sizes.tolist(), as_stored.tolist(), strict=True)]
        columns = rows.tolist(), places.tolist(), lengths.tolist(), orientations.tolist(), unchecked.tolist()
        return _Batch(*columns, wholes)

    def _found(self, rows: Rows) -> tuple[Rows, Rows]:
        """Gives places (see _Batch) and lengths."""
        places, within = _places(self._extents, self._starts[rows])
        lengths = self._lengths[rows]
        places[within + lengths > self._extents.chunk_bytes] = _IN_PIECES
        return places, lengths

    def _decode(self, turns: Iterator[int], batch: _Batch, out: Pixels) -> None:
        # what each image costs under Python's lock holds up the other threads, so this loop looks nothing up twice
        rows, places, lengths, orientations, unchecked, wholes = batch
        view, check, how, targets = self._data.view, self._verifier.check, self._how, list(out)
        size = (out.shape[1], out.shape[2])
        pixels = pixel_memory((0, 0, 3))
        for turn in turns:
            place = places[turn]
            data = view(place, lengths[turn]) if place != _IN_PIECES else self._joined(rows[turn])
            if unchecked[turn]:
                check(rows[turn], data)
            whole = wholes[turn]
            if whole == size and decode_exactly(data, targets[turn]):
                continue
            if whole is not None and whole != size:
                if pixels.shape[:2] != whole:
                    pixels = pixel_memory((*whole, 3))
                if decode_exactly(data, pixels):
                    fit(pixels, size, how, out=targets[turn])
                    continue
            try:
                decode_to(data, size, how, orientations[turn], out=targets[turn])
            except FacetError as reason:
                raise FacetError(self._verifier.sentence(rows[turn], str(reason))) from None

    def stored(self, rows: Rows) -> Iterator[Buffer]:
        """See StoredImages: image files."""
        columns = (rows, *self._found(rows))
        for row, place, length in zip(*(column.tolist() for column in columns), strict=True):
            yield self._joined(row) if place == _IN_PIECES else self._data.view(place, length)

    def pieces(self, first: int, last: int) -> Pieces:
        """See StoredImages."""
        return self._extents.pieces(int(self._starts[first]), int(self._starts[last - 1] + self._lengths[last - 1]))

    def _joined(self, row: int) -> bytes:
        """Gives the bytes of an image that crosses chunks."""
        start = int(self._starts[row])
        pieces = self._extents.pieces(start, start + int(self._lengths[row]))
        return b"".join(self._data.view(*piece) for piece in pieces)


def _places(extents: Extents, starts: Rows) -> tuple[Rows, Rows]:
    """Gives the file offset of each logical byte number, and how far into its chunk it lies."""
    chunks, within = np.divmod(starts, extents.chunk_bytes)
    return extents.offsets[chunks] + within, within
