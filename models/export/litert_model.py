"""A frozen graph as a LiteRT (TensorFlow Lite) model: float32, float16 or int8 weights, float32 values in and out."""

import tempfile
from typing import Any

from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean
from models.export.frozen_graph import FrozenModel
from models.export.saved_model import SIGNATURE, write_saved_model

#: How weights are stored: as they are, in half the bytes, or in a quarter with integer arithmetic inside.
QUANTIZATIONS = ("none", "float16", "int8")


def to_litert(frozen: FrozenModel, *, quantization: str = "none", calibration: NDArray[Any] | None = None) -> bytes:
    """Converts a graph to a `.tflite` of builtin operations, the same bytes for the same arguments.

    The model's signature `serving_default` has the graph's input and output names and an open batch. `float16`
    computes in float32 with rounded weights. `int8` computes in integers, with a scale for each channel of a weight
    and the ranges of values seen in `calibration`; operations that LiteRT has for floats alone stay in float32.

    Args:
        frozen: a graph with its signature.
        quantization: one of QUANTIZATIONS.
        calibration: (n, H, W, 3) of what the graph's input takes, a few hundred typical images; for `int8` alone.

    Returns:
        The contents of the file.

    Raises:
        FacetError: another quantization, no images to calibrate on, or a graph that LiteRT has no operations for.
    """
    if quantization not in QUANTIZATIONS:
        raise FacetError(f"quantization {quantization!r}: {did_you_mean(quantization, QUANTIZATIONS)}")
    images = _calibration_images(frozen, calibration) if quantization == "int8" else None
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(frozen, folder)
        return _converted(folder, quantization, images)


def _calibration_images(frozen: FrozenModel, images: NDArray[Any] | None) -> NDArray[Any]:
    if images is None or not len(images):
        raise FacetError("quantization int8: no images to calibrate on, expected some of the kind the model will see")
    graph_input = frozen.signature.input
    if (images.shape[1:], str(images.dtype)) != (graph_input.shape[1:], graph_input.dtype):
        sizes = ", ".join(map(str, graph_input.shape[1:]))
        raise FacetError(
            f"quantization int8: {images.dtype} images of shape {images.shape} to calibrate on,"
            f" expected {graph_input.dtype} (any number, {sizes})"
        )
    return images


def _converted(folder: str, quantization: str, images: NDArray[Any] | None) -> bytes:
    import tensorflow as tf

    try:
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        if quantization != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if images is not None:
            converter.representative_dataset = lambda: ([image[None]] for image in images)
        return bytes(converter.convert())
    except Exception as error:  # the converter raises errors of many kinds, some of them bare Exception
        reason = " ".join(str(error).split())[:160]
        raise FacetError(f"LiteRT: its converter refused the graph ({reason}), expected builtin operations") from error
