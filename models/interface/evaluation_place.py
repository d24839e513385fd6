"""Which data an evaluation reads, and where its figures go."""

from dataclasses import dataclass
from pathlib import Path

from hdf5_helper.reader import HDF5Reader

from hdf5_helper.errors import FacetError
from models.description import ModelDescription
from models.training.runs import Run
from models.training.settings import load_settings


@dataclass(frozen=True)
class EvaluationPlace:
    """The HDF5 file to read and the folder to write to."""

    data: Path
    folder: Path


def evaluation_place(target: str, data: Path | None, split: str, out: Path | None) -> EvaluationPlace:
    """Settles both.

    Args:
        target: a run's name, or the path of a model.
        data: as given, None for the run's own.
        split: names the folder together with the data: `evaluation/DATA-SPLIT`.
        out: as given, None for the run's folder, or `MODEL-evaluation` beside a model.
    """
    path = Path(target)
    is_file = path.is_file() or path.suffix in (".pb", ".keras", ".h5")
    if data is None:
        if is_file:
            raise FacetError(f"--data: none given, expected the packed HDF5 file to measure {target} on")
        data = Path(load_settings(Run.open(target).config).data)
    folder = path.with_name(f"{path.stem}-evaluation") if is_file else Run.open(target).folder / "evaluation"
    return EvaluationPlace(data, out or folder / f"{data.stem}-{split}")


def open_for(description: ModelDescription, data: Path) -> HDF5Reader:
    """Opens a packed file at the size and fit that a model wants."""
    size = description.image_size if all(description.image_size) else None
    return HDF5Reader(data, image_size=size, fit=description.fit)
