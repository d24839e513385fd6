"""Figures of each epoch as TensorBoard reads them, written with plain TensorFlow: the package is for looking alone.

`tf.summary.scalar` wants the package `tensorboard`; an event file is a TFRecord of Event messages, which need none.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.training.observers import figures_of

#: Columns that are no loss or metric and worth a chart.
_CHARTED = ("learning_rate", "images_per_second")

#: The first record of an event file names its version (TensorFlow, core/util/events_writer.h).
_VERSION = "brain.Event:2"


class TensorBoard:
    """A tracker: training figures under `train/`, validation figures of the same names under `validation/`.

    TensorBoard draws the two in one chart. The x axis is epochs over all phases. A folder that holds an earlier part of
    the run is gone on with: each epoch is in it once.

    Args:
        folder: made where it is missing.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        self._writers: dict[str, Any] = {}

    def begin(self, run: str, settings: dict[str, Any]) -> None:
        """Does nothing: where to go on is known with the first row."""

    def log(self, row: dict[str, Any]) -> None:
        """Writes one epoch, which is on the disk afterwards."""
        epoch = row["total_epochs"]
        if not self._writers:
            self._writers = {part: _going_on(self._folder / part, epoch) for part in ("train", "validation")}
        figures = figures_of({name: value for name, value in row.items() if name != "total_epochs"})
        measured = {name.removeprefix("val_"): v for name, v in figures.items() if name.startswith("val_")}
        trained = {name: value for name, value in figures.items() if not name.startswith("val_")}
        trained |= {name: row[name] for name in _CHARTED if name in row}
        _write(self._writers["train"], trained, epoch)
        _write(self._writers["validation"], measured, epoch)

    def end(self, status: str) -> None:  # noqa: ARG002  # files do not say how it went
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _write(writer: Any, figures: dict[str, float], epoch: int) -> None:
    import tensorflow as tf

    values = [tf.compat.v1.Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
    if values:
        event = tf.compat.v1.Event(wall_time=time.time(), step=epoch, summary=tf.compat.v1.Summary(value=values))
        writer.write(event.SerializeToString())
        writer.flush()


def _going_on(folder: Path, epoch: int) -> Any:
    """Gives a writer on a new file that holds the folder's earlier epochs, once each; the earlier files go."""
    import tensorflow as tf

    folder.mkdir(parents=True, exist_ok=True)
    before = sorted(folder.glob("events.out.tfevents.*.facet"))
    kept = {event.step: event for path in before for event in _events(path) if event.step < epoch}
    # later than every name there is: TensorBoard reads a folder's files in the order of their names
    stamp = max([int(time.time()), *(int(path.name.split(".")[3]) + 1 for path in before)])
    writer = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{stamp:010d}.facet"))
    writer.write(tf.compat.v1.Event(wall_time=time.time(), file_version=_VERSION).SerializeToString())
    for step in sorted(kept):
        writer.write(kept[step].SerializeToString())
    writer.flush()
    for path in before:
        path.unlink()
    return writer


def _events(path: Path) -> Iterator[Any]:
    """Gives the epochs of a file; one that a kill has cut short is read up to there."""
    import tensorflow as tf

    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if event.HasField("summary"):
                yield event
    except tf.errors.DataLossError:
        return
