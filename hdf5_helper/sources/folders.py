"""One folder a class; folders named train, validation and test above them are an official split."""

import functools
from collections.abc import Mapping

from hdf5_helper.errors import FacetError
from hdf5_helper.labels import GENDER_WORDS
from hdf5_helper.sources.records import LabelValue, Listing, Record, RejectedError, collect
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tree import Tree
from hdf5_helper.sources.values import SPLIT_WORDS, read_gender

_DEFAULT_LABEL = "class"


def recognise(tree: Tree) -> str | None:
    """Says what makes the tree one of classes, or None."""
    names = _classes(tree, _level(tree))
    return f"{len(names)} class folders" if names else None


def read(tree: Tree, options: SourceOptions) -> Listing:
    """Gives the class label `options.label_name`, or `gender` where all folders are words for it and no name is given.

    Raises:
        FacetError: a single class, which nothing can be learned from.
    """
    level = _level(tree)
    classes = _classes(tree, level)
    label = options.label_name or ("gender" if _are_genders(classes, options) else _DEFAULT_LABEL)
    if not classes or (len(classes) == 1 and label != "gender"):
        found = f"one class folder ({classes[0]})" if classes else "no class folder"
        words = "; train, validation, test and their like are splits, never classes" if _top_words(tree) else ""
        raise FacetError(f"{tree.root}: {found}, expected one a class, at least two{words}")
    meant = options.value_map.get(label, {})

    @functools.cache
    def labels(name: str) -> Mapping[str, LabelValue]:
        return {label: read_gender(name, meant) if label == "gender" else meant.get(name, name)}

    def record(path: str) -> Record:
        parts = path.split("/")
        if len(parts) < level + 2 or (not level and _is_split(parts[0])):
            raise RejectedError("lies in no class folder")
        return Record(path, labels(parts[level]), split=SPLIT_WORDS[parts[0].lower()] if level else None)

    records, rejects = collect(tree.images, record)
    what = "gender" if label == "gender" else f"label {label}"
    sentences = (f"{what} from the folders {', '.join(classes[:12])}{' …' if len(classes) > 12 else ''}",)
    return Listing("folders", records, rejects, tree.ignored, sentences, official=bool(level))


def _are_genders(classes: list[str], options: SourceOptions) -> bool:
    """Says whether the folders mean gender: --map says so of any of them, or all of them are words for it."""
    genders = [name for name in classes if name.lower() in GENDER_WORDS]
    mapped = options.value_map.get("gender", {}).keys() & set(classes)
    return bool(mapped) or ("gender" in options.value_map and bool(genders)) or len(genders) == len(classes)


def _is_split(name: str) -> bool:
    return name.lower() in SPLIT_WORDS


def _level(tree: Tree) -> int:
    """Gives how deep the class folders lie: 1 where all top folders that hold folders are words for splits, else 0."""
    tops = {parts[0] for path in tree.images if len(parts := path.split("/")) > 2}
    return int(bool(tops) and all(map(_is_split, tops)))


def _classes(tree: Tree, level: int) -> list[str]:
    """Gives the names of the classes; at the top, words for splits are none."""
    folders = {tuple(parts[: level + 1]) for path in tree.images if len(parts := path.split("/")) > level + 1}
    return sorted({names[level] for names in folders if level == _is_split(names[0])})


def _top_words(tree: Tree) -> bool:
    return any(_is_split(path.split("/")[0]) for path in tree.images if "/" in path)
