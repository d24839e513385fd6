"""Whether a packed file is as it was packed: its size, its index, and the bytes of every example."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdf5_helper.cores import available_cores
from hdf5_helper.progress import Progress, Silent
from hdf5_helper.reading.reader import HDF5Reader


@dataclass(frozen=True)
class Damage:
    """One example whose bytes are not those that were packed.

    Attributes:
        example: its index.
        path: where its image came from, relative to the packed tree.
    """

    example: int
    path: str


@dataclass(frozen=True)
class Verification:
    """What was found in a file whose index is whole.

    Attributes:
        path: the file.
        examples: how many it holds, all of which were looked at.
        size: bytes of the file.
        images_digest: over the images' checksums and shapes, hexadecimal.
        index_digest: over everything else, hexadecimal.
        damaged: examples whose bytes do not match their checksum, ascending.
    """

    path: Path
    examples: int
    size: int
    images_digest: str
    index_digest: str
    damaged: tuple[Damage, ...]


def verify(path: Path, *, workers: int | None = None, progress: Progress | None = None) -> Verification:
    """Reads a whole file and compares it with its checksums.

    Args:
        path: a file of `facet pack`.
        workers: threads; by default one a core.
        progress: watches, in examples.

    Raises:
        FacetError: it cannot be opened: missing, of another kind, truncated, or with a damaged index.
    """
    progress = progress or Silent()
    with HDF5Reader(path, verify="never") as reader:
        progress.start("verifying", len(reader))
        found: list[int] = []
        with ThreadPoolExecutor(workers or available_cores(), "facet-verify") as pool:
            for rows, bad in pool.map(lambda block: _damaged(reader, block), _blocks(reader)):
                progress.advance(rows)
                found += bad
        progress.stop()
        damaged = tuple(Damage(example, reader.paths[example]) for example in found)
        return Verification(path, len(reader), path.stat().st_size, reader.images_digest, reader.index_digest, damaged)


def _blocks(reader: HDF5Reader) -> list[range]:
    size = reader.block_rows
    return [range(first, min(first + size, len(reader))) for first in range(0, len(reader), size)]


def _damaged(reader: HDF5Reader, block: range) -> tuple[int, list[int]]:
    """Gives the number of rows of a block, and the damaged ones; the block is asked for at once, not page by page."""
    rows = np.arange(block.start, block.stop)
    reader.prefetch(rows)
    return len(block), reader.damaged(rows).tolist()
