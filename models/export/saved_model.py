"""A frozen graph as a SavedModel: the same operations under a signature, for TensorFlow Serving and its relatives."""

from pathlib import Path
from typing import Any

from hdf5_helper.atomic import folder_made, write_bytes
from models.export.frozen_graph import FrozenModel

#: What loaders ask for by default: tf.saved_model.SERVING, the signature's name, and the method of a plain prediction.
TAG, SIGNATURE, METHOD = "serve", "serving_default", "tensorflow/serving/predict"

#: The one file in the folder: with constants inside the graph, no loader looks for a folder of variables.
FILE_NAME = "saved_model.pb"


def write_saved_model(frozen: FrozenModel, folder: str | Path) -> Path:
    """Writes `FOLDER/saved_model.pb`, the same bytes for the same graph.

    It is of TensorFlow 1's kind, a graph with a signature and no functions: TensorFlow 1 and 2, their C libraries,
    TensorFlow Serving and the LiteRT converter read it.

    Args:
        frozen: a graph with its signature.
        folder: made if it is not there; a `saved_model.pb` in it is replaced.

    Returns:
        Path of the file.

    Raises:
        OSError: the place cannot be written.
    """
    path = Path(folder) / FILE_NAME
    with folder_made(path.parent):
        write_bytes(path, _saved_model(frozen).SerializeToString(deterministic=True))
    return path


def _saved_model(frozen: FrozenModel) -> Any:
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta_graph = saved.meta_graphs.add()
    meta_graph.meta_info_def.tags.append(TAG)
    meta_graph.meta_info_def.stripped_default_attrs = True  # `freeze` leaves them out, for loaders older than they are
    meta_graph.meta_info_def.tensorflow_version = tf.__version__
    meta_graph.graph_def.ParseFromString(frozen.data)
    _sign(meta_graph, frozen)
    return saved


def _sign(meta_graph: Any, frozen: FrozenModel) -> None:
    """Fills in the signature: each tensor under its operation's name."""
    signature = meta_graph.signature_def[SIGNATURE]
    signature.method_name = METHOD
    image = frozen.signature.input
    _add_tensor(signature.inputs, image.name, image.shape, image.dtype)
    for output in frozen.signature.outputs:
        _add_tensor(signature.outputs, output.name, (None, output.width), "float32")


def _add_tensor(tensors: Any, name: str, shape: tuple[int | None, ...], dtype: str) -> None:
    import tensorflow as tf

    tensors[name].name = f"{name}:0"
    tensors[name].dtype = tf.as_dtype(dtype).as_datatype_enum
    tensors[name].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
