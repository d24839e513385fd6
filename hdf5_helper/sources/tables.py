"""Tables of text: every byte is kept, and what cannot be read is one sentence."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from hdf5_helper.errors import FacetError

#: Number of the line in which a row ends, and its values.
NumberedRow = tuple[int, list[str]]

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path) -> str:
    """Gives a text file as UTF-8, without a byte order mark; bytes that are no UTF-8 are kept as surrogates.

    Raises:
        FacetError: it cannot be read, or is UTF-16.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FacetError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    if data.startswith(_UTF_16):
        raise FacetError(f"{path}: is UTF-16, expected UTF-8")
    return data.decode("utf-8-sig", "surrogateescape")


def separated_rows(path: Path, separator: str = ",", *, quoted: bool = True) -> Iterator[NumberedRow]:
    """Gives the rows of a CSV file that have any value; a quoted value may hold separators and newlines.

    Raises:
        FacetError: as `read_text`, or a value without end.
    """
    text = io.StringIO(read_text(path), newline="")
    reader = csv.reader(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    try:
        for row in reader:
            if any(row):
                yield reader.line_num, row
    except csv.Error as error:
        raise FacetError(f"{path}: line {reader.line_num} is no row of a table: {error}") from None


def blank_separated_rows(path: Path) -> Iterator[NumberedRow]:
    """Gives the rows of a text whose values have no blanks, but for empty lines; raises as `read_text`."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if values := line.split():
            yield number, values
