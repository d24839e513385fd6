"""A frozen graph as a file of one of the formats."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from models.export.frozen_graph import FrozenModel
from models.export.litert_model import to_litert
from models.export.onnx_model import to_onnx
from models.export.options import ExportOptions
from models.export.saved_model import write_saved_model


def write_format(frozen: FrozenModel, path: Path, options: ExportOptions, calibration: NDArray[Any] | None) -> Path:
    """Writes a graph.

    Args:
        frozen: the graph.
        path: where nothing is yet; a SavedModel becomes a folder there.
        options: of which format and weights.
        calibration: uint8 (n, H, W, 3), RGB, images to find the ranges of int8 on.

    Returns:
        The file that holds the graph: `path`, or the one inside the folder.

    Raises:
        FacetError: the format cannot hold the graph, or its packages are not installed.
        OSError: the file cannot be written.
    """
    if options.file_format == "saved_model":
        return write_saved_model(frozen, path)
    path.write_bytes(_bytes(frozen, options, calibration))
    return path


def _bytes(frozen: FrozenModel, options: ExportOptions, calibration: NDArray[Any] | None) -> bytes:
    if options.file_format == "onnx":
        return to_onnx(frozen)
    if options.file_format == "litert":
        fed = None if calibration is None else frozen.signature.input.prepare(calibration)
        return to_litert(frozen, quantization=options.quantization, calibration=fed)
    return frozen.data
