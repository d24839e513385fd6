"""Where the bytes of an HDF5 dset lie in the file: logical byte ranges -> pieces of the file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Extents:
    """The place of a dset whose chunks span all dimensions but the first, so that its bytes run on across them.

    Attributes:
        chunk_bytes: bytes of a chunk; a contiguous dset is one chunk.
        offsets: int64 (chunks,), the file offset of each chunk in logical order.
    """

    chunk_bytes: int
    offsets: NDArray[np.int64]

    def pieces(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Gives the (file offset, length) pieces that hold the logical bytes [start, stop), neighbours joined."""
        pieces: list[tuple[int, int]] = []
        while start < stop:
            chunk, within = divmod(start, self.chunk_bytes)
            length = min(stop - start, self.chunk_bytes - within)
            offset = int(self.offsets[chunk]) + within
            if pieces and sum(pieces[-1]) == offset:
                pieces[-1] = (pieces[-1][0], pieces[-1][1] + length)
            else:
                pieces.append((offset, length))
            start += length
        return pieces

    def fits(self, total: int, file_size: int) -> bool:
        """Says whether `total` logical bytes have a place, and all of it lies inside a file of `file_size` bytes."""
        if total == 0:
            return True
        if self.chunk_bytes <= 0 or len(self.offsets) * self.chunk_bytes < total:
            return False
        return bool(self.offsets.min() > 0 and self.offsets.max() + self.chunk_bytes <= file_size)
