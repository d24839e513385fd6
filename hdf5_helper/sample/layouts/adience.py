"""Adience: `aligned/USER/landmark_aligned_face.FACE.IMAGE` and five fold files of twelve columns."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from hdf5_helper.labels import AGE_GROUPS, FEMALE, UNKNOWN_AGE_GROUP, age_group
from hdf5_helper.sample.pictures import Picture
from hdf5_helper.sample.planting import Planting, SampleTree, table

COLUMNS = (
    "user_id",
    "original_image",
    "face_id",
    "age",
    "gender",
    "x",
    "y",
    "dx",
    "dy",
    "tilt_ang",
    "fiducial_yaw_angle",
    "fiducial_score",
)
FOLDS = 5

#: As the fold files write them: 13 is not in the third group's text, and the last one ends at 100.
_GROUP_TEXTS = {2: "(8, 12)", 7: "(60, 100)"}
_TAG, _X, _Y, _SIZE, _SCORE = range(10, 15)


def image_name(picture: Picture) -> str:
    """Gives the name of the photograph that a face was cut from: `ID_TAG_o.jpg`."""
    return f"{9_000_000_000 + 37 * picture.index}_{picture.draw(_TAG, 16**10):010x}_o{picture.suffix}"


def plant(pictures: Sequence[Picture]) -> SampleTree:
    """Gives Adience's tree; a user's album shows two persons, and lies in one fold."""
    folds: list[list[Sequence[object]]] = [[COLUMNS] for _ in range(FOLDS)]
    for picture in pictures:
        fold = (_album(picture) + picture.other_side) % FOLDS
        folds[fold].append(_row(picture))
    files = {PurePosixPath(f"fold_{number}_data.txt"): table(rows, "\t") for number, rows in enumerate(folds)}
    return SampleTree(tuple(_place(picture) for picture in pictures), files)


def _album(picture: Picture) -> int:
    return picture.person.number // 2


def _user(picture: Picture) -> str:
    return f"{10_000_000 + 4_099 * _album(picture)}@N{_album(picture) % 8 + 1:02d}"


def _place(picture: Picture) -> PurePosixPath:
    name = f"landmark_aligned_face.{picture.person.number + 1}.{image_name(picture)}"
    return PurePosixPath("aligned", _user(picture), name)


def _row(picture: Picture) -> Sequence[object]:
    age, gender = picture.odd_row or (_age_text(picture.person.age), "fm"[picture.person.gender != FEMALE])
    size = 300 + picture.draw(_SIZE, 700)
    box = (picture.draw(_X, 2000), picture.draw(_Y, 2000), size, size)
    angles = (5 * round(picture.shot.turn / 5), 15 * round(picture.shot.yaw * 3), picture.draw(_SCORE, 120))
    return (_user(picture), image_name(picture), picture.person.number + 1, age, gender, *box, *angles)


def _age_text(age: int) -> str:
    """Gives the group as the fold files write it, or the single year between two groups."""
    group = age_group(age)
    if group == UNKNOWN_AGE_GROUP or age == 13:
        return str(age)
    return _GROUP_TEXTS.get(group, "({}, {})".format(*AGE_GROUPS[group]))


LAYOUT = Planting(plant)
