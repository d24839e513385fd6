"""The cleaned Adience and IMDB-WIKI set: `combined/{aligned,valid}/AGE_{F,M}/`, three origins told by the file name."""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from hdf5_helper.labels import FEMALE
from hdf5_helper.sample.layouts.adience import image_name
from hdf5_helper.sample.pictures import Picture
from hdf5_helper.sample.planting import Planting, SampleTree

_SIDE, _ORIGIN, _YEAR, _MONTH, _DAY, _MEDIA = range(6)


def plant(pictures: Sequence[Picture]) -> SampleTree:
    """Gives the set's tree; whole persons lie in `aligned` or in `valid`, a fifth of them in `valid`."""
    return SampleTree(tuple(_place(picture) for picture in pictures))


def _place(picture: Picture) -> PurePosixPath:
    valid = (picture.draw_for_person(_SIDE, 5) == 0) != picture.other_side
    person = picture.person
    folder = f"{person.age:02d}_{'F' if person.gender == FEMALE else 'M'}"
    return PurePosixPath("combined", "valid" if valid else "aligned", folder, _origin(picture)(picture))


def _origin(picture: Picture) -> Callable[[Picture], str]:
    """Half of the persons come from IMDB; WIKI has one picture a person, as mostly in the real set."""
    number = picture.draw_for_person(_ORIGIN, 20)
    if number < 4:
        return _adience
    return _wiki if picture.alone and number < 18 else _imdb


def _birth_and_year(picture: Picture) -> tuple[int, int, int, int]:
    """Gives year, month and day of birth, and the picture's year: their difference is the age, or a year more."""
    month, day = 1 + picture.draw_for_person(_MONTH, 12), 1 + picture.draw_for_person(_DAY, 28)
    year = 2005 + picture.draw_for_person(_YEAR, 10)
    return year - picture.person.age - (month > 9), month, day, year


def _imdb(picture: Picture) -> str:
    born, month, day, year = _birth_and_year(picture)
    media = 100_000_000 + 1_000 * picture.index + picture.draw(_MEDIA, 1_000)
    return f"nm{1000000 + picture.person.number:07d}_rm{media}_{born}-{month}-{day}_{year}{picture.suffix}"


def _wiki(picture: Picture) -> str:
    """A second picture, as only a messy tree has it, is of another year: the name has nothing else to differ in."""
    born, month, day, year = _birth_and_year(picture)
    shift = min(1, picture.number)
    return f"{2000000 + picture.person.number}_{born + shift}-{month:02d}-{day:02d}_{year + shift}{picture.suffix}"


def _adience(picture: Picture) -> str:
    return f"landmark_aligned_face.{picture.person.number + 1}.{image_name(picture)}"


LAYOUT = Planting(plant)
