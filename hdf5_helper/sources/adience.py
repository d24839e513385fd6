"""Adience: aligned/USER/landmark_aligned_face.* or faces/USER/coarse_tilt_aligned_face.*, and fold files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hdf5_helper.errors import FacetError
from hdf5_helper.sources.adience_folds import FaceRow, fold_files, read_rows
from hdf5_helper.sources.records import Listing, Record, RejectedError, collect
from hdf5_helper.sources.source_options import FACES, SourceOptions
from hdf5_helper.sources.tree import Tree
from hdf5_helper.wording import count_text

_FACE = re.compile(r"(?:.*/)?([^/]+)/(landmark|coarse_tilt)_aligned_face\.([^/]+)")
_USER = re.compile(r"\d+@N\d\d")
_KINDS = dict(zip(("landmark", "coarse_tilt"), FACES, strict=True))

#: Test on one fold, validate on another, train on the rest.
_LEAST_FOLDS = 3


def matching(tree: Tree) -> list[str]:
    """Gives the images that lie in a user's folder, such as 113984426@N05, and are named as Adience's faces."""
    found = ((path, _FACE.fullmatch(path)) for path in tree.images)
    return [path for path, face in found if face and _USER.fullmatch(face[1])]


def recognise(tree: Tree) -> str | None:
    """Says what makes the tree Adience's, or None: most images are its faces."""
    matches = matching(tree)
    if 2 * len(matches) <= len(tree.images):
        return None
    files = fold_files(tree)
    return f"faces of USER@N and {count_text(len(files), 'fold file')}"


def read(tree: Tree, options: SourceOptions) -> Listing:
    """Gives gender, age group, age where it is a single year, the user as the person, and the fold.

    Rows without an image, and images without a row, are counted, not listed.

    Raises:
        FacetError: there are no fold files, none of Adience's faces, or not the faces asked for.
    """
    files = fold_files(tree)
    if not files:
        raise FacetError(f"{tree.root}: has no fold_0_data.txt, expected Adience's fold files beside aligned or faces")
    kinds = _faces(tree)
    kind = _chosen(tree, kinds, options.faces)
    table = _Table.of(read_rows(tree.root, files))
    named = {path: face for path, face in kinds[kind].items() if face in table.rows}
    records, rejects = collect(named, _Reader(table, named).record)
    folds = {record.fold for record in records}
    sentences = (
        *table.sentences(files, kind, set(named.values())),
        *_left_out(kinds, kind, len(kinds[kind]) - len(named)),
        *(() if len(folds) >= _LEAST_FOLDS else (f"{count_text(len(folds), 'fold')}, too few for an official split",)),
    )
    ignored = len(tree.files) - len(files) - len(named)
    return Listing("adience", records, rejects, ignored, sentences, official=len(folds) >= _LEAST_FOLDS)


def _faces(tree: Tree) -> dict[str, dict[str, str]]:
    """Gives `USER/FACE.IMAGE` by path, for each kind of faces that is there."""
    kinds: dict[str, dict[str, str]] = {}
    for path in tree.images:
        if face := _FACE.fullmatch(path):
            kinds.setdefault(_KINDS[face[2]], {})[path] = f"{face[1]}/{face[3]}"
    return kinds


def _chosen(tree: Tree, kinds: Mapping[str, object], asked: str | None) -> str:
    found = [kind for kind in FACES if kind in kinds]
    if not found:
        raise FacetError(
            f"{tree.root}: has fold files and none of their faces, expected aligned/USER/landmark_aligned_face.*"
            " or faces/USER/coarse_tilt_aligned_face.*"
        )
    if asked is not None and asked not in found:
        raise FacetError(f"--faces {asked}: {tree.root} has none of these, expected {' or '.join(found)}")
    return asked or found[0]


@dataclass(frozen=True)
class _Table:
    """The rows by face.

    Attributes:
        rows: the first row of each face.
        count: number of all rows.
        disagreeing: faces of which a later row says something else.
    """

    rows: Mapping[str, FaceRow]
    count: int
    disagreeing: frozenset[str]

    @classmethod
    def of(cls, rows: Sequence[FaceRow]) -> "_Table":
        first: dict[str, FaceRow] = {}
        for row in rows:
            first.setdefault(row.face, row)
        return cls(first, len(rows), frozenset(row.face for row in rows if row != first[row.face]))

    def sentences(self, files: Mapping[int, str], kind: str, present: set[str]) -> tuple[str, ...]:
        missing, repeated = len(self.rows.keys() - present), self.count - len(self.rows)
        notes = [f"{missing:,} without an image" if missing else "", f"{repeated:,} repeated" if repeated else ""]
        said = "; ".join(filter(None, notes))
        head = f"{kind} faces; {count_text(self.count, 'row')} in {count_text(len(files), 'fold file')}"
        return (f"{head}: {said}" if said else head,)


@dataclass
class _Reader:
    """Reads one record after the other, and remembers where each face was."""

    table: _Table
    faces: Mapping[str, str]
    seen: dict[str, str] = field(default_factory=dict)

    def record(self, path: str) -> Record:
        face = self.faces[path]
        first = self.seen.setdefault(face, path)
        if first != path:
            raise RejectedError(f"is the same face as {first}")
        if face in self.table.disagreeing:
            raise RejectedError("has two rows in the fold files that disagree")
        row = self.table.rows[face]
        return Record(path, row.labels(), row.user, fold=row.fold)


def _left_out(kinds: Mapping[str, Mapping[str, str]], kind: str, without_row: int) -> tuple[str, ...]:
    others = [(other, len(faces)) for other, faces in kinds.items() if other != kind]
    return (
        *([f"{count_text(without_row, 'image')} without a row left out"] if without_row else ()),
        *(f"{count_text(count, f'{other} face')} left out, --faces {other} takes them" for other, count in others),
    )
