"""A sheet of examples from a packed file, each with its labels written below it."""

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import write_bytes
from hdf5_helper.disk import failures_as_sentences
from hdf5_helper.errors import FacetError
from hdf5_helper.fit import fit
from hdf5_helper.labels import label_kind
from hdf5_helper.reading.reader import HDF5Reader

UInt8Array = NDArray[np.uint8]

_CELL = 128
_CAPTION = 34
_COLUMNS = 8
_INK = (235, 235, 235)


def write_grid(source: Path, target: Path, count: int = 48) -> int:
    """Draws examples of the packed file `source` into the PNG file `target`.

    Returns:
        How many examples are shown: `count`, or all where there are fewer.

    Raises:
        FacetError: `target` is no `.png` name or cannot be written, or `source` cannot be read.
    """
    if target.suffix.lower() != ".png":
        raise FacetError(f"--grid {target}: expected a name that ends in .png")
    with _open(source) as reader:
        rows = choose_rows(reader, count)
        sheet = draw_grid(reader, rows)
    _done, data = cv2.imencode(".png", sheet[..., ::-1])
    with failures_as_sentences(target):
        write_bytes(target, bytes(data))
    return len(rows)


def _open(source: Path) -> HDF5Reader:
    """Opens so that images come at one size: encoded ones at the cell's, raw ones at their own."""
    reader = HDF5Reader(source)
    if reader.storage == "raw":
        return reader
    reader.close()
    return HDF5Reader(source, image_size=(_CELL, _CELL), fit="pad")


def choose_rows(reader: HDF5Reader, count: int) -> NDArray[np.int64]:
    """Gives example indices to show, int64: the same share of each split, evenly spaced in its rows."""
    shares = [(len(reader.split(name)) / len(reader), reader.split(name)) for name in reader.splits]
    chosen = [rows[_evenly(len(rows), math.ceil(count * share))] for share, rows in shares]
    rows = np.concatenate(chosen)
    return np.asarray(rows[_evenly(len(rows), count)])


def _evenly(length: int, count: int) -> NDArray[np.int64]:
    """Gives at most `count` different numbers in [0, length), evenly spaced."""
    return np.unique(np.linspace(0, length - 1, min(length, count)).round().astype(np.int64))


def draw_grid(reader: HDF5Reader, rows: NDArray[np.int64]) -> UInt8Array:
    """Gives a sheet of the examples `rows`, eight a line, uint8 (height, width, 3), RGB."""
    images = reader.read(rows)
    if reader.attributes.get("channels_first"):
        images = images.transpose(0, 2, 3, 1)
    lines, columns = -(-len(rows) // _COLUMNS), min(_COLUMNS, len(rows))
    sheet = np.full((lines * (_CELL + _CAPTION), columns * _CELL, 3), 24, np.uint8)
    for place, (row, image) in enumerate(zip(rows.tolist(), images, strict=True)):
        top, left = place // _COLUMNS * (_CELL + _CAPTION), place % _COLUMNS * _CELL
        cell = fit(np.ascontiguousarray(image), (_CELL, _CELL), "pad")
        sheet[top : top + _CELL, left : left + _CELL] = cell
        below = sheet[top + _CELL : top + _CELL + _CAPTION, left : left + _CELL]
        for number, text in enumerate(caption(reader, row)):
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
