"""From stored bytes to pixels in a batch: one class a storage, both safe to call from many threads."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.decode import decode
from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.fit import fit
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.file_format import path_text
from hdf5_helper.storage.opening import SealedFile
from hdf5_helper.storage.positional import Buffer

Pixels = NDArray[np.uint8]

#: When an example's bytes are compared with its checksum: the first time this process reads it, always, never.
VERIFY = ("first", "always", "never")


class StoredImages(Protocol):
    """The images of one file."""

    def put(self, row: int, out: Pixels) -> None:
        """Writes the pixels of one example into `out`, uint8 (H, W, 3).

        Raises:
            FacetError: the stored bytes are damaged.
        """


class Verifier:
    """Compares stored bytes with their checksums, and remembers which are known to be good.

    Args:
        file: where they lie.
        when: `first`, `always` or `never`.
    """

    def __init__(self, file: SealedFile, when: str) -> None:
        if when not in VERIFY:
            raise FacetError(f"verify {when!r}: {did_you_mean(when, VERIFY)}")
        self._file, self._when = file, when
        self._checksums = file.structure.column(names.CHECKSUM, file.data)
        self._good = np.zeros(len(self._checksums), bool)

    def check(self, row: int, stored: Buffer) -> None:
        """Refuses bytes that are not those of example `row`; two threads may check the same one, which does no harm."""
        if self._when == "never" or (self._when == "first" and self._good[row]):
            return
        if xxhash.xxh3_64_intdigest(stored) != int(self._checksums[row]):
            raise FacetError(self.sentence(row, "its bytes do not match their checksum"))
        self._good[row] = True

    def sentence(self, row: int, reason: str) -> str:
        """Gives the sentence about a damaged example."""
        path = path_text(bytes(self._file.structure.column(names.PATH, self._file.data)[row]))
        return (
            f"{self._file.path}: example {row} ({path}) is damaged: {reason}; pack it again or restore it from a copy"
        )


@dataclass(frozen=True)
class RawImages:
    """Images stored as pixels, which are copied."""

    file: SealedFile
    verifier: Verifier

    def put(self, row: int, out: Pixels) -> None:
        """See StoredImages."""
        place, size = self.file.structure.dsets[names.IMAGES].extents, out.nbytes
        target, done = out.data.cast("B"), 0
        for offset, length in place.pieces(row * size, (row + 1) * size):
            done += self.file.data.read_into(target[done : done + length], offset)
        if done < size:
            raise FacetError(self.verifier.sentence(row, "the file ends before it"))
        self.verifier.check(row, out.data)


class EncodedImages:
    """Images stored as image files, which are decoded and brought to the batch's size.

    Args:
        file: where they lie.
        verifier: checks their bytes.
        how: `stretch`, `crop` or `pad`.
    """

    def __init__(self, file: SealedFile, verifier: Verifier, how: str) -> None:
        self._file, self._verifier, self._how = file, verifier, how
        self._place = file.structure.dsets[names.ENCODED_BYTES].extents
        self._starts = file.structure.column(names.ENCODED_OFFSET, file.data).astype(np.int64)
        self._lengths = file.structure.column(names.ENCODED_LENGTH, file.data).astype(np.int64)
        self._orientations = file.structure.column(names.ENCODED_ORIENTATION, file.data)

    def stored(self, row: int) -> Buffer:
        """Gives the bytes of one image file, checked."""
        start, length = int(self._starts[row]), int(self._lengths[row])
        parts = [self._file.data.view(*piece) for piece in self._place.pieces(start, start + length)]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._verifier.check(row, data)
        return data

    def put(self, row: int, out: Pixels) -> None:
        """See StoredImages."""
        data = self.stored(row)
        try:
            pixels = decode(data, int(self._orientations[row]))
        except FacetError as reason:
            raise FacetError(self._verifier.sentence(row, str(reason))) from None
        out[:] = fit(pixels, (out.shape[0], out.shape[1]), self._how)
