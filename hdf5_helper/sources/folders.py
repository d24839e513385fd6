"""One folder a class; folders named train, validation and test above them are an official split."""

from hdf5_helper.errors import FacetError
from hdf5_helper.labels import GENDER_WORDS
from hdf5_helper.options import SourceOptions
from hdf5_helper.records import LabelValue, Listing, Record, RejectedError
from hdf5_helper.sources.collect import collect
from hdf5_helper.sources.values import SPLIT_WORDS, read_gender
from hdf5_helper.tree import Tree


def recognise(tree: Tree) -> str | None:
    """Says what makes the tree one of classes, or None."""
    names = _classes(tree, 1 if _has_splits(tree) else 0)
    return f"{len(names)} class folders" if names else None


def read(tree: Tree, options: SourceOptions) -> Listing:
    """Gives `gender` where all folders are words for it, else the class label `options.label_name`.

    Raises:
        FacetError: a single class, which nothing can be learned from.
    """
    level = 1 if _has_splits(tree) else 0
    classes = _classes(tree, level)
    words = options.value_map.get("gender", {})
    is_gender = all(words.get(name, name).lower() in GENDER_WORDS for name in classes)
    if len(classes) == 1 and not is_gender:
        raise FacetError(f"{tree.root}: one class folder ({classes[0]}), expected one a class, at least two")

    def record(path: str) -> Record:
        parts = path.split("/")
        if len(parts) < level + 2:
            raise RejectedError("lies in no class folder")
        split = SPLIT_WORDS[parts[0].lower()] if level else None
        name = parts[level]
        labels: dict[str, LabelValue] = (
            {"gender": read_gender(name, words)} if is_gender else {options.label_name: name}
        )
        return Record(path, labels, split=split)

    records, rejects = collect(tree, record)
    what = "gender" if is_gender else f"label {options.label_name}"
    sentences = (f"{what} from the folders {', '.join(classes[:12])}{' …' if len(classes) > 12 else ''}",)
    return Listing("folders", records, rejects, tree.ignored, sentences, official=bool(level))


def _classes(tree: Tree, level: int) -> list[str]:
    return sorted({parts[level] for path in tree.images if len(parts := path.split("/")) > level + 1})


def _has_splits(tree: Tree) -> bool:
    """Says whether all top folders are words for splits, with class folders below."""
    paths = [parts for path in tree.images if len(parts := path.split("/")) > 1]
    return bool(paths) and all(parts[0].lower() in SPLIT_WORDS and len(parts) > 2 for parts in paths)
