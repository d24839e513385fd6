"""Writes one planned file but for its seal: layout, images, index; it goes on where an interrupted pack stopped."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.disk import check_space
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.copying import copy_packed, find_damaged, is_copied
from hdf5_helper.packing.executors import Workers
from hdf5_helper.packing.filling import Filled, Filler
from hdf5_helper.packing.journal import Journal
from hdf5_helper.packing.laid_out import LaidOut, laid_out, places_in, reopened
from hdf5_helper.packing.leftovers import beginning, kept_path, part_path
from hdf5_helper.packing.pack_plan import PackPlan
from hdf5_helper.packing.plan import plan_file
from hdf5_helper.packing.rejects import nothing_left, sorted_rejects
from hdf5_helper.packing.relayout import CopiedImages, copy_images
from hdf5_helper.packing.survey import Survey
from hdf5_helper.progress import Progress
from hdf5_helper.sources.records import Rejects
from hdf5_helper.storage import file_format as names


@dataclass(frozen=True)
class Unsealed:
    """A file that lacks nothing but its seal.

    Attributes:
        path: where it lies, beside its final name.
        survey: of the rows that are in it.
        bad: (path, reason) of those whose images are bad.
        checksums: uint64 (N,), of the images.
        found: number of images that an interrupted pack had left.
    """

    path: Path
    survey: Survey
    bad: Rejects
    checksums: NDArray[np.uint64]
    found: int = 0


def write_packed(plan: PackPlan, journal: Journal, workers: Workers, progress: Progress) -> Unsealed:
    """Writes everything but the seal.

    Raises:
        FacetError: not one image is good, or there is no space to leave the bad ones out.
    """
    if is_copied(plan.survey, plan.options):
        return _write_copied(plan, journal, progress)
    survey, part, kept = plan.survey, part_path(plan.target), kept_path(plan.target)
    with _begun(plan, beginning(plan), journal) as file:
        filled = Filler(file, survey, plan.options.image_store(), journal).fill(workers, progress)
        bad = _bad(survey, filled.rejects)
        if not bad and _is_dense(file, filled):
            file.write_index(filled.facts)
            return Unsealed(part, survey, (), filled.facts[names.CHECKSUM], filled.found)
        left = survey.without(filled.rejects)
        checksums = _lay_out_anew(file, filled, left, plan, progress)
        return Unsealed(kept, left, bad, checksums, filled.found)


def _write_copied(plan: PackPlan, journal: Journal, progress: Progress) -> Unsealed:
    """Writes a file whose images are copied from packed files; what is damaged there is found first."""
    survey, now = plan.survey, beginning(plan)
    damaged = find_damaged(survey, progress)
    bad = _bad(survey, damaged)
    if damaged:
        survey = survey.without(damaged)
        plan = replace(plan, survey=survey, file=plan_file(survey, plan.options))
    with _begun(plan, now, journal) as file:
        checksums = copy_packed(file, survey, progress)
    return Unsealed(part_path(plan.target), survey, bad, checksums)


def _bad(survey: Survey, reasons: Mapping[int, str]) -> Rejects:
    """Gives (path, reason) of bad rows; refuses to go on where there are no others."""
    bad = sorted_rejects((survey.rows[row].record.path, reason) for row, reason in reasons.items())
    if len(bad) == len(survey.rows):
        raise FacetError(f"{survey.name}: {nothing_left(sorted_rejects((*survey.rejects, *bad)))}")
    return bad


@contextmanager
def _begun(plan: PackPlan, now: Mapping[str, Any], journal: Journal) -> Iterator[LaidOut]:
    """Gives the part file open: what an interrupted pack has left if it was the same, else a new one."""
    part = part_path(plan.target)
    places = places_in(part, plan.file) if journal.head == now else None
    if places is not None:
        with reopened(part, plan.file, places) as file:
            yield file
        return
    journal.forget()
    with laid_out(part, plan.file) as file:
        journal.begin(now)
        yield file


def _is_dense(file: LaidOut, filled: Filled) -> bool:
    """Says whether the images fill their rooms; those that --max-size made smaller do not."""
    lengths = filled.facts.get(names.ENCODED_LENGTH)
    return lengths is None or bool((lengths == np.diff(file.plan.starts)).all())


def _lay_out_anew(
    file: LaidOut, filled: Filled, kept: Survey, plan: PackPlan, progress: Progress
) -> NDArray[np.uint64]:
    """Writes the file of the rows of `kept` beside `file`, as if the others had never been there."""
    places = {(row.origin, row.record.path): number for number, row in enumerate(plan.survey.rows)}
    old = np.array([places[row.origin, row.record.path] for row in kept.rows], np.int64)
    facts = {name: values[old] for name, values in filled.facts.items()}
    lengths = facts[names.ENCODED_LENGTH].astype(np.int64) if names.ENCODED_LENGTH in facts else None
    smaller = plan_file(kept, plan.options, lengths)
    kept_path(plan.target).unlink(missing_ok=True)  # what a kill left there holds the space that is asked for
    check_space(smaller.needed_bytes, plan.target, "leaving bad images out, which takes a second copy,")
    with laid_out(kept_path(plan.target), smaller) as target:
        progress.start("leaving bad images out", len(old))
        files = [(file.handle, file.places[file.plan.image_name])]
        zeros = np.zeros(len(old), np.int64)
        copy_images(CopiedImages(files, zeros, file.plan.starts[old], np.diff(smaller.starts)), target, progress)
        progress.stop()
        target.write_index(facts)
    return facts[names.CHECKSUM]
