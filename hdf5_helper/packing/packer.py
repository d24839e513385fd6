"""Packs a tree of labelled images into one sealed HDF5 file, whole or not at all.

Survey (records alone), layout (all offsets), payload (images by `pwrite`), rejects (survivors laid out anew), seal.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import sync_file, sync_folder
from hdf5_helper.disk import check_space, failures_as_sentences, taken_bytes
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.executors import workers
from hdf5_helper.packing.leftovers import held_journal, part_path, sweep, sweep_if_done
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.pack_plan import PackPlan
from hdf5_helper.packing.plan import plan_file
from hdf5_helper.packing.rejects import rejects_path, sorted_rejects, write_rejects
from hdf5_helper.packing.sealing import write_seal
from hdf5_helper.packing.survey import Survey, survey_sources
from hdf5_helper.packing.write_packed import Unsealed, write_packed
from hdf5_helper.progress import Progress, Say, Silent, no_words
from hdf5_helper.sources.records import Rejects
from hdf5_helper.storage.seal import Seal
from hdf5_helper.wording import bytes_text, count_text, counts_text

__all__ = ["PackOptions", "PackPlan", "PackReport", "pack", "plan_pack", "write_pack"]


@dataclass(frozen=True)
class PackReport:
    """What a finished pack holds.

    Attributes:
        path: the file.
        layout: name of the source's layout.
        storage: `encoded` or `raw`.
        examples: number of rows.
        splits: rows of each split by name.
        labels: names of the labels.
        rejects: (path, reason) of images left out, in the order of paths.
        ignored: number of files that are no images.
        found: number of images that an interrupted pack had left.
        in_several_sources: number of images that are, byte for byte, in more than one source.
        bytes: size of the file.
        seconds: time taken.
        images_digest: hexadecimal; another label or split keeps it as long as the rows keep their order.
        index_digest: hexadecimal, over everything else.
    """

    path: Path
    layout: str
    storage: str
    examples: int
    splits: dict[str, int]
    labels: tuple[str, ...]
    rejects: Rejects
    ignored: int
    found: int
    in_several_sources: int
    bytes: int
    seconds: float
    images_digest: str
    index_digest: str

    def sentences(self) -> tuple[str, ...]:
        """What was done, for the user."""
        size = f"{bytes_text(self.bytes)} in {self.seconds:.1f} s"
        done = f"{self.path}: {count_text(self.examples, 'example')} ({counts_text(self.splits)}), {size}"
        told = [done]
        if self.found:
            told.append(f"{count_text(self.found, 'image')} had been packed before the interruption")
        if self.in_several_sources:
            copies = count_text(self.in_several_sources, "image is", "images are")
            told.append(f"warning: {copies} byte for byte in more than one source; all copies are kept")
        if self.rejects:
            told.append(f"{count_text(len(self.rejects), 'image')} left out, with reasons: {rejects_path(self.path)}")
        return tuple(told)

    def summary(self) -> dict[str, Any]:
        """Gives the report as JSON values."""
        rejects = {"rejects": len(self.rejects), "rejects_file": str(rejects_path(self.path)) if self.rejects else None}
        return {**asdict(self), "path": str(self.path), **rejects}


def pack(
    sources: Sequence[Path | str],
    target: Path | str,
    options: PackOptions | None = None,
    *,
    say: Say = no_words,
    progress: Progress | None = None,
) -> PackReport:
    """Packs sources into `target`; where the same pack was interrupted, it goes on.

    Args:
        sources: folders, or CSV files of manifests, at least one.
        target: the file to write; replaced only if `options.overwrite`.
        options: see PackOptions.
        say: takes sentences about what was found and will be done.
        progress: watches the images go by.

    Raises:
        FacetError: nothing was written: no such source, nothing to pack, no space, an existing target.
    """
    plan = plan_pack(sources, target, options or PackOptions(), progress=progress)
    for sentence in plan.sentences():
        say(sentence)
    return write_pack(plan, progress=progress)


def plan_pack(
    sources: Sequence[Path | str], target: Path | str, options: PackOptions, *, progress: Progress | None = None
) -> PackPlan:
    """Surveys the sources and checks the target, without writing anything; raises as `pack` does."""
    if not sources:
        raise FacetError("no source: expected a folder of labelled images, or the CSV file of a manifest")
    check_target(Path(target), overwrite=options.overwrite)
    survey = survey_sources([Path(source) for source in sources], options, progress or Silent())
    return plan_survey(survey, Path(target), options)


def plan_survey(survey: Survey, target: Path, options: PackOptions) -> PackPlan:
    """Gives the plan for what is already surveyed, if there is space for it."""
    plan = PackPlan(target, survey, options, plan_file(survey, options))
    check_space(plan.file.needed_bytes - taken_bytes(part_path(target)), target)
    return plan


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuses a target that exists (unless `overwrite`), is a folder, or has no folder to be in."""
    if not target.parent.is_dir():
        raise FacetError(f"{target}: no such folder as {target.parent}, expected an existing one")
    if target.is_dir():
        raise FacetError(f"{target}: is a folder, expected the name of a file to write")
    if target.exists() and not overwrite:
        sweep_if_done(target)
        raise FacetError(f"{target}: exists already, expected a new name or --overwrite")


def write_pack(plan: PackPlan, *, progress: Progress | None = None) -> PackReport:
    """Writes what was planned, and the list of rejects beside it; see `pack`."""
    started, watcher = time.monotonic(), progress or Silent()
    options, target = plan.options, plan.target
    with (
        workers(options.executor, options.workers) as hands,
        failures_as_sentences(target),
        held_journal(plan) as journal,
    ):
        unsealed = write_packed(plan, journal, hands, watcher)
        survey = replace(unsealed.survey, rejects=sorted_rejects((*plan.survey.rejects, *unsealed.bad)))
        watcher.start("sealing", 1)
        sealed = write_seal(unsealed.path)
        sync_file(unsealed.path)
        watcher.advance(1)
        watcher.stop()
        # the list belongs to the file, so a file is never without it
        write_rejects(target, survey.rejects)
        unsealed.path.replace(target)
        sync_folder(target.parent)
        sweep(target, journal)
    return _report(plan, replace(unsealed, survey=survey), sealed, time.monotonic() - started)


def _report(plan: PackPlan, done: Unsealed, sealed: Seal, seconds: float) -> PackReport:
    survey = done.survey
    return PackReport(
        path=plan.target,
        layout=survey.layout,
        storage=plan.options.storage,
        examples=len(survey.rows),
        splits=survey.counts(),
        labels=tuple(sorted({label for row in survey.rows for label in row.record.labels})),
        rejects=survey.rejects,
        ignored=survey.ignored,
        found=done.found,
        in_several_sources=_in_several(survey, done.checksums),
        bytes=sealed.file_size,
        seconds=seconds,
        images_digest=sealed.images_digest.hex(),
        index_digest=sealed.index_digest.hex(),
    )


def _in_several(survey: Survey, checksums: NDArray[np.uint64]) -> int:
    """Gives the number of different images that come from more than one source."""
    if len(survey.origins) == 1:
        return 0
    pairs = np.unique(np.stack([checksums, np.array([row.origin for row in survey.rows], np.uint64)], 1), axis=0)
    _images, sources = np.unique(pairs[:, 0], return_counts=True)
    return int((sources > 1).sum())
