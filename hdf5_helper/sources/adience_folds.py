"""Adience's fold files: fold_{0..4}_data.txt, a row a face, tab-separated."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdf5_helper.errors import FacetError
from hdf5_helper.labels import GENDER_WORDS
from hdf5_helper.sources.adience_ages import read_written_age
from hdf5_helper.sources.records import LabelValue, RejectedError
from hdf5_helper.sources.tables import NumberedRow, separated_rows
from hdf5_helper.sources.tree import Tree, file_name

_FILE = re.compile(r"fold_(frontal_)?(\d{1,2})_data\.txt")
_COLUMNS = ("user_id", "original_image", "face_id", "age", "gender")

#: How the fold files say that nobody knows.
_UNKNOWN_GENDERS = ("", "u", "None")


@dataclass(frozen=True, slots=True)
class FaceRow:
    """One row of a fold file.

    Attributes:
        user: the owner of the album.
        face: `USER/FACE.IMAGE`, which only this face has.
        fold: the file's number.
        age: as written.
        gender: as written.
    """

    user: str
    face: str
    fold: int
    age: str
    gender: str

    def labels(self) -> Mapping[str, LabelValue]:
        """Gives what is known of gender, age and age group.

        Raises:
            RejectedError: nothing is known, or an entry cannot be understood.
        """
        labels = {**_gender(self.gender), **read_written_age(self.age)}
        if not labels:
            raise RejectedError(f"has no label: age {self.age!r}, gender {self.gender!r} in fold {self.fold}")
        return labels


def _gender(text: str) -> Mapping[str, LabelValue]:
    if text in _UNKNOWN_GENDERS:
        return {}
    if text.lower() not in GENDER_WORDS:
        raise RejectedError(f"gender {text!r}: expected f, m, u or nothing")
    return {"gender": GENDER_WORDS[text.lower()]}


def fold_files(tree: Tree) -> dict[int, str]:
    """Gives the path of each fold file by its number, the frontal ones only where there are no others.

    Raises:
        FacetError: two files are the same fold.
    """
    names = {path: match for path in tree.files if (match := _FILE.fullmatch(file_name(path)))}
    whole = {path: match for path, match in names.items() if not match[1]}
    found: dict[int, str] = {}
    for path, match in (whole or names).items():
        fold = int(match[2])
        if fold in found:
            raise FacetError(f"{tree.root / path}: is fold {fold} like {found[fold]}, expected one file a fold")
        found[fold] = path
    return dict(sorted(found.items()))


def read_rows(root: Path, files: Mapping[int, str]) -> list[FaceRow]:
    """Gives the rows of the fold files, in order.

    Raises:
        FacetError: a file cannot be read, lacks a column, or ends within a row.
    """
    return [row for fold, file in files.items() for row in _rows(root / file, fold)]


def _rows(file: Path, fold: int) -> list[FaceRow]:
    lines = separated_rows(file, "\t", quoted=False)
    _line, header = next(lines, (1, []))
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        raise FacetError(f"{file}: has no column {missing[0]!r}, expected {', '.join(_COLUMNS)}, tab-separated")
    places = [header.index(column) for column in _COLUMNS]
    return [_row(file, line, places, fold) for line in lines]


def _row(file: Path, line: NumberedRow, places: Sequence[int], fold: int) -> FaceRow:
    number, values = line
    if len(values) <= max(places) or not all(values[place].strip() for place in places[:3]):
        raise FacetError(f"{file}: line {number} is no whole row, expected {', '.join(_COLUMNS)} and the rest")
    user, image, face, age, gender = (values[place].strip() for place in places)
    return FaceRow(user, f"{user}/{face}.{image}", fold, age, gender)
