"""One face for all models: a run, a `.keras`, a Keras `.h5` or a `.pb` predicts labels for images."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.description import ModelDescription
from models.interface.targets import Target, find_target


class Predictor(Protocol):
    """Anything that predicts.

    Attributes:
        description: labels, image size and fit.
        source: the model file's name.
    """

    description: ModelDescription
    source: str

    def predict(self, images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Gives the model's values for images.

        Args:
            images: uint8 or float32 (B, H, W, 3), RGB 0–255, of the description's size.

        Returns:
            float32 (B, k) by label, in the description's order.
        """


class KerasPredictor:
    """Predicts with a Keras model, in float32.

    Args:
        model: keras.Model on float32 RGB 0–255 (N, H, W, 3).
        description: of it.
        source: the model file's name.
    """

    def __init__(self, model: Any, description: ModelDescription, source: str) -> None:
        import tensorflow as tf

        from models.export.frozen_graph import by_label, computing_in_float32

        self.description, self.source = description, source
        shape = tf.TensorSpec((None, *(side or None for side in description.image_size), 3), tf.float32)
        with computing_in_float32(model):
            self._run = tf.function(
                lambda images: by_label(model(images, training=False), description), autograph=False
            ).get_concrete_function(shape)

    def predict(self, images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Gives float32 (B, k) by label; see Predictor."""
        import tensorflow as tf

        values = self._run(tf.constant(np.asarray(images, np.float32)))
        return {label: np.asarray(value, np.float32).reshape(len(value), -1) for label, value in values.items()}


class GraphPredictor:
    """Predicts with a frozen graph alone.

    Args:
        graph: what `models.export.load_frozen_graph` gives.
        source: the file's name.
    """

    def __init__(self, graph: Any, source: str) -> None:
        self.description: ModelDescription = graph.description
        self.source = source
        self._graph = graph
        self._labels = {output.name: output.output.label for output in graph.signature.outputs}

    def predict(self, images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Gives float32 (B, k) by label; see Predictor."""
        return {self._labels[name]: values for name, values in self._graph(images).items()}


def load_predictor(target: str | Target, checkpoint: str = "best") -> Predictor:
    """Loads a model for prediction.

    Args:
        target: a run's name, the path of a `.pb`, `.keras` or `.h5` file, or what `find_target` gave for it.
        checkpoint: of a run named by text: `best`, `last` or a checkpoint file.

    Raises:
        FacetError: no such model, or one that cannot be loaded.
    """
    found = find_target(target, checkpoint) if isinstance(target, str) else target
    if found.is_frozen_graph:
        from models.export import load_frozen_graph

        return GraphPredictor(load_frozen_graph(found.path), found.path.name)
    from models.model_file import load_model_file

    model, description = load_model_file(found.path)
    return KerasPredictor(model, description, found.path.name)
