"""UTKFace: everything in the file name, `AGE_GENDER_RACE_DATE.jpg.chip.jpg`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from hdf5_helper.sample.pictures import Picture
from hdf5_helper.sample.planting import Planting, SampleTree

_FIRST = datetime(2017, 1, 9)  # noqa: DTZ001 - the names hold no time zone


def plant(pictures: Sequence[Picture]) -> SampleTree:
    """Gives UTKFace's folder. A drawing has no race: in its place the name holds the skin's tone, 0 (lightest) to 4."""
    return SampleTree(tuple(PurePosixPath(_name(picture)) for picture in pictures))


def _name(picture: Picture) -> str:
    person = picture.person
    date = (_FIRST + timedelta(seconds=61 * picture.index)).strftime("%Y%m%d%H%M%S") + "000"
    return f"{person.age}_{person.gender}_{person.tone}_{date}.jpg.chip{picture.suffix}"


LAYOUT = Planting(plant)
