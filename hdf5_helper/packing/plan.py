"""What a file will consist of, once its rows are known: dsets, attributes, size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.packing.image_store import RawStore
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.origin import Row
from hdf5_helper.packing.survey import Survey
from hdf5_helper.packing.table import Column, tabulate
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage import seal
from hdf5_helper.storage.file_layout import Attribute, DsetPlan, needed_bytes

_MOST_ROWS = 1024  # of a block: many small images are still a second of work, not ten


@dataclass(frozen=True)
class FilePlan:
    """One file to lay out.

    Attributes:
        rows: its examples in order.
        columns: the part of the index that follows from the records, by dset name.
        dsets: all dsets.
        attributes: root attributes.
        image_name: the dset that holds the images.
        starts: int64 (N + 1,): image i is bytes [starts[i], starts[i + 1]) of that dset.
    """

    rows: tuple[Row, ...]
    columns: Mapping[str, Column]
    dsets: tuple[DsetPlan, ...]
    attributes: Mapping[str, Attribute]
    image_name: str
    starts: NDArray[np.int64]

    @property
    def borders(self) -> Sequence[int]:
        """The first row of every block, and the number of rows: a chunk of pixels, or 4 MB of image files.

        A block is what a worker takes at a time, at most 1,024 rows.
        """
        if self.image_name != names.IMAGES:
            return [0, *_ends(self.starts)]
        count, rows = len(self.starts) - 1, min(self.dsets[0].chunk_rows, _MOST_ROWS)
        return [*range(0, count, rows), count]

    @property
    def needed_bytes(self) -> int:
        """How large the file will be at most."""
        return needed_bytes(self.dsets, self.attributes)


def plan_file(survey: Survey, options: PackOptions, lengths: NDArray[np.int64] | None = None) -> FilePlan:
    """Gives the plan of a file with the rows of a survey; it depends on nothing but these and what was asked for.

    Args:
        survey: the rows.
        options: what was asked for.
        lengths: int64 (N,), the bytes of each encoded image; those of the image files if None.
    """
    store = options.image_store()
    columns = tabulate(survey.rows, survey.attribute_names, survey.class_names)
    count = len(survey.rows)
    if isinstance(store, RawStore):
        row_bytes = store.size[0] * store.size[1] * 3
        starts = np.arange(count + 1, dtype=np.int64) * row_bytes
        shape, chunk_rows = (count, *store.size, 3), names.raw_chunk(count, row_bytes)
        images = DsetPlan(names.IMAGES, np.dtype(np.uint8), shape, chunk_rows)
    else:
        sizes = np.array([row.size for row in survey.rows], np.int64) if lengths is None else lengths
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        total = int(starts[-1])
        images = DsetPlan(names.ENCODED_BYTES, np.dtype(np.uint8), (total,), names.encoded_chunk(total))
        columns[names.ENCODED_OFFSET] = Column(starts[:-1].astype(np.uint64), {})
    dsets = (images, *_index_dsets(columns, count, store.facts))
    return FilePlan(survey.rows, columns, dsets, root_attributes(survey, options), images.name, starts)


def _ends(starts: NDArray[np.int64]) -> Iterator[int]:
    first, count = 0, len(starts) - 1
    while first < count:
        wanted = int(np.searchsorted(starts, starts[first] + names.BLOCK_BYTES))
        first = min(max(first + 1, wanted), first + _MOST_ROWS, count)
        yield first


def _index_dsets(columns: Mapping[str, Column], count: int, facts: Mapping[str, Any]) -> Sequence[DsetPlan]:
    known = [DsetPlan(name, item.values.dtype, item.values.shape, 0, item.attributes) for name, item in columns.items()]
    later = [
        DsetPlan(n, np.dtype(kind), (count, 3) if n == names.CHANNEL_MEAN else (count,)) for n, kind in facts.items()
    ]
    sealed = DsetPlan(names.SEAL, np.dtype(np.uint8), (seal.SIZE,))
    return [*sorted([*known, *later], key=lambda dset: dset.name), sealed]


def root_attributes(survey: Survey, options: PackOptions) -> dict[str, Attribute]:
    """Gives the root attributes: what the format asks for, and what was asked of the packer."""
    attributes: dict[str, Attribute] = {
        names.ATTRIBUTE_FORMAT: names.FORMAT,
        names.ATTRIBUTE_VERSION: names.VERSION,
        names.ATTRIBUTE_STORAGE: options.storage,
        "color": "RGB",
        names.ATTRIBUTE_FIT: options.fit,
        "layout": survey.layout,
        "split": survey.split,
        "fraction": options.fraction,
        "seed": options.seed,
    }
    if options.image_size is not None:
        attributes[names.ATTRIBUTE_IMAGE_SIZE] = options.image_size
    for name in ("limit", "max_size"):
        if (value := getattr(options, name)) is not None:
            attributes[name] = value
    return dict(sorted((attributes | dict(options.attributes)).items()))
