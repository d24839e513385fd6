"""Which data an evaluation reads, and where its figures go."""

from dataclasses import dataclass
from pathlib import Path

from hdf5_helper.errors import FacetError, did_you_mean
from models.interface.targets import Target

#: What `--split` names.
SPLITS = ("test", "validation", "train", "all")


def check_split(split: str) -> None:
    """Refuses anything but a split's name; raises FacetError with the nearest."""
    if split not in SPLITS:
        raise FacetError(f"--split {split!r}: {did_you_mean(split, SPLITS)}")


@dataclass(frozen=True)
class EvaluationPlace:
    """The HDF5 file to read and the folder to write to.

    Attributes:
        data: the file.
        folder: for figures.
    """

    data: Path
    folder: Path


def evaluation_place(target: Target, data: Path | None, split: str, out: Path | None) -> EvaluationPlace:
    """Settles both.

    Args:
        target: the model.
        data: as given, None for the run's own.
        split: names the folder together with the data: `evaluation/DATA-SPLIT`.
        out: as given, None for the run's folder, or `MODEL-evaluation` beside a model file.

    Raises:
        FacetError: no data is given or known, or it is not there.
    """
    given, data = data, data or target.data
    if data is None:
        raise FacetError(f"--data: none given, expected the packed HDF5 file to measure {target.path} on")
    if not data.is_file():
        name, hint = (f"--data {data}", "") if given else (f"the run's data {data}", " (--data FILE.h5 names it)")
        raise FacetError(f"{name}: no such file, expected a packed HDF5 file{hint}")
    beside = target.path.with_name(f"{target.path.stem}-evaluation")
    folder = target.run.folder / "evaluation" if target.run else beside
    return EvaluationPlace(data, out or folder / f"{data.stem}-{split}")
