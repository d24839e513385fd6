"""One folder a class: `man/` and `woman/`."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from hdf5_helper.labels import FEMALE
from hdf5_helper.sample.pictures import Picture
from hdf5_helper.sample.planting import Planting, SampleTree


def plant(pictures: Sequence[Picture]) -> SampleTree:
    """Gives two folders of pictures."""
    return SampleTree(
        tuple(
            PurePosixPath("woman" if picture.person.gender == FEMALE else "man", f"{picture.index:06d}{picture.suffix}")
            for picture in pictures
        )
    )


LAYOUT = Planting(plant)
