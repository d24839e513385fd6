"""The networks of the export matrix: real architectures whose heads have learnt from faces, narrow or at full width."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backbones import initialise
from models.description import ModelDescription
from models.heads import heads_for
from models.network import HeadShape, build_network
from models.preprocessing import Preprocessing

_CAFFE = Preprocessing("BGR", (103.939, 116.779, 123.68), 1.0)
_SLIM = Preprocessing("RGB", (127.5, 127.5, 127.5), 127.5)

#: Strength of the ridge regression that fits the heads, a share of the number of images: features of untrained
#: backbones follow one another closely, and an unregularised fit would blow float32's last digits up.
_RIDGE = 100.0


@dataclass(frozen=True)
class Subject:
    """One backbone of the matrix.

    Attributes:
        name: as its authors call it.
        build: gives the keras.Model from images to feature maps, for (side, narrow).
        preprocessing: what it wants to see.
    """

    name: str
    build: Callable[[int, bool], Any]
    preprocessing: Preprocessing


def _application(name: str, until: str = "", **narrow: Any) -> Callable[[int, bool], Any]:
    """Gives the builder of a Keras application; its narrow form has arguments `narrow` and ends at layer `until`."""

    def build(side: int, is_narrow: bool) -> Any:
        import keras

        arguments = narrow if is_narrow else {}
        if name.startswith(("MobileNetV3", "EfficientNetV2")):
            arguments = arguments | {"include_preprocessing": False}
        application = getattr(keras.applications, name)
        whole = application(include_top=False, weights=None, input_shape=(side, side, 3), **arguments)
        return keras.Model(whole.input, whole.get_layer(until).output) if is_narrow and until else whole

    return build


def _vgg(depths: tuple[int, ...]) -> Callable[[int, bool], Any]:
    """Gives the builder of a VGG network (Simonyan and Zisserman, 2014); the narrow form has an eighth of its width."""

    def build(side: int, is_narrow: bool) -> Any:
        import keras

        images = values = keras.Input((side, side, 3))
        for block, depth in enumerate(depths):
            for _ in range(depth):
                width = min(64 << block, 512) // (8 if is_narrow else 1)
                values = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(values)
            values = keras.layers.MaxPooling2D()(values)
        return keras.Model(images, values)

    return build


def _residual(*, groups: int, base: int) -> Callable[[int, bool], Any]:
    """Gives the builder of a residual network of bottleneck blocks (He et al., 2015; with groups Xie et al., 2017)."""

    def build(side: int, is_narrow: bool) -> Any:
        import keras

        widths = (base // 4, base // 2) if is_narrow else (base, 2 * base, 4 * base, 8 * base)
        depths = (1, 1) if is_narrow else (3, 4, 6, 3)
        images = keras.Input((side, side, 3))
        values = _normalised(keras.layers.Conv2D(64, 7, 2, padding="same", use_bias=False)(images))
        values = keras.layers.MaxPooling2D(3, 2, padding="same")(keras.layers.ReLU()(values))
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for number in range(depth):
                stride = 2 if stage and not number else 1
                values = _bottleneck(values, width, stride, groups)
        return keras.Model(images, values)

    return build


def _bottleneck(values: Any, width: int, stride: int, groups: int) -> Any:
    import keras

    out = width * (2 if groups > 1 else 4)
    shortcut = values
    if stride > 1 or values.shape[-1] != out:
        shortcut = _normalised(keras.layers.Conv2D(out, 1, stride, use_bias=False)(values))
    values = keras.layers.ReLU()(_normalised(keras.layers.Conv2D(width, 1, use_bias=False)(values)))
    values = keras.layers.Conv2D(width, 3, stride, padding="same", groups=groups, use_bias=False)(values)
    values = keras.layers.ReLU()(_normalised(values))
    values = _normalised(keras.layers.Conv2D(out, 1, use_bias=False)(values))
    return keras.layers.ReLU()(keras.layers.Add()([shortcut, values]))


def _normalised(values: Any) -> Any:
    import keras

    return keras.layers.BatchNormalization()(values)


SUBJECTS = (
    Subject("VGG16", _vgg((2, 2, 3, 3, 3)), _CAFFE),
    Subject("VGG19", _vgg((2, 2, 4, 4, 4)), _CAFFE),
    Subject("ResNet50", _residual(groups=1, base=64), _CAFFE),
    Subject("ResNeXt50", _residual(groups=32, base=128), _CAFFE),
    Subject("MobileNet", _application("MobileNet", alpha=0.25), _SLIM),
    Subject("MobileNetV2", _application("MobileNetV2", until="block_5_add", alpha=0.35), _SLIM),
    Subject("MobileNetV3Small", _application("MobileNetV3Small", until="expanded_conv_4_add", alpha=0.75), _SLIM),
    Subject("MobileNetV3Large", _application("MobileNetV3Large", until="expanded_conv_7_add", alpha=0.75), _SLIM),
    Subject("DenseNet121", _application("DenseNet121", until="conv3_block1_0_relu"), _SLIM),
    Subject("Xception", _application("Xception", until="block4_sepconv1_act"), _SLIM),
    Subject("EfficientNetV2B0", _application("EfficientNetV2B0", until="block4b_add"), _SLIM),
)


def learnt(
    subject: Subject, side: int, faces: NDArray[np.uint8], targets: dict[str, NDArray[Any]], *, narrow: bool = False
) -> tuple[Any, ModelDescription]:
    """Gives a model of age and gender whose estimates depend on the faces, without a training.

    The backbone's kernels are drawn, its BatchNormalization takes the statistics of the faces, and the heads are fitted
    by ridge regression on its features.

    Args:
        subject: which backbone.
        side: of the images, in pixels.
        faces: uint8 (n, side, side, 3), RGB, at least 32.
        targets: `age` in years and `gender` 0 or 1, (n,).
        narrow: the narrow form.
    """
    import keras

    base = subject.build(side, narrow)
    initialise(base, 1, keras.initializers.HeNormal())
    heads = heads_for(("age", "gender"))
    model = build_network(base, subject.preprocessing, heads, HeadShape("average", (), 0.0), 1)
    _take_statistics(base, model.get_layer("preprocess")(faces[:32].astype(np.float32)))
    features = keras.Model(model.inputs, model.get_layer("features").output)
    found = np.concatenate([np.asarray(features(part.astype(np.float32), training=False)) for part in _parts(faces)])
    for head in heads:
        values = np.asarray(targets[head.label], np.float64)
        wanted_scores = values if head.label == "age" else 6.0 * values - 3.0
        model.get_layer(head.scores_layer).set_weights(_ridge(found, wanted_scores))
    return model, ModelDescription(
        outputs=tuple(head.output for head in heads),
        image_size=(side, side),
        preprocessing=subject.preprocessing,
        backbone=subject.name,
    )


def _parts(faces: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [faces[first : first + 16] for first in range(0, len(faces), 16)]


def _take_statistics(base: Any, images: Any) -> None:
    """Gives every BatchNormalization of a backbone the mean and variance of these images."""
    import keras

    found = [layer for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in found:
        layer.trainable, layer.momentum = True, 0.0
    base(images, training=True)
    for layer in found:
        layer.trainable, layer.momentum = False, 0.99


def _ridge(features: NDArray[np.float32], values: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    """Gives kernel (k, 1) and bias (1,) of the ridge regression of values on features, both centred."""
    centre, mean = features.mean(axis=0, dtype=np.float64), values.mean()
    centred = features - centre
    scale = centred.std() or 1.0
    scaled = centred / scale
    gram = scaled @ scaled.T + _RIDGE * len(values) * np.eye(len(values))
    kernel = scaled.T @ np.linalg.solve(gram, values - mean) / scale
    return [kernel.reshape(-1, 1).astype(np.float32), np.array([mean - centre @ kernel], np.float32)]
