"""Goes through the images of a tree and sorts them into records and rejects."""

from collections.abc import Callable

from hdf5_helper.records import Record, RejectedError
from hdf5_helper.tree import Tree

Rejects = tuple[tuple[str, str], ...]


def collect(tree: Tree, read: Callable[[str], Record]) -> tuple[tuple[Record, ...], Rejects]:
    """Calls `read` with the path of every image; one for which it raises RejectedError is a reject."""
    records: list[Record] = []
    rejects: list[tuple[str, str]] = []
    for path in tree.images:
        try:
            records.append(read(path))
        except RejectedError as reason:
            rejects.append((path, str(reason)))
    return tuple(records), tuple(rejects)
