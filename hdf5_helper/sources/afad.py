"""AFAD's tree: AGE/111/* are men, AGE/112/* are women."""

import functools
from collections.abc import Callable, Mapping

from hdf5_helper.labels import AFAD_GENDERS
from hdf5_helper.sources.records import LabelValue, Listing, Record, RejectedError, collect
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tree import Tree
from hdf5_helper.sources.values import age_labels, read_age

_Labels = Callable[[str, str], Mapping[str, LabelValue]]


def matching(tree: Tree) -> list[str]:
    """Gives the images that lie in a folder AGE/111 or AGE/112."""
    return [path for path in tree.images if len(parts := path.split("/")) > 2 and _is_place(*parts[-3:-1])]


def recognise(tree: Tree) -> str | None:
    """Says what makes the tree AFAD's, or None: most images lie in folders of its form."""
    matches = matching(tree)
    if 2 * len(matches) <= len(tree.images):
        return None
    seen = sorted({path.split("/")[-2] for path in matches})
    return f"folders AGE/{' and AGE/'.join(seen)}"


def read(tree: Tree, _options: SourceOptions) -> Listing:
    """Gives gender and age from the folders, and the subject from the file name before `-`, where there is one."""
    labels = functools.cache(_labels)  # one dict a folder, not one an image
    records, rejects = collect(tree.images, lambda path: _record(path, labels))
    return Listing("afad", records, rejects, tree.ignored)


def _is_place(age: str, code: str) -> bool:
    return age.isdecimal() and code in AFAD_GENDERS


def _record(path: str, labels: _Labels) -> Record:
    parts = path.split("/")
    if len(parts) < 3 or not parts[-3].isdecimal():
        raise RejectedError("lies in no folder AGE/111 or AGE/112")
    subject, dash, _rest = parts[-1].partition("-")
    return Record(path, labels(parts[-3], parts[-2]), subject if dash and subject else None)


def _labels(age: str, code: str) -> Mapping[str, LabelValue]:
    if code not in AFAD_GENDERS:
        raise RejectedError(f"gender code {code!r}: expected 111 (male) or 112 (female)")
    return {"gender": AFAD_GENDERS[code], **age_labels(read_age(age))}
