"""Writes one planned file: layout, images, survivors of rejects, index, seal."""

import os
from pathlib import Path

import numpy as np

from hdf5_helper import format as names
from hdf5_helper.cores import available_cores
from hdf5_helper.errors import FacetError
from hdf5_helper.file_bytes import open_bytes
from hdf5_helper.file_write import open_for_writing, write_pieces
from hdf5_helper.index import images_digest, index_digest, read_index
from hdf5_helper.laid_out import LaidOut, laid_out
from hdf5_helper.options import DEFAULT_RAW_SIZE, PackOptions
from hdf5_helper.payload import PayloadWriter
from hdf5_helper.plan import FilePlan, plan_file
from hdf5_helper.progress import Progress
from hdf5_helper.rejects import Rejects, nothing_left, sorted_rejects
from hdf5_helper.seal import Seal
from hdf5_helper.survey import Row, Survey
from hdf5_helper.survivors import keep_survivors, survivors_path

Written = tuple[tuple[Row, ...], Rejects]


def write_file(part: Path, survey: Survey, options: PackOptions, plan: FilePlan, progress: Progress) -> Written:
    """Writes everything but the seal to `part`.

    Returns:
        The rows that are in the file, and (path, reason) of those whose images are bad.

    Raises:
        FacetError: not one image is good.
    """
    survivors_path(part).unlink(missing_ok=True)  # left over if an earlier pack was killed
    with laid_out(part, plan) as file:
        return _fill(part, file, survey, options, progress)


def _fill(part: Path, file: LaidOut, survey: Survey, options: PackOptions, progress: Progress) -> Written:
    raw = (options.image_size or DEFAULT_RAW_SIZE, options.fit) if options.storage == "raw" else None
    writer = PayloadWriter(survey.root, file, raw)
    bad = writer.fill(options.workers or available_cores(), progress)
    all_rows = file.plan.rows
    if not bad:
        file.write_index(writer.facts.arrays)
        return all_rows, ()
    rejects = sorted_rejects((all_rows[row].record.path, reason) for row, reason in bad.items())
    if len(bad) == len(all_rows):
        raise FacetError(f"{survey.root}: {nothing_left(sorted_rejects((*survey.rejects, *rejects)))}")
    kept = np.array([row for row in range(len(all_rows)) if row not in bad], np.int64)
    rows = tuple(all_rows[row] for row in kept)
    keep_survivors(part, file, plan_file(rows, survey, options), kept, writer.facts)
    return rows, rejects


def write_seal(part: Path) -> Seal:
    """Computes the digests from the finished file and seals it."""
    index = read_index(part)
    data = open_bytes(part)
    try:
        sealed = Seal(names.VERSION, data.size, images_digest(index, data), index_digest(index, data))
    finally:
        data.close()
    handle = open_for_writing(part)
    try:
        content = sealed.pack()
        write_pieces(handle, content, index.dsets[names.SEAL].extents.pieces(0, len(content)))
    finally:
        os.close(handle)
    return sealed
