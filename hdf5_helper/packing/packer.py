"""Packs a tree of labelled images into one sealed HDF5 file, whole or not at all.

Survey (records alone), layout (all offsets), payload (images by `pwrite`), rejects (survivors laid out anew), seal.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import written_whole
from hdf5_helper.disk import check_space, failures_as_sentences
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.pack_plan import PackPlan
from hdf5_helper.packing.plan import plan_file
from hdf5_helper.packing.rejects import rejects_path, sorted_rejects, write_rejects
from hdf5_helper.packing.survey import Survey, survey_source
from hdf5_helper.packing.write_packed import write_packed, write_seal
from hdf5_helper.progress import Progress, Say, Silent, no_words
from hdf5_helper.sources.records import Rejects
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
    bytes: int
    seconds: float
    images_digest: str
    index_digest: str

    def sentences(self) -> tuple[str, ...]:
        """What was done, for the user."""
        size = f"{bytes_text(self.bytes)} in {self.seconds:.1f} s"
        done = f"{self.path}: {count_text(self.examples, 'example')} ({counts_text(self.splits)}), {size}"
        if not self.rejects:
            return (done,)
        return done, f"{count_text(len(self.rejects), 'image')} left out, with reasons: {rejects_path(self.path)}"

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
    """Packs a source into `target`.

    Args:
        sources: exactly one folder, or manifest's CSV file.
        target: the file to write; replaced only if `options.overwrite`.
        options: see PackOptions.
        say: takes sentences about what was found and will be done.
        progress: watches the images go by.

    Raises:
        FacetError: nothing was written: no such source, nothing to pack, no space, an existing target.
    """
    plan = plan_pack(sources, target, options or PackOptions())
    for sentence in plan.sentences():
        say(sentence)
    return write_pack(plan, progress=progress)


def plan_pack(sources: Sequence[Path | str], target: Path | str, options: PackOptions) -> PackPlan:
    """Surveys the source and checks the target, without writing anything; raises as `pack` does."""
    if len(sources) != 1:
        raise FacetError(f"{len(sources)} sources: this version packs one into a file, expected exactly one")
    check_target(Path(target), overwrite=options.overwrite)
    return plan_survey(survey_source(Path(sources[0]), options), Path(target), options)


def plan_survey(survey: Survey, target: Path, options: PackOptions) -> PackPlan:
    """Gives the plan for what is already surveyed, if there is space for it."""
    plan = PackPlan(target, survey, options, plan_file(survey.rows, survey, options))
    check_space(plan.file.needed_bytes, target)
    return plan


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuses a target that exists (unless `overwrite`), is a folder, or has no folder to be in."""
    if not target.parent.is_dir():
        raise FacetError(f"{target}: no such folder as {target.parent}, expected an existing one")
    if target.is_dir():
        raise FacetError(f"{target}: is a folder, expected the name of a file to write")
    if target.exists() and not overwrite:
        raise FacetError(f"{target}: exists already, expected a new name or --overwrite")


def write_pack(plan: PackPlan, *, progress: Progress | None = None) -> PackReport:
    """Writes what was planned, and the list of rejects beside it; see `pack`."""
    started, target, watcher = time.monotonic(), plan.target, progress or Silent()
    with failures_as_sentences(target), written_whole(target) as part:
        rows, bad = write_packed(part, plan, watcher)
        watcher.start("sealing", 1)
        sealed = write_seal(part)
        watcher.advance(1)
        watcher.stop()
    rejects = sorted_rejects((*plan.survey.rejects, *bad))
    # the list belongs to the file, so it is there only when the file is
    with failures_as_sentences(rejects_path(target)):
        write_rejects(target, rejects)
    done = replace(plan.survey, rows=rows, rejects=rejects)
    return PackReport(
        path=target,
        layout=done.layout,
        storage=plan.options.storage,
        examples=len(rows),
        splits=done.counts(),
        labels=tuple(sorted({label for row in rows for label in row.record.labels})),
        rejects=rejects,
        ignored=done.ignored,
        bytes=sealed.file_size,
        seconds=time.monotonic() - started,
        images_digest=sealed.images_digest.hex(),
        index_digest=sealed.index_digest.hex(),
    )
