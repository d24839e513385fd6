"""What a file will consist of, once its rows are known: dsets, attributes, size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.packing.options import DEFAULT_RAW_SIZE, PackOptions
from hdf5_helper.packing.survey import Row, Survey
from hdf5_helper.packing.table import Column, tabulate
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage import seal
from hdf5_helper.storage.file_layout import Attribute, DsetPlan, needed_bytes

#: Per-image facts that are known only when the image has been read.
_FACTS = {names.CHECKSUM: np.uint64, names.CHANNEL_MEAN: np.float32}
_ENCODED_FACTS = {names.ENCODED_HEIGHT: np.uint16, names.ENCODED_WIDTH: np.uint16, names.ENCODED_ORIENTATION: np.uint8}


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
    def needed_bytes(self) -> int:
        """How large the file will be at most."""
        return needed_bytes(self.dsets, self.attributes)


def plan_file(rows: tuple[Row, ...], survey: Survey, options: PackOptions) -> FilePlan:
    """Gives the plan of a file with `rows`; it depends on nothing but these rows and what was asked for."""
    columns = tabulate(rows)
    count = len(rows)
    if options.storage == "raw":
        height, width = options.image_size or DEFAULT_RAW_SIZE
        starts = np.arange(count + 1, dtype=np.int64) * (height * width * 3)
        shape, chunk_rows = (count, height, width, 3), names.raw_chunk(count, height * width * 3)
        images = DsetPlan(names.IMAGES, np.dtype(np.uint8), shape, chunk_rows)
    else:
        sizes = np.array([row.size for row in rows], np.int64)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        total = int(starts[-1])
        images = DsetPlan(names.ENCODED_BYTES, np.dtype(np.uint8), (total,), names.encoded_chunk(total))
        columns[names.ENCODED_OFFSET] = Column(starts[:-1].astype(np.uint64), {})
        columns[names.ENCODED_LENGTH] = Column(sizes.astype(np.uint32), {})
    dsets = (images, *_index_dsets(columns, count, options.storage))
    return FilePlan(rows, columns, dsets, root_attributes(survey, options), images.name, starts)


def _index_dsets(columns: Mapping[str, Column], count: int, storage: str) -> Sequence[DsetPlan]:
    facts = _FACTS | (_ENCODED_FACTS if storage == "encoded" else {})
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
    if options.limit is not None:
        attributes["limit"] = options.limit
    return attributes | dict(options.attributes)
