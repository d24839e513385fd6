"""Copies images between packed files as they are: checked against their checksums, never decoded."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.cores import available_cores
from hdf5_helper.packing.laid_out import LaidOut
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.packed_origin import DAMAGED, PackedOrigin
from hdf5_helper.packing.relayout import CopiedImages, copy_images
from hdf5_helper.packing.survey import Survey
from hdf5_helper.progress import Progress
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.positional import open_for_reading

_MOST_ROWS = 1024  # checked between two movements of the progress bar


def packed_origins(survey: Survey) -> list[PackedOrigin]:
    """Gives the origins that are packed files."""
    return [origin for origin in survey.origins if isinstance(origin, PackedOrigin)]


def is_copied(survey: Survey, options: PackOptions) -> bool:
    """Says whether all images can be copied as they are stored."""
    origins = packed_origins(survey)
    if len(origins) != len(survey.origins):
        return False
    if options.storage == "encoded":
        return options.max_size is None and all(origin.index.storage == "encoded" for origin in origins)
    return all(origin.raw_size == options.image_size for origin in origins)


def find_damaged(survey: Survey, progress: Progress) -> dict[int, str]:
    """Compares every image with its checksum; gives the reasons of those that are damaged, by row."""
    which, numbers = _places(survey)
    progress.start("checking", len(numbers))
    damaged: dict[int, str] = {}
    with ThreadPoolExecutor(available_cores(), "facet-check") as pool:
        for number, origin in enumerate(packed_origins(survey)):
            rows = np.flatnonzero(which == number)
            shares = [rows[first : first + _MOST_ROWS] for first in range(0, len(rows), _MOST_ROWS)]
            for share, bad in zip(shares, pool.map(origin.damaged, [numbers[share] for share in shares]), strict=True):
                damaged |= dict.fromkeys(share[bad].tolist(), DAMAGED)
                progress.advance(len(share))
    progress.stop()
    return damaged


def _places(survey: Survey) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Gives the number of the packed file, and the example index there, of every row, int64 (N,) each."""
    origins = packed_origins(survey)
    which = np.array([row.origin for row in survey.rows], np.int64)
    return which, np.array([origins[row.origin].number(row) for row in survey.rows], np.int64)


def copy_packed(file: LaidOut, survey: Survey, progress: Progress) -> NDArray[np.uint64]:
    """Writes images and index of a laid-out file whose rows come from packed files; gives the checksums, (N,)."""
    origins = packed_origins(survey)
    which, numbers = _places(survey)
    progress.start("copying", len(numbers))
    with ExitStack() as stack:
        files = [(stack.enter_context(open_for_reading(origin.place)), origin.extents) for origin in origins]
        starts, lengths = np.zeros_like(numbers), np.zeros_like(numbers)
        for number, origin in enumerate(origins):
            here = which == number
            starts[here], lengths[here] = origin.starts[numbers[here]], origin.lengths[numbers[here]]
        copy_images(CopiedImages(files, which, starts, lengths), file, progress)
    progress.stop()
    facts = _facts(file, origins, which, numbers)
    file.write_index(facts)
    return facts[names.CHECKSUM]


def _facts(
    file: LaidOut, origins: Sequence[PackedOrigin], which: NDArray[np.int64], numbers: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Gives what is noted of the images: it was noted when they were packed."""
    known = {*file.plan.columns, file.plan.image_name, names.SEAL}
    facts = {dset.name: np.zeros(dset.shape, dset.dtype) for dset in file.plan.dsets if dset.name not in known}
    for number, origin in enumerate(origins):
        here = which == number
        for name, values in facts.items():
            values[here] = origin.column(name)[numbers[here]]
    return facts
