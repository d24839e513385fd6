"""Batches of images in drawn views, for a training whose activations there is no room to keep."""

from collections.abc import Iterator

from hdf5_helper.reading.threads import ahead
from models.training.activations.views import Views
from models.training.feeding import Batch, TrainingFeed


class ViewFeed:
    """The batches of a training feed, each image in the view that it has in the epoch.

    Attributes:
        steps, batch_size: batches of an epoch, rows of each over all workers.

    Args:
        feed: whose rows, labels and images.
        views: which one an example has in an epoch.
    """

    def __init__(self, feed: TrainingFeed, views: Views) -> None:
        self._feed, self._views = feed, views
        self.steps, self.batch_size = feed.steps, feed.batch_size

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Gives the batches of an epoch (from 1), from step `first` (from 0) on, two ahead."""
        return ahead(lambda step: self._batch(epoch, step), range(first, self.steps))

    def _batch(self, epoch: int, step: int) -> Batch:
        rows = self._feed.indices(epoch, step)
        images = self._views.pixels(self._feed.pixels(rows), self._views.of(epoch, rows), rows)
        return self._feed.labelled(epoch, step, images)
