"""VGG-Face, the face network of Parkhi et al. (2015, "Deep Face Recognition"): VGG16 with layer names of its own."""

from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from models.preprocessing import Preprocessing

#: Means of its training images, B, G, R on 0–255 (https://www.robots.ox.ac.uk/~vgg/software/vgg_face/).
PREPROCESSING = Preprocessing("BGR", (93.5940, 104.7624, 129.1863), 1.0)

#: The only side of an image that the fully connected layers take, in pixels.
SIDE = 224

#: Convolutions and width of each block (Simonyan and Zisserman, 2014, configuration D).
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_DENSE, _DENSE_WIDTH = ("fc6", "fc7"), 4096

_CONVOLUTIONS = tuple(
    (*(f"conv{block}_{number}" for number in range(1, depth + 1)), f"pool{block}")
    for block, (depth, _width) in enumerate(_BLOCKS, start=1)
)
OUTPUTS = (*(name for block in _CONVOLUTIONS for name in block), *_DENSE)


def vgg_face(
    *, input_shape: tuple[int, int, int], output: str = "pool5", width: float = 1.0, name: str = "vggface"
) -> Any:
    """Gives the network up to one of its layers; each convolution and fc layer has its ReLU inside.

    `fc8`, which names 2,622 persons, is a head's affair, and so is the dropout around the fully connected layers.

    Args:
        input_shape: (height, width, 3) in pixels.
        output: name of the last layer, `conv1_1` to `fc7`.
        width: multiplies the channels of every layer, for narrow forms.
        name: of the model.

    Returns:
        keras.Model, float32 (N, height, width, 3) to feature maps (N, h, w, channels), or to (N, 4096) for `fc6` and
        `fc7`.

    Raises:
        FacetError: an unknown layer, or a fully connected one for images of another size than 224×224.
    """
    import keras

    if output not in OUTPUTS:
        raise FacetError(f"vggface output {output!r}: {did_you_mean(output, OUTPUTS)}")
    if output in _DENSE and tuple(input_shape[:2]) != (SIDE, SIDE):
        found = f"{input_shape[0]}x{input_shape[1]}"
        raise FacetError(f"image size {found}: vggface with output {output} takes {SIDE}x{SIDE} alone")
    images = values = keras.Input(input_shape)
    for layer in _layers(width):
        values = layer(values)
        if layer.name == output:
            break
    return keras.Model(images, values, name=name)


def _layers(width: float) -> list[Any]:
    """Gives all layers from below."""
    from keras import layers

    found = []
    for names, (_depth, channels) in zip(_CONVOLUTIONS, _BLOCKS, strict=True):
        wide = _narrowed(channels, width)
        found += [layers.Conv2D(wide, 3, padding="same", activation="relu", name=name) for name in names[:-1]]
        found.append(layers.MaxPooling2D(name=names[-1]))
    dense = [layers.Dense(_narrowed(_DENSE_WIDTH, width), activation="relu", name=name) for name in _DENSE]
    return [*found, layers.Flatten(name="flatten"), *dense]


def _narrowed(channels: int, width: float) -> int:
    return max(1, round(channels * width))
