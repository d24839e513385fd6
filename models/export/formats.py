"""The file formats of an export, and how the names of their files end."""

from pathlib import Path, PurePath

from hdf5_helper.errors import FacetError, did_you_mean

#: Suffix by format; a SavedModel is a folder of any name.
SUFFIXES = {"pb": ".pb", "saved_model": "", "onnx": ".onnx", "litert": ".tflite"}

_BY_SUFFIX = {suffix: file_format for file_format, suffix in SUFFIXES.items()}


def format_of(path: Path) -> str:
    """Gives the format of a written file: `saved_model` for a folder, else by its suffix.

    Raises:
        FacetError: another suffix.
    """
    if path.is_dir():
        return "saved_model"
    if not path.suffix or path.suffix not in _BY_SUFFIX:
        raise FacetError(f"{path}: {_other_suffix(path.suffix)}, or a SavedModel's folder")
    return _BY_SUFFIX[path.suffix]


def file_format_for(name: str) -> str:
    """Gives the format that a file name asks for by its suffix; one without a suffix is a SavedModel's folder.

    Raises:
        FacetError: another suffix.
    """
    suffix = PurePath(name).suffix
    if suffix not in _BY_SUFFIX:
        raise FacetError(f"{name}: {_other_suffix(suffix)}, or --format saved_model for a folder")
    return _BY_SUFFIX[suffix]


def _other_suffix(suffix: str) -> str:
    return did_you_mean(suffix, [known for known in _BY_SUFFIX if known])
