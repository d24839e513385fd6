"""Layouts of image trees: a registry, and functions that read any of them."""

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
    """Gives the records of the tree, or of the manifest, at `root`; see `read_sources`."""
    return read_sources([root], layout, options)[0]


def read_sources(
    roots: Sequence[Path], layout: str = "auto", options: SourceOptions | None = None
) -> tuple[Listing, ...]:
    """Gives the records of each tree or manifest.

    An option holds for the sources that have a use for it; so do a column and a word that is mapped.

    Args:
        roots: folders, or manifests' CSV files.
        layout: a name in LAYOUTS, or `auto`.
        options: how labels are read.

    Raises:
        FacetError: no such tree or layout, no images, a layout that is not recognised or not the only likely one, an
            option that no source has a use for, a --map for a label that no image has.
    """
    if layout not in (*LAYOUTS, "auto"):
        raise FacetError(f"--layout {layout!r}: {did_you_mean(layout, (*LAYOUTS, 'auto'))}")
    trees, asked = [list_tree(root) for root in roots], options or SourceOptions()
    found = [_layout(tree, layout) for tree in trees]
    _check_options([name for name, _seen in found], asked)
    taken = _taken(trees, [name for name, _seen in found], asked)
    listings = [LAYOUTS[name].read(tree, own) for (name, _), tree, own in zip(found, trees, taken, strict=True)]
    _check_maps(listings, asked)
    heads = [f"{root}: layout {name} ({seen})" for root, (name, seen) in zip(roots, found, strict=True)]
    return tuple(
        replace(listing, sentences=(head, *listing.sentences)) for head, listing in zip(heads, listings, strict=True)
    )


def _layout(tree: Tree, asked: str) -> tuple[str, str]:
    """Gives the layout of a tree, and what was seen of it."""
    if asked == "auto":
        return _recognise(tree)
    if tree.table is not None and asked != "manifest":
        raise FacetError(f"--layout {asked}: {tree.root / tree.table} is a table, expected a folder")
    return asked, "as asked for"


def _taken(trees: Sequence[Tree], layouts: Sequence[str], options: SourceOptions) -> list[SourceOptions]:
    """Gives each manifest the columns that it has, where another lacks them; one that none has is left to be refused.

    Other options are as they are for every source: a layout does not look at those that it has no use for.
    """
    taken = [options] * len(trees)
    manifests = [number for number, name in enumerate(layouts) if name == "manifest"]
    if len(manifests) < 2 or not (options.columns or options.groups):
        return taken
    headers = {number: set(manifest.header(trees[number])) for number in manifests}
    somewhere = set().union(*headers.values())
    for number, header in headers.items():
        foreign = somewhere - header
        columns = {name: column for name, column in options.columns.items() if column not in foreign}
        groups = tuple(column for column in options.groups if column not in foreign)
        taken[number] = replace(taken[number], columns=columns, groups=groups)
    return taken


def _recognise(tree: Tree) -> tuple[str, str]:
    if tree.table is not None:
        return "manifest", tree.table
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


def _check_options(names: Sequence[str], options: SourceOptions) -> None:
    for option in options.given():
        users = [other for other, layout in LAYOUTS.items() if option in layout.takes]
        if not set(names) & set(users):
            found = " and ".join(dict.fromkeys(names))
            raise FacetError(f"{option}: layout {found} has no use for it, expected layout {' or '.join(users)}")


def _check_maps(listings: Sequence[Listing], options: SourceOptions) -> None:
    labels = {label for listing in listings for record in listing.records for label in record.labels}
    for label in options.value_map:
        if labels and label not in labels:
            raise FacetError(f"--map {label}: no image has this label, {did_you_mean(label, labels)}")
