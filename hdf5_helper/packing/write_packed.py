"""Writes one planned file: layout, images, index, seal.

When images turn out to be bad, the good ones are laid out anew and their bytes copied, without decoding.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.cores import available_cores
from hdf5_helper.disk import check_space
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.laid_out import LaidOut, laid_out
from hdf5_helper.packing.options import DEFAULT_RAW_SIZE
from hdf5_helper.packing.pack_plan import PackPlan
from hdf5_helper.packing.payload import PayloadWriter
from hdf5_helper.packing.plan import plan_file
from hdf5_helper.packing.rejects import nothing_left, sorted_rejects
from hdf5_helper.packing.survey import Row
from hdf5_helper.progress import Progress
from hdf5_helper.sources.records import Rejects
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.positional import copy_pieces, open_bytes, open_for_writing, write_pieces
from hdf5_helper.storage.seal import Seal
from hdf5_helper.storage.structure import check_places, images_digest, index_digest, opened, read_structure

Written = tuple[tuple[Row, ...], Rejects]

_COPY_ROWS = 4096  # rows copied between two movements of the progress bar


def write_packed(part: Path, plan: PackPlan, progress: Progress) -> Written:
    """Writes everything but the seal to `part`.

    Returns:
        The rows that are in the file, and (path, reason) of those whose images are bad.

    Raises:
        FacetError: not one image is good, or there is no space to leave the bad ones out.
    """
    second = survivors_path(part)
    second.unlink(missing_ok=True)  # left over if an earlier pack was killed
    try:
        with laid_out(part, plan.file) as file:
            rows, rejects = _fill(second, file, plan, progress)
        if rejects:  # only now: Windows replaces no file that is open
            second.replace(part)
    finally:
        second.unlink(missing_ok=True)
    return rows, rejects


def survivors_path(part: Path) -> Path:
    """Gives the name of the second file beside `part`."""
    return part.with_name(f"{part.stem}.kept{part.suffix}")


def _fill(second: Path, file: LaidOut, plan: PackPlan, progress: Progress) -> Written:
    """Fills `file`; where images are bad, writes the file of the good ones to `second`."""
    options, all_rows = plan.options, file.plan.rows
    raw = (options.image_size or DEFAULT_RAW_SIZE, options.fit) if options.storage == "raw" else None
    writer = PayloadWriter(plan.survey.root, file, raw)
    bad = writer.fill(options.workers or available_cores(), progress)
    if not bad:
        file.write_index(writer.facts.arrays)
        return all_rows, ()
    rejects = sorted_rejects((all_rows[row].record.path, reason) for row, reason in bad.items())
    if len(bad) == len(all_rows):
        raise FacetError(f"{plan.survey.root}: {nothing_left(sorted_rejects((*plan.survey.rejects, *rejects)))}")
    kept = np.array([row for row in range(len(all_rows)) if row not in bad], np.int64)
    rows = tuple(all_rows[row] for row in kept)
    smaller = plan_file(rows, plan.survey, options)
    check_space(smaller.needed_bytes, plan.target, "bad images are left out by a second copy, which")
    with laid_out(second, smaller) as survivors:
        _copy_images(file, survivors, kept, progress)
        survivors.write_index(writer.facts.only(kept))
    return rows, rejects


def _copy_images(source: LaidOut, target: LaidOut, kept: NDArray[np.int64], progress: Progress) -> None:
    progress.start("leaving bad images out", len(kept))
    done = 0
    for first, last in runs(kept):
        for start in range(first, last, _COPY_ROWS):
            count = min(_COPY_ROWS, last - start)
            places = source.image_pieces(start, start + count), target.image_pieces(done, done + count)
            copy_pieces(source.handle, places[0], target.handle, places[1])
            progress.advance(count)
            done += count
    progress.stop()


def runs(kept: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Gives the runs [start, stop) of neighbours in ascending row numbers, at least one of them."""
    for run in np.split(kept, np.flatnonzero(np.diff(kept) != 1) + 1):
        yield int(run[0]), int(run[-1]) + 1


def write_seal(part: Path) -> Seal:
    """Computes the digests from the finished file and seals it."""
    with opened(part) as file:
        structure = read_structure(file)
    data = open_bytes(part)
    try:
        check_places(part, structure, data.size)
        sealed = Seal(names.VERSION, data.size, images_digest(structure, data), index_digest(structure, data))
    finally:
        data.close()
    handle = open_for_writing(part)
    try:
        content = sealed.pack()
        write_pieces(handle, content, structure.dsets[names.SEAL].extents.pieces(0, len(content)))
    finally:
        os.close(handle)
    return sealed
