"""Tables of text: every byte is kept, and what cannot be read is one sentence."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from hdf5_helper.errors import FacetError

#: Number of the line in which a row ends, and its values.
NumberedRow = tuple[int, list[str]]

#: What a table that is given by itself may be called.
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")

_SEPARATORS = ",;\t"

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


@dataclass(frozen=True)
class Table:
    """A CSV file.

    Attributes:
        header: names of the columns.
        rows: values by column, without blanks around them.
        written: the same rows as they are written.
    """

    header: list[str]
    rows: list[Mapping[str, str]]
    written: list[NumberedRow]


def read_table(path: Path) -> Table:
    """Gives a table separated by commas, semicolons or tabs, whichever its first line has most of.

    Raises:
        FacetError: as `separated_rows`.
    """
    header, *written = list(_chosen_rows(path)) or [(1, [])]
    columns = [name.strip() for name in header[1]]
    return Table(columns, [_row(columns, values) for _line, values in written], written)


def read_header(path: Path) -> list[str]:
    """Gives the names of the columns of a table; raises as `read_table`."""
    return [name.strip() for name in next(_chosen_rows(path), (1, []))[1]]


def _chosen_rows(path: Path) -> Iterator[NumberedRow]:
    first = read_text(path).partition("\n")[0]
    return separated_rows(path, max(_SEPARATORS, key=first.count))


def _row(header: Sequence[str], values: Sequence[str]) -> Mapping[str, str]:
    return dict(zip_longest(header, map(str.strip, values[: len(header)]), fillvalue=""))


def blank_separated_rows(path: Path) -> Iterator[NumberedRow]:
    """Gives the rows of a text whose values have no blanks, but for empty lines; raises as `read_text`."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if values := line.split():
            yield number, values
