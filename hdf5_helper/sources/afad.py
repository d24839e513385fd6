"""AFAD's tree: AGE/111/* are men, AGE/112/* are women."""

from hdf5_helper.labels import AFAD_GENDERS
from hdf5_helper.options import SourceOptions
from hdf5_helper.records import Listing, Record, RejectedError
from hdf5_helper.sources.collect import collect
from hdf5_helper.sources.values import age_labels, read_age
from hdf5_helper.tree import Tree


def recognise(tree: Tree) -> str | None:
    """Says what makes the tree AFAD's, or None."""
    codes = {parts[-2] for parts in map(_parts, tree.images) if len(parts) > 2 and parts[-3].isdecimal()}
    seen = sorted(codes & set(AFAD_GENDERS))
    return f"folders AGE/{' and AGE/'.join(seen)}" if seen else None


def read(tree: Tree, _options: SourceOptions) -> Listing:
    """Gives gender and age from the folders, and the subject from the file name before `-`, where there is one."""
    records, rejects = collect(tree, _record)
    return Listing("afad", records, rejects, tree.ignored)


def _parts(path: str) -> list[str]:
    return path.split("/")


def _record(path: str) -> Record:
    parts = _parts(path)
    if len(parts) < 3 or not parts[-3].isdecimal():
        raise RejectedError("lies in no folder AGE/111 or AGE/112")
    if parts[-2] not in AFAD_GENDERS:
        raise RejectedError(f"gender code {parts[-2]!r}: expected 111 (male) or 112 (female)")
    subject, dash, _rest = parts[-1].partition("-")
    labels = {"gender": AFAD_GENDERS[parts[-2]], **age_labels(read_age(parts[-3]))}
    return Record(path, labels, subject if dash and subject else None)
