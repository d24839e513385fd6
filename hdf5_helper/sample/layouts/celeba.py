"""CelebA: `img_align_celeba/`, the attribute file, the partition file and the identity file."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from hdf5_helper.sample.attributes import ATTRIBUTE_NAMES, attributes_of
from hdf5_helper.sample.pictures import Picture
from hdf5_helper.sample.planting import Planting, SampleTree, table

_PART = 20

#: Of ten persons eight are in the train, one in the validation, one in the test partition.
_PARTS = (0, 0, 0, 0, 0, 0, 0, 0, 1, 2)


def plant(pictures: Sequence[Picture]) -> SampleTree:
    """Gives CelebA's tree."""
    files = {
        "list_attr_celeba.txt": _attribute_file(pictures),
        "list_eval_partition.txt": table([(_name(p), _partition(p)) for p in pictures], " "),
        "identity_CelebA.txt": table([(_name(p), p.person.number + 1) for p in pictures], " "),
    }
    places = tuple(PurePosixPath("img_align_celeba", _name(picture)) for picture in pictures)
    return SampleTree(places, {PurePosixPath(name): contents for name, contents in files.items()})


def _name(picture: Picture) -> str:
    return f"{picture.index + 1:06d}{picture.suffix}"


def _partition(picture: Picture) -> int:
    part = _PARTS[picture.draw_for_person(_PART, len(_PARTS))]
    return (part + 2) % 3 if picture.other_side else part


def _attribute_file(pictures: Sequence[Picture]) -> bytes:
    """Two header lines (how many images; the names, with the original's blank at the end), then a line an image."""
    lines = [f"{len(pictures)}\n", " ".join(ATTRIBUTE_NAMES) + " \n"]
    for picture in pictures:
        values = " ".join(" 1" if value else "-1" for value in attributes_of(picture).values())
        lines.append(f"{_name(picture)} {values}\n")
    return "".join(lines).encode()


LAYOUT = Planting(plant, ages=(18, 80))
