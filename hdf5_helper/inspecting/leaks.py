"""What `facet inspect --duplicates` adds: who and what lies on two sides, by name, and a picture of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.inspecting.grid import check_picture, write_pairs
from hdf5_helper.inspecting.near_duplicates import DISTANCE, LEAST_LIKENESS, find_near_duplicates
from hdf5_helper.inspecting.sides import identical_rows, leaking_subjects
from hdf5_helper.progress import Progress
from hdf5_helper.reading.packed_index import PackedIndex
from hdf5_helper.storage.file_format import SPLIT_NAMES

Values = dict[str, Any]

#: Pairs in the picture at most: fifteen lines of four.
_MOST_SHOWN = 60


def pairs_path(file: Path) -> Path:
    """Gives where the picture of pairs goes if nobody says otherwise: `FILE.h5.duplicates.png`, beside the file."""
    return file.with_name(f"{file.name}.duplicates.png")


def name_leaks(index: PackedIndex, values: Values, picture: Path | None, progress: Progress) -> None:
    """Adds to the values of `summarize` what is on two sides, and draws the pairs; the file stays as it is.

    - `subjects.names_in_several_splits`: the persons.
    - `duplicates.listed`: a list for each image that is there more than once, of its examples' `path` and `split`.
    - `near_duplicates`: `distance` and `likeness` (the limits), and `pairs` across splits, the likest first, each with
      `examples` (two of `path` and `split`), `distance`, `likeness`; `pairs_left_out` and `images_left_out`, as in
      `NearDuplicates`.
    - `pairs_picture`: its `path` and the number of `pairs` in it, byte-identical ones first; None if not drawn.
    - `pairs_not_drawn`: the same of a picture that was left out, since its name was not chosen and cannot be written;
      else None.

    Args:
        index: of an open file.
        values: what `summarize` gave.
        picture: the PNG file to draw into; None draws into `pairs_path`, if that can be written.
        progress: watches.

    Raises:
        FacetError: `picture` is no `.png` name or cannot be written, or an image is damaged.
    """
    if picture is not None:
        check_picture(picture, "--pairs")
    splits = [SPLIT_NAMES[number] for number in index.split_numbers.tolist()]

    def example(row: int) -> Values:
        return {"path": index.paths[row], "split": splits[row]}

    identical = [rows.tolist() for rows in identical_rows(index)]
    near = find_near_duplicates(index, progress)
    values["subjects"]["names_in_several_splits"] = leaking_subjects(index)
    values["duplicates"]["listed"] = [[example(row) for row in rows] for rows in identical]
    pairs = [
        {"examples": [example(row) for row in pair.rows], "distance": pair.distance, "likeness": pair.likeness}
        for pair in near.pairs
    ]
    values["near_duplicates"] = {
        "distance": DISTANCE,
        "likeness": LEAST_LIKENESS,
        "pairs": pairs,
        "pairs_left_out": near.pairs_left_out,
        "images_left_out": near.images_left_out,
    }
    shown = [*_across_splits(splits, identical), *(pair.rows for pair in near.pairs)][:_MOST_SHOWN]
    values["pairs_picture"], values["pairs_not_drawn"] = _drawn(index.path, picture, shown)


def _drawn(file: Path, picture: Path | None, shown: Sequence[tuple[int, int]]) -> tuple[Values | None, Values | None]:
    """Draws pairs; gives what was drawn, and what was not."""
    if not shown:
        return None, None
    target = picture or pairs_path(file)
    told = {"path": str(target), "pairs": len(shown)}
    if picture is None and not _can_be_written(target):
        return None, told
    write_pairs(file, target, shown)
    return told, None


def _can_be_written(picture: Path) -> bool:
    try:
        check_picture(picture, "--pairs")
    except FacetError:
        return False
    return True


def _across_splits(splits: Sequence[str], identical: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Gives one pair for each image that is in two splits: its first example, and the first in another split."""
    others = [(rows[0], [row for row in rows if splits[row] != splits[rows[0]]]) for rows in identical]
    return [(first, rows[0]) for first, rows in others if rows]
