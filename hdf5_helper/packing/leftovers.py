"""What lies beside a file while it is packed, and whether an interrupted pack is the one that is asked for now.

A file FILE.h5 has three hidden neighbours then: `.FILE.part.h5`, laid out and filled; `.FILE.part.journal`, which says
what is in it; and, where images turn out to be bad, `.FILE.part.kept.h5`, to which the good ones are copied.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from hdf5_helper.atomic import beside
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.copying import is_copied
from hdf5_helper.packing.executors import WorkersLostError
from hdf5_helper.packing.journal import Journal
from hdf5_helper.packing.pack_plan import PackPlan
from hdf5_helper.packing.rejects import rejects_path

#: Options that decide what lies where; the rest is in the digest of the rows.
_TOLD = ("storage", "image_size", "fit", "max_size", "split", "split_by", "fold", "fraction", "limit", "seed")


def part_path(target: Path) -> Path:
    """Gives the name of the unfinished file."""
    return beside(target)


def journal_path(target: Path) -> Path:
    """Gives the name of the journal; a.h5, a.hdf5 and a are three files, with three of them."""
    return target.with_name(f".{target.stem}.part.journal" if target.suffix == ".h5" else f".{target.name}.journal")


def kept_path(target: Path) -> Path:
    """Gives the name of the file without the bad images."""
    return target.with_name(f".{target.stem}.part.kept{target.suffix}")


def beginning(plan: PackPlan) -> dict[str, Any]:
    """Gives what a journal begins with, for JSON: the options, and a digest of everything that the survey saw."""
    digest = xxhash.xxh3_128()
    for name, column in sorted(plan.file.columns.items()):
        digest.update(
            f"{name} {column.values.dtype.str} {dict(column.attributes)!r}".encode("utf-8", "surrogateescape")
        )
        digest.update(np.ascontiguousarray(column.values).tobytes())
    rows = plan.survey.rows
    facts = ([row.size for row in rows], [row.mtime_ns for row in rows], [row.origin for row in rows])
    for values in (*facts, plan.file.borders):
        digest.update(np.array(values, np.int64).tobytes())
    digest.update(repr(sorted(plan.file.attributes.items())).encode("utf-8", "surrogateescape"))
    options = {name: getattr(plan.options, name) for name in _TOLD}
    told = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return {"options": told, "survey": digest.hexdigest()}


def refuse_other(target: Path, now: Mapping[str, Any], then: Mapping[str, Any]) -> None:
    """Refuses to go on with an interrupted pack of another tree or with other options."""
    if now == then:
        return
    was = then.get("options", {})
    changed = [
        f"--{name.replace('_', '-')} {was.get(name)}, now {value}"
        for name, value in now["options"].items()
        if was.get(name) != value
    ]
    found = "; ".join(changed) or "images or labels that have changed since, or by another version of Facet"
    raise FacetError(
        f"{target}: an interrupted pack of it was begun with {found};"
        " expected the same as then, or --overwrite to begin anew"
    )


def sweep(target: Path, journal: Journal) -> None:
    """Removes all that lies beside `target`; the journal goes last, since its lock guards the rest."""
    for path in (part_path(target), kept_path(target), beside(rejects_path(target))):
        path.unlink(missing_ok=True)
    journal.discard()


def sweep_if_done(target: Path) -> None:
    """Removes what a kill behind the very last step has left, unless somebody packs `target` now."""
    journal_file = journal_path(target)
    # an older target: its replacement was interrupted, and can go on
    if journal_file.exists() and journal_file.stat().st_mtime_ns <= target.stat().st_mtime_ns:
        with suppress(FacetError, OSError), closing(Journal(journal_file, target)) as journal:
            sweep(target, journal)


def _refuse_own_names(plan: PackPlan) -> None:
    """Refuses to pack images that lie where the pack writes."""
    target = plan.target
    own = (target, part_path(target), kept_path(target), rejects_path(target), beside(rejects_path(target)))
    written = {path.name for path in (*own, journal_path(target))}
    folder = os.path.realpath(target.parent)
    for row in plan.survey.rows:
        if row.record.path.rpartition("/")[2] in written:
            path = getattr(plan.survey.original(row), "path", None)
            if path is not None and os.path.realpath(Path(path).parent) == folder:
                raise FacetError(f"{path}: packing {target} would replace this image, expected another name to pack to")


@contextmanager
def held_journal(plan: PackPlan) -> Iterator[Journal]:
    """Gives the journal of a pack; a failure removes all that was begun, a kill or Ctrl-C leaves it to go on with.

    Raises:
        FacetError: another process packs the same file now, or has just done so; another pack of it was interrupted;
            or one of its images would be replaced.
    """
    target = plan.target
    _refuse_own_names(plan)
    beside(rejects_path(target)).exists()  # a name that is too long for the last file of all raises here and not then
    with closing(Journal(journal_path(target), target)) as journal:
        if target.exists() and not plan.options.overwrite:  # it did not when the survey began
            sweep(target, journal)
            raise FacetError(f"{target}: another process has packed it meanwhile, expected another name or --overwrite")
        if journal.head is not None and not plan.options.overwrite:
            refuse_other(target, beginning(plan), journal.head)
        try:
            yield journal
        except WorkersLostError as error:
            # copying is not noted
            then = "begins anew" if is_copied(plan.survey, plan.options) else "goes on where it stopped"
            raise FacetError(f"{error}; the same command {then}") from error
        except Exception:
            sweep(target, journal)
            raise
