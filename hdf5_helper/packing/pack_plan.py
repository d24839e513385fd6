"""A pack that has been thought through but not begun, in words and numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdf5_helper.disk import free_bytes
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.plan import FilePlan
from hdf5_helper.packing.survey import Survey
from hdf5_helper.wording import bytes_text, count_text, counts_text


@dataclass(frozen=True)
class PackPlan:
    """A pack that has been thought through but not begun.

    Attributes:
        target: the file to write.
        survey: what goes into it.
        options: how.
        file: the layout it will have if no image is rejected.
    """

    target: Path
    survey: Survey
    options: PackOptions
    file: FilePlan

    def sentences(self) -> tuple[str, ...]:
        """What will be done, for the user."""
        counts = counts_text(self.survey.counts())
        ignored = f"; {count_text(self.survey.ignored, 'other file')} ignored" if self.survey.ignored else ""
        needed, free = self.file.needed_bytes, free_bytes(self.target)
        # bad images are known only when all have been read; leaving them out then takes a second file
        start, more = ("warning: ", ", and as much again if images turn out bad") if free < 2 * needed else ("", "")
        space = f"up to {bytes_text(needed)}{more}, {bytes_text(free)} free"
        return (
            *self.survey.sentences,
            f"{count_text(len(self.survey.rows), 'example')}: {counts} (split: {self.survey.split}){ignored}",
            f"{start}{self.target}: {self.options.storage} storage, {space}",
        )

    def summary(self) -> dict[str, Any]:
        """Gives the plan as JSON values."""
        survey = self.survey
        return {
            "path": str(self.target),
            "layout": survey.layout,
            "storage": self.options.storage,
            "split": survey.split,
            "examples": len(survey.rows),
            "splits": survey.counts(),
            "rejects": len(survey.rejects),
            "ignored": survey.ignored,
            "needed_bytes": self.file.needed_bytes,
            "free_bytes": free_bytes(self.target),
        }
