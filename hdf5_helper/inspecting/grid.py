"""Sheets of examples from a packed file, each with its labels written below it."""

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import write_bytes
from hdf5_helper.disk import failures_as_sentences
from hdf5_helper.errors import FacetError
from hdf5_helper.images.fit import fit
from hdf5_helper.inspecting.perceptual import open_small, read_upright
from hdf5_helper.labels import label_kind
from hdf5_helper.reading.reader import HDF5Reader

UInt8Array = NDArray[np.uint8]

#: Side of a square in pixels, and squares in a line.
CELL = 128
COLUMNS = 8

_CAPTION = 34
_GAP = 12  # pixels between two groups of cells
_PAPER = 24
_INK = (235, 235, 235)


def write_grid(source: Path, target: Path, count: int = 48) -> int:
    """Draws examples of the packed file `source` into the PNG file `target`.

    Returns:
        How many examples are shown: `count`, or all where there are fewer.

    Raises:
        FacetError: `target` is no `.png` name or cannot be written, or `source` cannot be read.
    """
    check_picture(target, "--grid")
    with open_small(source, (CELL, CELL), "pad") as reader:
        rows = choose_rows(reader, count)
        write_picture(target, draw_grid(reader, rows))
    return len(rows)


def write_pairs(source: Path, target: Path, pairs: Sequence[tuple[int, int]]) -> None:
    """Draws pairs of examples side by side, four pairs a line, into the PNG file `target`; raises as `write_grid`."""
    with open_small(source, (CELL, CELL), "pad") as reader:
        write_picture(target, draw_grid(reader, np.array(pairs, np.int64).reshape(-1), together=2))


def check_picture(target: Path, option: str) -> None:
    """Refuses what could not be written, so that nobody looks at images for minutes first."""
    if target.suffix.lower() != ".png":
        raise FacetError(f"{option} {target}: expected a name that ends in .png")
    if target.is_dir():
        raise FacetError(f"{option} {target}: is a folder, expected the name of a picture")
    if not os.access(target.parent, os.W_OK):
        raise FacetError(f"{option} {target}: cannot be written there, expected a name in a folder that can be")


def write_picture(target: Path, sheet: UInt8Array) -> None:
    """Writes a sheet, uint8 (height, width, 3), RGB, as a PNG file, whole or not at all."""
    _done, data = cv2.imencode(".png", sheet[..., ::-1])
    with failures_as_sentences(target):
        write_bytes(target, bytes(data))


def choose_rows(reader: HDF5Reader, count: int) -> NDArray[np.int64]:
    """Gives example indices to show, int64: the same share of each split, evenly spaced in its rows."""
    shares = [(len(reader.split(name)) / len(reader), reader.split(name)) for name in reader.splits]
    chosen = [rows[evenly(len(rows), math.ceil(count * share))] for share, rows in shares]
    rows = np.concatenate(chosen)
    return np.asarray(rows[evenly(len(rows), count)])


def evenly(length: int, count: int) -> NDArray[np.int64]:
    """Gives at most `count` different numbers in [0, length), evenly spaced."""
    return np.unique(np.linspace(0, length - 1, min(length, count)).round().astype(np.int64))


def draw_grid(reader: HDF5Reader, rows: NDArray[np.int64], together: int = COLUMNS) -> UInt8Array:
    """Gives a sheet of the examples `rows`, eight a line, uint8 (height, width, 3), RGB.

    Args:
        reader: an open file that gives images at one size.
        rows: example indices (k,).
        together: cells between two gaps, a divisor of eight.
    """
    return draw_cells(read_upright(reader, rows), [caption(reader, row) for row in rows.tolist()], together)


def draw_cells(images: Iterable[UInt8Array], captions: Sequence[Sequence[str]], together: int = COLUMNS) -> UInt8Array:
    """Gives a sheet of images, eight a line, uint8 (height, width, 3), RGB.

    Args:
        images: uint8 (height, width, 3) each, RGB; each is framed to a square.
        captions: two lines below each image.
        together: cells between two gaps, a divisor of eight.
    """
    lines, columns = -(-len(captions) // COLUMNS), min(COLUMNS, len(captions))
    width = columns * CELL + (columns - 1) // together * _GAP
    sheet = np.full((lines * (CELL + _CAPTION), width, 3), _PAPER, np.uint8)
    for place, (texts, image) in enumerate(zip(captions, images, strict=True)):
        line, column = divmod(place, COLUMNS)
        top, left = line * (CELL + _CAPTION), column * CELL + column // together * _GAP
        cell = fit(np.ascontiguousarray(image), (CELL, CELL), "pad")
        sheet[top : top + CELL, left : left + CELL] = cell
        below = sheet[top + CELL : top + CELL + _CAPTION, left : left + CELL]
        for number, text in enumerate(texts):
            _write(below, text, 13 + 15 * number)
    return sheet


def caption(reader: HDF5Reader, row: int) -> tuple[str, str]:
    """Gives what is written below an example: split and row number; its labels, gender and age first."""
    split = next((name for name in reader.splits if row in reader.split(name)), "")
    labels = sorted(reader.label_names, key=lambda name: (name != "gender", name))
    return f"{split} {row}", " ".join(_label_text(reader, name, row) for name in labels)


def _label_text(reader: HDF5Reader, name: str, row: int) -> str:
    value = reader.labels(name)[row]
    if name == "age":
        return "?" if np.isnan(value) else f"{value:g}"
    if name == "attributes":
        return f"{int((value == 1).sum())} attributes"
    return "?" if value == label_kind(name).unknown else reader.class_names(name)[int(value)]


def _write(cell: UInt8Array, text: str, down: int) -> None:
    """Writes a line, cut off where the cell ends; OpenCV's font has no letters beyond ASCII."""
    line = np.ascontiguousarray(cell)
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(line, plain, (4, down), cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
    cell[:] = line
