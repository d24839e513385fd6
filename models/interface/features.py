"""Embeddings: what a backbone makes of every image of a packed file, as vectors for other programs to learn from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.disk import check_space
from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.images.fit import Size
from hdf5_helper.progress import Progress, Say
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.reading.threads import ahead
from models.feature_file import FeatureTable, check_feature_path, write_feature_file
from models.interface.evaluation_place import check_split
from models.interface.feature_source import BackboneSource, SourceModel, find_source, images_of, load_source
from models.interface.targets import Target
from models.network import backbone_of

#: Images a block. It is fixed and the last one padded, since a batch's size can change the last digit.
BLOCK = 64

POOLINGS = ("average", "flatten")


@dataclass(frozen=True)
class FeatureRequest:
    """What the user asked for.

    Attributes:
        source: a run, a model file or a backbone, see `find_source`.
        data: the packed file.
        out: the file to write.
        weights, checkpoint, image_size, arguments: of the source, see `find_source`.
        layer: of the backbone, None for its last one.
        pooling: what makes a vector of a feature map: `average` over its places, or `flatten`.
        split: whose examples: `train`, `validation`, `test` or `all`.
        overwrite: a file under that name may go.
    """

    source: str
    data: Path
    out: Path
    weights: str | None = None
    checkpoint: str = "best"
    image_size: Size | None = None
    arguments: dict[str, Any] | None = None
    layer: str | None = None
    pooling: str = "average"
    split: str = "all"
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuses what is no choice."""
        if self.pooling not in POOLINGS:
            raise FacetError(f"--pooling {self.pooling!r}: {did_you_mean(self.pooling, POOLINGS)}")
        check_split(self.split)

    def find(self) -> Target | BackboneSource:
        """Finds the source and looks at both files; raises FacetError for what cannot be."""
        check_feature_path(self.out, self.data, overwrite=self.overwrite)
        HDF5Reader(self.data).close()
        return find_source(self.source, self.weights, self.checkpoint, self.image_size, self.arguments)


@dataclass(frozen=True)
class Extraction:
    """Everything ready to compute features.

    Attributes:
        out: the file to write.
        table: what goes into it beside the vectors.
        reader: images.
        extractor: keras.Model, float32 RGB 0–255 (N, H, W, 3) to (N, width).
    """

    out: Path
    table: FeatureTable
    reader: HDF5Reader
    extractor: Any

    def values(self) -> dict[str, Any]:
        """Gives the JSON form of what is written."""
        told = {name: list(v) if isinstance(v, tuple) else v for name, v in self.table.attributes.items()}
        shape = {"examples": len(self.table.rows), "width": self.table.width, "bytes": self.table.nbytes}
        return {"out": str(self.out), **shape, **told}

    def write(self, progress: Progress) -> None:
        """Computes the vectors and writes the file, whole or not at all.

        Raises:
            FacetError: a damaged image, vectors that are not finite, or a file that cannot be written.
        """
        write_feature_file(self.out, self.table, self._blocks(progress))

    def _blocks(self, progress: Progress) -> Iterator[NDArray[np.float32]]:
        rows, run = self.table.rows, _compiled(self.extractor)
        steps = -(-len(rows) // BLOCK)
        padded = np.concatenate([rows, np.repeat(rows[:1], steps * BLOCK - len(rows))])
        blocks = [padded[step * BLOCK : (step + 1) * BLOCK] for step in range(steps)]
        progress.start("computing features", len(rows))
        for number, images in enumerate(ahead(lambda block: images_of(self.reader, block), blocks)):
            vectors = run(images)[: len(rows) - number * BLOCK]
            if not np.isfinite(vectors).all():
                raise FacetError(f"{self.out}: the features of some images are not finite, expected other weights")
            yield vectors
            progress.advance(len(vectors))
        progress.stop()


@contextmanager
def open_extraction(request: FeatureRequest, source: Target | BackboneSource, say: Say) -> Iterator[Extraction]:
    """Loads the model, opens the data, and looks whether the file has room.

    Args:
        request: what the user asked for.
        source: what `request.find` has found.
        say: told of what is taken for granted.

    Raises:
        FacetError: what cannot be loaded, a layer that is not there, an empty split, or too little space.
    """
    found = load_source(source, request.data, say)
    with found.reader as reader:
        rows = np.arange(len(reader)) if request.split == "all" else reader.split(request.split)
        if not len(rows):
            raise FacetError(f"--split {request.split}: {reader.path} has no example there")
        extractor, layer = feature_model(found.model, request.layer, request.pooling)
        attributes = _attributes(request, found, extractor, layer)
        table = FeatureTable(request.data, rows, reader.split_numbers, int(extractor.output_shape[1]), attributes)
        check_space(table.nbytes, request.out.absolute(), "the features")
        yield Extraction(request.out, table, reader, extractor)


def feature_model(model: Any, layer: str | None = None, pooling: str = "average") -> tuple[Any, str]:
    """Gives the part of a model that makes vectors of images.

    Args:
        model: keras.Model with a backbone as a nested model, behind layers in a chain.
        layer: of the backbone, None for its last one.
        pooling: `average` or `flatten`, for a feature map.

    Returns:
        keras.Model on the same variables, images as `model` takes them to (N, width), and the layer's name.

    Raises:
        FacetError: no such layer, or one that gives neither feature maps nor vectors.
    """
    import keras

    base = backbone_of(model)
    inner, name = _inner(base, layer)
    images = keras.Input(model.input_shape[1:])
    seen = images
    for before in model.layers[1 : model.layers.index(base)]:  # preprocess, and crop where there is one
        seen = before(seen)
    features = inner(seen, training=False)
    if len(features.shape) == 4:
        pool = keras.layers.GlobalAveragePooling2D if pooling == "average" else keras.layers.Flatten
        features = pool()(features)
    return keras.Model(images, features), name


def _inner(base: Any, layer: str | None) -> tuple[Any, str]:
    """Gives the backbone up to a layer, and the layer's name."""
    import keras

    if layer is None:
        return base, str(base.layers[-1].name)
    names = [one.name for one in base.layers[1:]]
    if layer not in names:
        raise FacetError(f"--layer {layer}: the backbone does not have it, {did_you_mean(layer, names)}")
    output = base.get_layer(layer).output
    shape = getattr(output, "shape", ())
    if len(shape) not in (2, 4) or None in shape[1:]:
        raise FacetError(f"--layer {layer}: gives {tuple(shape)}, expected feature maps (N, h, w, c) or vectors (N, c)")
    return keras.Model(base.inputs, output), layer


def _attributes(request: FeatureRequest, found: SourceModel, extractor: Any, layer: str) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    description, reader = found.description, found.reader
    return {
        "data": reader.path.name,
        "images_digest": reader.images_digest,
        "index_digest": reader.index_digest,
        "split": request.split,
        "split_fold": -1 if reader.fold is None else reader.fold,
        "source": request.source,
        "backbone": description.backbone,
        "weights": found.weights,
        "weights_digest": variables_digest(extractor),
        "notes": " ".join(description.notes),
        "image_size": tuple(description.image_size),
        "fit": description.fit,
        "preprocessing": description.preprocessing.in_words(),
        "layer": layer,
        "pooling": request.pooling,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def variables_digest(model: Any) -> str:
    """Gives the XXH3-128 over the types, shapes and values of a model's variables in their order, hex."""
    digest = xxhash.xxh3_128()
    for values in map(np.ascontiguousarray, model.get_weights()):
        digest.update(f"{values.dtype.str} {values.shape}".encode())
        digest.update(values.data)
    return digest.hexdigest()


def _compiled(extractor: Any) -> Any:
    """Gives a function from uint8 (BLOCK, H, W, 3) to float32 (BLOCK, width)."""
    import tensorflow as tf

    from models.export.frozen_graph import computing_in_float32

    shape = tf.TensorSpec((BLOCK, *extractor.input_shape[1:]), tf.float32)
    with computing_in_float32(extractor):
        run = tf.function(lambda images: extractor(images, training=False), autograph=False).get_concrete_function(
            shape
        )
    return lambda images: run(tf.constant(np.asarray(images, np.float32))).numpy()
