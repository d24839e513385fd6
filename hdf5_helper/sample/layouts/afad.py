"""AFAD: `AGE/111|112/PERSON-N.jpg`, 111 = male, 112 = female."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from hdf5_helper.labels import AFAD_GENDERS
from hdf5_helper.sample.pictures import Picture
from hdf5_helper.sample.planting import Planting, SampleTree

_CODES = {gender: code for code, gender in AFAD_GENDERS.items()}


def plant(pictures: Sequence[Picture]) -> SampleTree:
    """Gives AFAD's tree."""
    return SampleTree(tuple(_place(picture) for picture in pictures))


def _place(picture: Picture) -> PurePosixPath:
    person = picture.person
    name = f"{400000 + person.number}-{picture.number}{picture.suffix}"
    return PurePosixPath(str(person.age), _CODES[person.gender], name)


LAYOUT = Planting(plant, ages=(15, 75), extra={"AFAD-Full.txt": b"", "README.md": b"Asian Face Age Dataset\n"})
