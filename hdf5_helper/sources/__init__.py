"""Layouts of image trees: a registry, and one function that reads any of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.options import SourceOptions
from hdf5_helper.records import Listing
from hdf5_helper.sources import afad, agegender, folders, later, manifest
from hdf5_helper.tree import Tree, list_tree


@dataclass(frozen=True)
class Layout:
    """How one layout is recognised and read.

    Attributes:
        recognise: what was seen in a tree that makes it this layout, or None.
        read: the records of a tree.
    """

    recognise: Callable[[Tree], str | None]
    read: Callable[[Tree, SourceOptions], Listing]


#: In the order in which `auto` tries them: the more special ones first.
LAYOUTS = {
    "agegender": Layout(agegender.recognise, agegender.read),
    "afad": Layout(afad.recognise, afad.read),
    "adience": Layout(later.recognise_adience, later.refuse("adience")),
    "celeba": Layout(later.recognise_celeba, later.refuse("celeba")),
    "utkface": Layout(later.recognise_utkface, later.refuse("utkface")),
    "manifest": Layout(manifest.recognise, manifest.read),
    "folders": Layout(folders.recognise, folders.read),
}


def read_source(root: Path, layout: str = "auto", options: SourceOptions | None = None) -> Listing:
    """Gives the records of the tree, or of the manifest, at `root`.

    Args:
        root: a folder, or a manifest's CSV file.
        layout: a name in LAYOUTS, or `auto`.
        options: how labels are read.

    Raises:
        FacetError: no such tree or layout, no images, or a layout that is not recognised.
    """
    if layout not in (*LAYOUTS, "auto"):
        raise FacetError(f"--layout {layout!r}: {did_you_mean(layout, (*LAYOUTS, 'auto'))}")
    tree = list_tree(root)
    name, seen = _recognise(tree) if layout == "auto" else (layout, "as asked for")
    listing = LAYOUTS[name].read(tree, options or SourceOptions())
    return replace(listing, sentences=(f"{root}: layout {name} ({seen})", *listing.sentences))


def _recognise(tree: Tree) -> tuple[str, str]:
    for name, layout in LAYOUTS.items():
        if seen := layout.recognise(tree):
            return name, seen
    if not tree.images:
        raise FacetError(
            f"{tree.root}: holds no image among {len(tree.files)} files, expected a tree of labelled images"
        )
    raise FacetError(f"{tree.root}: layout not recognised, expected one of {', '.join(LAYOUTS)} named by --layout")
