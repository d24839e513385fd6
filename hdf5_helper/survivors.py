"""When images turn out to be bad: the good ones are laid out anew and their bytes copied, without decoding."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.disk import check_space
from hdf5_helper.facts import Facts
from hdf5_helper.file_write import copy_pieces
from hdf5_helper.laid_out import LaidOut, laid_out
from hdf5_helper.plan import FilePlan


def keep_survivors(part: Path, full: LaidOut, plan: FilePlan, kept: NDArray[np.int64], facts: Facts) -> None:
    """Puts a file of the rows `kept` alone in the place of `part`.

    Args:
        part: the file that is open as `full`.
        full: holds the images of all rows.
        plan: the file of the kept rows.
        kept: ascending row numbers in `full`, at least one.
        facts: of all rows.

    Raises:
        FacetError: there is no space for both files at once.
    """
    second = survivors_path(part)
    check_space(plan.needed_bytes, second, "bad images are left out by a second copy, which")
    try:
        with laid_out(second, plan) as file:
            _copy_images(full, file, kept)
            file.write_index(facts.only(kept))
        second.replace(part)
    finally:
        second.unlink(missing_ok=True)


def survivors_path(part: Path) -> Path:
    """Gives the name of the second file beside `part`."""
    return part.with_name(f"{part.stem}.kept{part.suffix}")


def _copy_images(source: LaidOut, target: LaidOut, kept: NDArray[np.int64]) -> None:
    done = 0
    for first, last in runs(kept):
        until = done + last - first
        copy_pieces(source.handle, source.image_pieces(first, last), target.handle, target.image_pieces(done, until))
        done = until


def runs(kept: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Gives the runs [start, stop) of neighbours in ascending row numbers, at least one of them."""
    for run in np.split(kept, np.flatnonzero(np.diff(kept) != 1) + 1):
        yield int(run[0]), int(run[-1]) + 1
