"""The files of a workload: one packed file for Facet, and the very same images in folders for its peers."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.job import made
from benchmarks.peers.schedule_job import CLASSES, ScheduleJob
from benchmarks.schedules.plan import Workload
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.packer import pack
from hdf5_helper.reading.reader import HDF5Reader
from models.weights import preprocessing_for, read_weights_file


@dataclass(frozen=True)
class Ready:
    """A workload whose files are there.

    Attributes:
        workload: of which.
        data: packed file.
        folder: the same images as files: a folder a split, in it one a class.
        weights: a Keras weights file, or `none`.
    """

    workload: Workload
    data: Path
    folder: Path
    weights: str

    def job(self, seed: int) -> ScheduleJob:
        """Gives what its peers are to train."""
        workload = self.workload.of_peers()
        file = None if self.weights == "none" else read_weights_file(Path(self.weights))
        kernel, bias = preprocessing_for(workload.backbone, file).kernel_and_bias()
        return ScheduleJob(
            folder=self.folder,
            data=self.data,
            backbone=workload.backbone,
            alpha=workload.alpha,
            weights=self.weights,
            colours=(kernel[0, 0].tolist(), bias.tolist()),
            side=workload.side,
            epochs=workload.epochs,
            batch=workload.batch,
            seed=seed,
        )


def ready(workload: Workload, tree: Path, weights: Path | None, folder: Path) -> Ready:
    """Makes a workload's files in `folder`, an existing one; what an earlier call has made is taken.

    Raises:
        FacetError: the tree cannot be packed.
    """
    data = folder / f"{workload.name}.h5"
    if not data.exists():
        pack([tree], data, PackOptions(limit=workload.limit, split=workload.split))
    images = made(folder / f"{workload.name}-images", lambda part: _write_images(part, data))
    return Ready(workload, data, images, str(weights) if workload.pretrained and weights else "none")


def _write_images(part: Path, data: Path) -> None:
    """Writes the stored files, each under its split and class; those of unknown gender are left out, as in training."""
    with HDF5Reader(data) as reader:
        labels, paths = reader.labels("gender"), reader.paths
        for split in reader.splits:
            for row in reader.split(split):
                if labels[row] >= len(CLASSES):
                    continue
                target = part / split / CLASSES[labels[row]] / f"{row:06d}{Path(paths[row]).suffix.lower()}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(reader.stored([row])[0])
