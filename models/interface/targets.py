"""What a user means by RUN|MODEL.pb|FILE.keras: a path exists or ends in a known suffix, else it is a run's name."""

from dataclasses import dataclass
from pathlib import Path

from hdf5_helper.errors import FacetError
from models.training.runs import Run, history_folder
from models.training.settings_file import load_settings

#: Suffixes of model files: a frozen graph, and what Keras opens.
SUFFIXES = (".pb", ".keras", ".h5")


@dataclass(frozen=True)
class Target:
    """A model somewhere on disk.

    Attributes:
        path: the `.pb`, `.keras` or `.h5` file; for a run, of one of its checkpoints.
        run: the run that it belongs to, None for a file by itself.
    """

    path: Path
    run: Run | None = None

    @property
    def is_frozen_graph(self) -> bool:
        """Says whether it is a `.pb`."""
        return self.path.suffix == ".pb"

    @property
    def data(self) -> Path | None:
        """The HDF5 file that the run was trained on, None for a file by itself; it may be gone."""
        return Path(load_settings(self.run.config).data) if self.run else None


def find_target(text: str, checkpoint: str = "best") -> Target:
    """Finds a model.

    Args:
        text: a run's name, its folder under the history, or the path of a model file.
        checkpoint: of a run: `best`, `last` or a checkpoint file.

    Raises:
        FacetError: no such file or run, a file that is no model, or a checkpoint asked of a file.
    """
    path = Path(text)
    if not path.is_file() and path.suffix not in SUFFIXES:
        run = Run.open(_run_name(path, text))
        return Target(run.checkpoint(checkpoint), run)
    if not path.is_file():
        raise FacetError(f"{text}: no such file, expected a model ({', '.join(SUFFIXES)}) or a run's name")
    if path.suffix not in SUFFIXES:
        raise FacetError(f"{text}: expected a model ({', '.join(SUFFIXES)}) or a run's name")
    if checkpoint != "best":
        raise FacetError(f"--checkpoint {checkpoint}: goes with a run, {text} is a file")
    return Target(path)


def _run_name(path: Path, text: str) -> str:
    """Gives the name of a run for its folder, as the shell's completion types it, and any other text as it is."""
    history = history_folder().resolve()
    inside = path.is_dir() and path.resolve() != history and path.resolve().is_relative_to(history)
    return path.resolve().relative_to(history).as_posix() if inside else text
