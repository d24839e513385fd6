"""The cleaned Adience + IMDB-WIKI tree: combined/{aligned,valid}/AGE_{F,M}/*, or any folder above or below."""

import re
from dataclasses import replace

from hdf5_helper.format import TEST, TRAIN
from hdf5_helper.labels import GENDER_WORDS
from hdf5_helper.options import SourceOptions
from hdf5_helper.records import Listing, Record, RejectedError
from hdf5_helper.sources.collect import collect
from hdf5_helper.sources.values import age_labels, read_age
from hdf5_helper.tree import Tree

_FOLDER = re.compile(r"(\d{1,3})_([FM])", re.IGNORECASE)
_SPLITS = {"aligned": TRAIN, "valid": TEST}

#: How the three origins name their files; the group is the person's id within the origin.
_ORIGINS = (
    ("imdb", re.compile(r"(nm\d+)_")),
    ("wiki", re.compile(r"(\d+)_\d+-\d+-\d+_\d+")),
    ("adience", re.compile(r"(?:landmark|coarse_tilt)_aligned_face\.(\d+)\.")),
)

#: The tree has no validation part: a tenth of the subjects of `aligned` becomes one.
_VALIDATION_SHARE = 0.1


def recognise(tree: Tree) -> str | None:
    """Says what makes the tree this one, or None."""
    folders = {path.split("/")[-2] for path in tree.images if "/" in path}
    count = sum(bool(_FOLDER.fullmatch(name)) for name in folders)
    return f"{count} folders AGE_F and AGE_M" if count else None


def read(tree: Tree, _options: SourceOptions) -> Listing:
    """Gives gender and age from the folders, origin and person from the file names.

    Where `aligned` and `valid` are both there, they are the official split.
    """
    records, rejects = collect(tree, _record)
    official = {record.split for record in records} >= {TRAIN, TEST}
    if not official:
        records = tuple(replace(record, split=None) for record in records)
    share = _VALIDATION_SHARE if official else 0.0
    return Listing("agegender", records, rejects, tree.ignored, official=official, validation_share=share)


def _record(path: str) -> Record:
    parts = path.split("/")
    folder = _FOLDER.fullmatch(parts[-2]) if len(parts) > 1 else None
    if folder is None:
        raise RejectedError("lies in no folder AGE_F or AGE_M such as 25_F")
    labels = {"gender": GENDER_WORDS[folder[2].lower()], **age_labels(read_age(folder[1]))}
    split = _SPLITS.get(parts[-3].lower()) if len(parts) > 2 else None
    for origin, pattern in _ORIGINS:
        if person := pattern.match(parts[-1]):
            return Record(path, labels, f"{origin}/{person[1]}", {"origin": origin}, split)
    return Record(path, labels, split=split)
