"""Layouts of image trees: a registry, and one function that reads any of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.sources import adience, afad, agegender, celeba, folders, manifest, utkface
from hdf5_helper.sources.records import Listing
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tree import Tree, list_tree


def _none(_tree: Tree) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Layout:
    """How one layout is recognised and read.

    Attributes:
        recognise: what was seen in a tree that makes it this layout, or None.
        read: the records of a tree.
        takes: the options of SourceOptions that it has a use for.
        matching: the images whose folders look like this layout's, where fewer than most do not decide.
    """

    recognise: Callable[[Tree], str | None]
    read: Callable[[Tree, SourceOptions], Listing]
    takes: frozenset[str] = frozenset()
    matching: Callable[[Tree], Sequence[str]] = _none


#: In the order in which `auto` tries them: the more special ones first.
LAYOUTS = {
    "agegender": Layout(agegender.recognise, agegender.read, matching=agegender.matching),
    "afad": Layout(afad.recognise, afad.read, matching=afad.matching),
    "adience": Layout(adience.recognise, adience.read, frozenset({"--faces"}), adience.matching),
    "celeba": Layout(celeba.recognise, celeba.read, matching=celeba.matching),
    "utkface": Layout(utkface.recognise, utkface.read, matching=utkface.matching),
    "manifest": Layout(manifest.recognise, manifest.read, frozenset({"--map", "--columns", "--groups"})),
    "folders": Layout(folders.recognise, folders.read, frozenset({"--label-name", "--map"})),
}


def read_source(root: Path, layout: str = "auto", options: SourceOptions | None = None) -> Listing:
    """Gives the records of the tree, or of the manifest, at `root`.

    Args:
        root: a folder, or a manifest's CSV file.
        layout: a name in LAYOUTS, or `auto`.
        options: how labels are read.

    Raises:
        FacetError: no such tree or layout, no images, a layout that is not recognised or not the only likely one, an
            option that the layout has no use for, a --map for a label that no image has.
    """
    if layout not in (*LAYOUTS, "auto"):
        raise FacetError(f"--layout {layout!r}: {did_you_mean(layout, (*LAYOUTS, 'auto'))}")
    tree = list_tree(root)
    name, seen = _recognise(tree) if layout == "auto" else (layout, "as asked for")
    asked = options or SourceOptions()
    listing = LAYOUTS[name].read(tree, asked)
    _check_options(name, asked)
    _check_maps(listing, asked)
    return replace(listing, sentences=(f"{root}: layout {name} ({seen})", *listing.sentences))


def _recognise(tree: Tree) -> tuple[str, str]:
    if manifest.NAME in tree.files:  # whoever writes one means it, whatever the images beside it look like
        return "manifest", manifest.NAME
    for name, layout in LAYOUTS.items():
        if seen := layout.recognise(tree):
            if name == "folders":
                _refuse_mixed(tree)
            return name, seen
    if not tree.images:
        raise FacetError(
            f"{tree.root}: holds no image among {len(tree.files)} files, expected a tree of labelled images"
        )
    raise FacetError(f"{tree.root}: layout not recognised, expected one of {', '.join(LAYOUTS)} named by --layout")


def _refuse_mixed(tree: Tree) -> None:
    """Refuses to guess that a tree is one of classes where some of its images look like another layout's."""
    for name, layout in LAYOUTS.items():
        if matches := layout.matching(tree):
            raise FacetError(
                f"{tree.root}: {len(matches):,} of {len(tree.images):,} images look like layout {name} ({matches[0]}),"
                f" the others do not, expected --layout {name} or --layout folders"
            )


def _check_options(name: str, options: SourceOptions) -> None:
    for option in options.given():
        users = [other for other, layout in LAYOUTS.items() if option in layout.takes]
        if name not in users:
            raise FacetError(f"{option}: layout {name} has no use for it, expected layout {' or '.join(users)}")


def _check_maps(listing: Listing, options: SourceOptions) -> None:
    labels = {label for record in listing.records for label in record.labels}
    for label in options.value_map:
        if listing.records and label not in labels:
            raise FacetError(f"--map {label}: no image has this label, {did_you_mean(label, labels)}")
