"""The cleaned Adience + IMDB-WIKI tree: combined/{aligned,valid}/AGE_{F,M}/*, or any folder above or below."""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from hdf5_helper.labels import GENDER_WORDS
from hdf5_helper.sources.records import LabelValue, Listing, Record, RejectedError, collect
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tree import Tree
from hdf5_helper.sources.values import age_labels, read_age
from hdf5_helper.storage.file_format import TEST, TRAIN

_FOLDER = re.compile(r"(\d{1,3})_([FM])", re.IGNORECASE)
_SPLITS = {"aligned": TRAIN, "valid": TEST}

_Labels = Callable[[str], Mapping[str, LabelValue]]

#: How the three origins name their files; the pattern's group is the person's id within the origin.
_ORIGINS = (
    ({"origin": "imdb"}, re.compile(r"(nm\d+)_")),
    ({"origin": "wiki"}, re.compile(r"(\d+)_\d+-\d+-\d+_\d+")),
    ({"origin": "adience"}, re.compile(r"(?:landmark|coarse_tilt)_aligned_face\.(\d+)\.")),
)

#: The tree has no validation part: a tenth of the subjects of `aligned` becomes one.
_VALIDATION_SHARE = 0.1


def matching(tree: Tree) -> list[str]:
    """Gives the images that lie in a folder AGE_F or AGE_M."""
    return [path for path in tree.images if "/" in path and _FOLDER.fullmatch(path.split("/")[-2])]


def recognise(tree: Tree) -> str | None:
    """Says what makes the tree this one, or None: most images lie in folders of its form."""
    matches = matching(tree)
    if 2 * len(matches) <= len(tree.images):
        return None
    return f"{len({path.split('/')[-2] for path in matches})} folders AGE_F and AGE_M"


def read(tree: Tree, _options: SourceOptions) -> Listing:
    """Gives gender and age from the folders, origin and person from the file names.

    Where `aligned` and `valid` are both there, they are the official split.
    """
    labels = functools.cache(_labels)  # one dict a folder, not one an image
    records, rejects = collect(tree.images, lambda path: _record(path, labels))
    official = {record.split for record in records} >= {TRAIN, TEST}
    if not official:
        records = tuple(replace(record, split=None) for record in records)
    share = _VALIDATION_SHARE if official else 0.0
    return Listing("agegender", records, rejects, tree.ignored, official=official, validation_share=share)


def _record(path: str, labels: _Labels) -> Record:
    parts = path.split("/")
    known = labels(parts[-2] if len(parts) > 1 else "")
    split = _SPLITS.get(parts[-3].lower()) if len(parts) > 2 else None
    for groups, pattern in _ORIGINS:
        if person := pattern.match(parts[-1]):
            return Record(path, known, f"{groups['origin']}/{person[1]}", groups, split)
    return Record(path, known, split=split)


def _labels(name: str) -> Mapping[str, LabelValue]:
    folder = _FOLDER.fullmatch(name)
    if folder is None:
        raise RejectedError("lies in no folder AGE_F or AGE_M such as 25_F")
    return {"gender": GENDER_WORDS[folder[2].lower()], **age_labels(read_age(folder[1]))}
