"""A CSV file of paths and labels beside a folder of images."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from hdf5_helper.labels import GENDER_NAMES
from hdf5_helper.sample.pictures import Picture
from hdf5_helper.sample.planting import Planting, SampleTree, table

_HEADER = ("path", "gender", "age", "subject", "camera")


def plant(pictures: Sequence[Picture]) -> SampleTree:
    """Gives `images/` and `manifest.csv` with path, gender, age, subject and camera."""
    places = tuple(PurePosixPath("images", f"{picture.index:06d}{picture.suffix}") for picture in pictures)
    rows: list[Sequence[object]] = [_HEADER]
    for place, picture in zip(places, pictures, strict=True):
        person = picture.person
        age, gender = picture.odd_row or (person.age, GENDER_NAMES[person.gender])
        rows.append((place, gender, age, f"p{person.number:05d}", picture.shot.camera))
    return SampleTree(places, {PurePosixPath("manifest.csv"): table(rows, ",")})


LAYOUT = Planting(plant)
