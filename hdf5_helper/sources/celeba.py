"""CelebA: aligned faces and list_attr_celeba, in the official tree, a flat one, or that of the CSV files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hdf5_helper.errors import FacetError
from hdf5_helper.labels import FEMALE, MALE
from hdf5_helper.sources.celeba_tables import AttributeTable, find_file, read_attributes, read_pairs
from hdf5_helper.sources.records import LabelValue, Listing, Record, RejectedError, collect
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tree import Tree, file_name, stem
from hdf5_helper.storage.file_format import TEST, TRAIN, VALIDATION
from hdf5_helper.wording import count_text

_ATTRIBUTES, _PARTITION, _IDENTITY = "list_attr_celeba", "list_eval_partition", "identity_CelebA"
_ALIGNED = "img_align_celeba"
_SPLITS = {"0": TRAIN, "1": VALIDATION, "2": TEST}
_DIGITS = re.compile(r"\d{6}")
_GENDERS = {b"\x01": MALE, b"\xff": FEMALE}


def matching(tree: Tree) -> list[str]:
    """Gives the images that are named by six digits, where there is an attribute file."""
    if find_file(tree, _ATTRIBUTES) is None:
        return []
    return [path for path in tree.images if _DIGITS.fullmatch(stem(path))]


def recognise(tree: Tree) -> str | None:
    """Says what makes the tree CelebA's, or None: the attribute file, and most images are named as CelebA's."""
    return find_file(tree, _ATTRIBUTES) if 2 * len(matching(tree)) > len(tree.images) else None


def read(tree: Tree, _options: SourceOptions) -> Listing:
    """Gives the attributes, gender from `Male`, the person and the split where the files for these are there.

    Rows without an image, images without a row, and further copies of the faces in other folders are counted.

    Raises:
        FacetError: there is no attribute file, or a label file cannot be read.
    """
    file = find_file(tree, _ATTRIBUTES)
    if file is None:
        raise FacetError(f"{tree.root}: has no {_ATTRIBUTES}.txt or .csv, expected it beside CelebA's images")
    partition, identity = find_file(tree, _PARTITION), find_file(tree, _IDENTITY)
    table = read_attributes(tree.root, file)
    faces = _faces(tree, table)
    if not faces:
        raise FacetError(f"{tree.root}: none of its {len(tree.images):,} images is in {file}, expected {_ALIGNED}/")
    reader = _Reader(table, faces, read_pairs(tree.root, partition), read_pairs(tree.root, identity) or {})
    records, rejects = collect(faces, reader.record)
    sources = f"split: {partition or 'no official one'}; persons: {identity or 'unknown'}"
    sentences = (
        f"{count_text(len(table.names), 'attribute')} from {file}; {sources}",
        *table.sentences,
        *_left_out(tree, table, faces),
    )
    ignored = len(tree.files) - len(faces) - sum(name is not None for name in (file, partition, identity))
    official = partition is not None
    return Listing("celeba", records, rejects, ignored, sentences, official=official, attribute_names=table.names)


def _left_out(tree: Tree, table: AttributeTable, faces: Mapping[str, str]) -> tuple[str, ...]:
    rows, images = len(table.values) - len(set(faces.values())), len(tree.images) - len(faces)
    return (
        *([f"{count_text(rows, 'row')} without an image"] if rows else ()),
        *([f"{count_text(images, 'image')} without a row, or not of {_ALIGNED}, left out"] if images else ()),
    )


def _faces(tree: Tree, table: AttributeTable) -> dict[str, str]:
    """Gives the name that the attribute file has for an image, by its path.

    A name may have another suffix there (PNG files keep the names of the JPEG ones). CelebA's kinds of images have the
    same names: where the aligned faces are there, the others are not taken.
    """
    stems = {stem(name): name for name in table.values}
    named = {path: _listed(path, table, stems) for path in tree.images}
    listed = {path: name for path, name in named.items() if name is not None}
    best = min(map(_kind, listed), default=0)
    return {path: name for path, name in listed.items() if _kind(path) == best}


def _listed(path: str, table: AttributeTable, stems: Mapping[str, str]) -> str | None:
    name = file_name(path)
    return name if name in table.values else stems.get(stem(path))


def _kind(path: str) -> int:
    """Gives 0 for img_align_celeba, 1 for its like (img_align_celeba_png), 2 for all else."""
    folders = path.split("/")[:-1]
    return 0 if _ALIGNED in folders else 1 if any(folder.startswith(_ALIGNED) for folder in folders) else 2


@dataclass
class _Reader:
    """Reads one record after the other, and remembers which rows are taken."""

    table: AttributeTable
    faces: Mapping[str, str]
    partition: Mapping[str, str] | None
    identity: Mapping[str, str]
    taken: dict[str, str] = field(default_factory=dict)

    def record(self, path: str) -> Record:
        name = self.faces[path]
        first = self.taken.setdefault(name, path)
        if first != path:
            raise RejectedError(f"has the same row as {first}")
        labels = _labels(self.table.values[name], self.table.names)
        return Record(path, labels, self.identity.get(name), split=self._split(name))

    def _split(self, name: str) -> int | None:
        if self.partition is None:
            return None
        part = self.partition.get(name)
        if part not in _SPLITS:
            found = "is in no partition" if part is None else f"is in partition {part!r}"
            raise RejectedError(f"{found}, expected 0 (train), 1 (validation) or 2 (test)")
        return _SPLITS[part]


def _labels(values: bytes | str, names: Sequence[str]) -> Mapping[str, LabelValue]:
    if isinstance(values, str):
        raise RejectedError(values)
    if "Male" not in names:
        return {"attributes": values}
    place = names.index("Male")
    return {"attributes": values, "gender": _GENDERS[values[place : place + 1]]}
