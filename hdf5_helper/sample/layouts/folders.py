"""One folder a class: `man/` and `woman/`."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from hdf5_helper.labels import FEMALE
from hdf5_helper.sample.pictures import Picture
from hdf5_helper.sample.tree import Layout, Tree


def plant(pictures: Sequence[Picture]) -> Tree:
    """Gives two folders of pictures."""
    return Tree(
        tuple(
            PurePosixPath("woman" if picture.person.gender == FEMALE else "man", f"{picture.index:06d}{picture.suffix}")
            for picture in pictures
        )
    )


LAYOUT = Layout(plant)
