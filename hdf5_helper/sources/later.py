"""Layouts that are recognised by name, so that nobody packs them as something else, but not read yet."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from hdf5_helper.errors import FacetError
from hdf5_helper.sources.records import Listing
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tree import Tree

_UTKFACE = re.compile(r"\d{1,3}_[01]_[0-4]_\d{8,}\.jpg(\.chip\.jpg)?")
_ADIENCE = re.compile(r"fold_(frontal_)?\d_data\.txt")


def recognise_adience(tree: Tree) -> str | None:
    """Says what makes the tree Adience's, or None."""
    found = any(_ADIENCE.fullmatch(PurePosixPath(name).name) for name in tree.files)
    return "fold_0_data.txt and its like" if found else None


def recognise_celeba(tree: Tree) -> str | None:
    """Says what makes the tree CelebA's, or None."""
    found = any(PurePosixPath(name).stem == "list_attr_celeba" for name in tree.files)
    return "list_attr_celeba" if found else None


def recognise_utkface(tree: Tree) -> str | None:
    """Says what makes the tree UTKFace's, or None: most images are named AGE_GENDER_RACE_DATE."""
    count = sum(bool(_UTKFACE.fullmatch(PurePosixPath(name).name)) for name in tree.images)
    return "files AGE_GENDER_RACE_DATE" if 2 * count > len(tree.images) else None


def refuse(layout: str) -> Callable[[Tree, SourceOptions], Listing]:
    """Gives a reader that says in one sentence that this version does not read `layout`."""

    def read(tree: Tree, _options: SourceOptions) -> Listing:
        raise FacetError(
            f"{tree.root}: layout {layout} is not read by this version, expected afad, agegender, folders or manifest"
        )

    return read
