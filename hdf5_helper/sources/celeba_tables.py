"""CelebA's label files: attributes, partition and identity, as text or as CSV."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdf5_helper.errors import FacetError
from hdf5_helper.sources.tables import NumberedRow, blank_separated_rows, separated_rows
from hdf5_helper.sources.tree import Tree, file_name
from hdf5_helper.wording import count_text

#: -1 no, 1 yes, as int8.
_VALUES = {"-1": b"\xff", "1": b"\x01"}


@dataclass(frozen=True)
class AttributeTable:
    """The file list_attr_celeba.

    Attributes:
        file: its path in the tree.
        names: of the attributes.
        values: for each image, int8 values as bytes, or the reason why they cannot be read.
        sentences: what the user should know.
    """

    file: str
    names: tuple[str, ...]
    values: Mapping[str, bytes | str]
    sentences: tuple[str, ...]


def find_file(tree: Tree, stem: str) -> str | None:
    """Gives the path of a label file, the least deep one of several, and there as text rather than as CSV."""
    wanted = (f"{stem}.txt", f"{stem}.csv")
    found = [(path.count("/"), wanted.index(name), path) for path in tree.files if (name := file_name(path)) in wanted]
    return min(found)[2] if found else None


def read_attributes(root: Path, file: str) -> AttributeTable:
    """Reads list_attr_celeba: a line with the count, one with the names, one an image; or CSV with the names first.

    Raises:
        FacetError: it cannot be read, or has no line of names.
    """
    path = root / file
    lines = _lines(path)
    counted = [] if path.suffix == ".csv" else next(lines, (1, []))[1]
    line, header = next(lines, (1, []))
    names = tuple(header[1:] if path.suffix == ".csv" else header)
    if len(counted) > 1 or not names or _VALUES.keys() & set(names):
        found = " ".join((counted or header)[:4])
        expected = "a line of names" if path.suffix == ".csv" else "the number of images, then a line of names"
        raise FacetError(f"{path}: begins with {found!r}, expected {expected}")
    if len(set(names)) != len(names):
        raise FacetError(f"{path}: line {line} has a name twice, expected each attribute once")
    values, rows = _all_values(lines, names)
    return AttributeTable(file, names, values, _count_sentences(path, counted, rows, len(values)))


def _all_values(lines: Iterator[NumberedRow], names: Sequence[str]) -> tuple[dict[str, bytes | str], int]:
    """Gives the values of every image, and the number of lines; the first line of an image counts."""
    values: dict[str, bytes | str] = {}
    count = 0
    for line, (image, *written) in lines:
        values.setdefault(image, _values(line, written, names))
        count += 1
    return values, count


def _values(line: int, written: Sequence[str], names: Sequence[str]) -> bytes | str:
    if len(written) != len(names):
        return f"has {_count(written)} in line {line} of the attributes, expected {len(names)}"
    try:
        return b"".join(map(_VALUES.__getitem__, written))
    except KeyError as odd:
        return f"has the value {odd.args[0]!r} in line {line} of the attributes, expected 1 or -1"


def _count(written: Sequence[str]) -> str:
    return count_text(len(written), "value")


def _count_sentences(path: Path, counted: Sequence[str], rows: int, images: int) -> tuple[str, ...]:
    wrong = counted and counted[0] != str(rows)
    return (
        *([f"warning: {path}: says {counted[0]} images, and has {count_text(rows, 'row')}"] if wrong else ()),
        *([f"{path}: {count_text(rows - images, 'repeated row')} not used"] if rows > images else ()),
    )


def read_pairs(root: Path, file: str | None) -> dict[str, str] | None:
    """Gives what a file of two columns says of each image; None where there is no such file.

    Raises:
        FacetError: it cannot be read, or a line has not two columns.
    """
    if file is None:
        return None
    pairs: dict[str, str] = {}
    for line, values in _lines(root / file):
        if len(values) != 2:
            raise FacetError(f"{root / file}: line {line} has {_count(values)}, expected an image and a number")
        if "." in values[0]:  # not the names of the columns, with which CSV begins
            pairs.setdefault(*values)
    return pairs


def _lines(path: Path) -> Iterator[NumberedRow]:
    """Gives the rows of a label file, by commas or by blanks as its suffix says."""
    if path.suffix != ".csv":
        return blank_separated_rows(path)
    return ((line, [value.strip() for value in values]) for line, values in separated_rows(path))
