"""The networks of the export matrix: real architectures whose heads have learnt from faces, narrow or at full width."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backbones.building import build_backbone, initialise
from models.backbones.registry import backbone_named
from models.description import ModelDescription
from models.heads.choosing import heads_for
from models.network import HeadShape, build_network
from models.preprocessing import Preprocessing

#: Strength of the ridge regression that fits the heads, a share of the number of images: features of untrained
#: backbones follow one another closely, and an unregularised fit would blow float32's last digits up.
_RIDGE = 100.0

#: Chooses the weights of all backbones.
_SEED = 1


@dataclass(frozen=True)
class Subject:
    """One backbone of the matrix.

    Attributes:
        name: as its authors call it.
        backbone: name in the registry.
        narrow: arguments of its narrow form.
        until: layer that the narrow form ends at, where it is not the last.
        depths: of a narrow VGG, whose builder in Keras has no width: convolutions in each block.
    """

    name: str
    backbone: str
    narrow: dict[str, Any] = field(default_factory=dict)
    until: str = ""
    depths: tuple[int, ...] = ()

    @property
    def preprocessing(self) -> Preprocessing:
        """What it wants to see."""
        return backbone_named(self.backbone).preprocessing

    def build(self, side: int, *, narrow: bool) -> Any:
        """Gives the keras.Model from images of `side` pixels to feature maps, with drawn weights."""
        import keras

        if narrow and self.depths:
            return _narrow_vgg(side, self.depths)
        base = build_backbone(self.backbone, (side, side), self.narrow if narrow else {}, _SEED)
        return keras.Model(base.input, base.get_layer(self.until).output) if narrow and self.until else base


def _narrow_vgg(side: int, depths: tuple[int, ...]) -> Any:
    """Gives a VGG network (Simonyan and Zisserman, 2014) of an eighth of its width."""
    import keras

    images = values = keras.Input((side, side, 3))
    for block, depth in enumerate(depths):
        for _ in range(depth):
            values = keras.layers.Conv2D(min(8 << block, 64), 3, padding="same", activation="relu")(values)
        values = keras.layers.MaxPooling2D()(values)
    base = keras.Model(images, values)
    initialise(base, _SEED, keras.initializers.HeNormal())
    return base


SUBJECTS = (
    Subject("VGG16", "vgg16", depths=(2, 2, 3, 3, 3)),
    Subject("VGG19", "vgg19", depths=(2, 2, 4, 4, 4)),
    Subject("ResNet50", "resnet50", until="conv3_block1_out"),
    Subject("ResNeXt50", "resnext50", {"width": 0.5, "blocks": (1, 1)}),
    Subject("MobileNet", "mobilenet", {"alpha": 0.25}),
    Subject("MobileNetV2", "mobilenet_v2", {"alpha": 0.35}, "block_5_add"),
    Subject("MobileNetV3Small", "mobilenet_v3_small", {"alpha": 0.75}, "expanded_conv_4_add"),
    Subject("MobileNetV3Large", "mobilenet_v3_large", {"alpha": 0.75}, "expanded_conv_7_add"),
    Subject("DenseNet121", "densenet121", until="conv3_block1_0_relu"),
    Subject("Xception", "xception", until="block4_sepconv1_act"),
    Subject("EfficientNetV2B0", "efficientnetv2b0", until="block4b_add"),
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

    base = subject.build(side, narrow=narrow)
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
