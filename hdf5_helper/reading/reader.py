"""HDF5Reader: labels, splits and images of a packed file, for any thread and any process.

The index goes through h5py once; images are then read at their file offsets, around libhdf5 and its global lock.
"""

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.cores import available_cores
from hdf5_helper.errors import FacetError
from hdf5_helper.images.fit import Size
from hdf5_helper.reading.arguments import check_reading, integer
from hdf5_helper.reading.batch_memory import BatchMemory
from hdf5_helper.reading.packed_index import PackedIndex
from hdf5_helper.reading.stored_images import EncodedImages, RawImages, StoredImages, Verifier
from hdf5_helper.reading.threads import Threads
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.opening import open_sealed


class HDF5Reader(PackedIndex):
    """One sealed file of `facet pack`, opened for reading.

    Safe to use from many threads, after a fork, and in spawned processes (it pickles as its arguments).

    Args:
        path: the file.
        image_size: (height, width) of the images that `read` gives; None takes the file's own. Raw files have one only.
        fit: `stretch`, `crop` or `pad`; None takes the file's own.
        verify: compare an example's bytes with its checksum the `first` time this process reads it, `always`, `never`.
        workers: decoding threads; None for one a core.
        fold: number of a fold: it is the test split, the one before it the validation split, and the others train;
            None takes the file's own splits.

    Raises:
        FacetError: the file cannot be read, or does not have what was asked for.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        image_size: Size | None = None,
        fit: str | None = None,
        verify: str = "first",
        workers: int | None = None,
        fold: int | None = None,
    ) -> None:
        self._arguments: dict[str, Any] = {
            "image_size": image_size,
            "fit": fit,
            "verify": verify,
            "workers": workers,
            "fold": fold,
        }
        check_reading(**self._arguments)
        super().__init__(open_sealed(Path(path)), fold)
        self.fit = fit or str(self.attributes[names.ATTRIBUTE_FIT])
        try:
            if fold is not None:
                self.check_folds(fold)
            self.image_size = self._choose_size(image_size)
            self._verifier = Verifier(self._file, verify)
            self._images = self._stored_images()
        except BaseException:
            self._file.data.close()
            raise
        self.workers = workers or available_cores()
        self._threads, self._memory = Threads(self.workers), BatchMemory()

    def _stored_images(self) -> StoredImages:
        if self.storage == "raw":
            return RawImages(self._file, self._verifier)
        return EncodedImages(self._file, self._verifier, self.fit)

    def _choose_size(self, asked: Size | None) -> Size | None:
        if self.storage == "raw":
            return self._raw_size(asked)
        if asked is not None:
            return int(asked[0]), int(asked[1])
        recorded = self.attributes.get(names.ATTRIBUTE_IMAGE_SIZE)
        if recorded is not None:
            return int(recorded[0]), int(recorded[1])
        sizes = self.image_sizes()
        return (int(sizes[0, 0]), int(sizes[0, 1])) if (sizes == sizes[0]).all() else None

    def _raw_size(self, asked: Size | None) -> Size:
        height, width = self._file.structure.dsets[names.IMAGES].shape[1:3]
        if asked is not None and tuple(asked) != (height, width):
            raise FacetError(
                f"{self.path}: holds raw images of {height}×{width} pixels, found image_size {asked[0]}×{asked[1]},"
                " expected the same or a file packed with --storage encoded"
            )
        stored = self.attributes[names.ATTRIBUTE_FIT]
        if self.fit != stored:
            raise FacetError(
                f"{self.path}: its raw images were brought to size by {stored}, expected no fit {self.fit!r}"
            )
        return height, width

    def read(self, indices: object, threads: int | None = None) -> NDArray[np.uint8]:
        """Gives the images of examples, in the order asked for.

        Args:
            indices: integers (B,), each in [0, len(self)); may repeat.
            threads: how many work on it; None for all `workers`. Who reads several batches at once gives each a share.

        Returns:
            uint8 (B, H, W, 3), RGB; (B, 3, H, W) where the file says channels_first.

        Raises:
            FacetError: images of many sizes and no image_size, or a damaged example, which is named.
            IndexError: an index out of range.
        """
        rows, count = self._checked(indices), self.workers if threads is None else integer("threads", threads, 1)
        if self.image_size is None:
            raise FacetError(f"{self.path}: holds images of many sizes, expected image_size=(height, width)")
        images = self._memory.take((len(rows), *self.image_size, 3))
        if len(rows):
            self._images.read(rows, images, self._threads.team(count))
        if self.attributes.get(names.ATTRIBUTE_CHANNELS_FIRST):
            return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return images

    def stored(self, indices: object) -> list[bytes]:
        """Gives the stored bytes of examples: image files as they were packed, or the pixels of raw storage.

        They are compared with no checksum: this is for whoever looks for damage, or saves what is left.

        Args:
            indices: as for `read`.

        Returns:
            One bytes object an example; shorter than the example where the file ends before it.
        """
        return [bytes(data) for data in self._images.stored(self._checked(indices))]

    def damaged(self, indices: object) -> NDArray[np.int64]:
        """Gives those of `indices` whose stored bytes do not match their checksum, in their order.

        Reads every one of them anew, whatever `verify` says and was verified before.
        """
        rows = self._checked(indices)
        return rows[self._verifier.mismatches(rows, self._images.stored(rows))]

    def prefetch(self, indices: object) -> None:
        """Asks the system to read the images of examples in the background, for whoever reads them soon.

        It costs next to nothing where they are in memory already, and does nothing where the system takes no such
        advice. Meant for runs of neighbours, such as a block: each run is one call of the system.

        Args:
            indices: as for `read`.
        """
        rows = self._checked(indices)
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(run):
                for offset, length in self._images.pieces(int(run[0]), int(run[-1]) + 1):
                    self._file.data.ahead(offset, length)

    def _checked(self, indices: object) -> NDArray[np.int64]:
        rows = np.asarray(indices)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise IndexError(f"indices must be integers (B,), found {rows.dtype} {rows.shape}")
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"indices must be in [0, {len(self)}), found {rows.min()} to {rows.max()}")
        return rows.astype(np.int64)

    def image_sizes(self) -> NDArray[np.int64]:
        """Gives (height, width) of every image as it will be read upright, int64 (N, 2)."""
        if self.storage == "raw":
            return np.tile(np.array(self.image_size, np.int64), (len(self), 1))
        return np.stack([self._column(names.ENCODED_HEIGHT), self._column(names.ENCODED_WIDTH)], 1).astype(np.int64)

    @property
    def block_rows(self) -> int:
        """Rows of a block: a run of at least 4 MB, read and shuffled together."""
        image = names.IMAGES if self.storage == "raw" else names.ENCODED_BYTES
        return max(1, -(-names.BLOCK_BYTES * len(self) // max(1, self._file.structure.dsets[image].nbytes)))

    def close(self) -> None:
        """Ends the threads and lets the file go."""
        self._threads.close()
        self._memory.close()
        self._file.data.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._arguments), (self.path,)
