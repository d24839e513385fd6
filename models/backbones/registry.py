"""Which backbones there are: how each is built, what it wants to see, how large it is and which stages it has."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from models.backbones import vgg_face
from models.backbones.resnext import resnext50
from models.preprocessing import Preprocessing

#: ImageNet means of the Caffe models, B, G, R on 0–255 (Simonyan and Zisserman, 2014); `keras.applications` mode caffe.
_CAFFE = Preprocessing("BGR", (103.939, 116.779, 123.68), 1.0)
#: x / 127.5 - 1 (TF-slim); `keras.applications` mode tf.
_SLIM = Preprocessing("RGB", (127.5, 127.5, 127.5), 127.5)
#: Mean and standard deviation of ImageNet on 0–1, times 255 (torchvision); `keras.applications` mode torch.
TORCHVISION = Preprocessing("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
#: x / 128 - 1; keras/src/applications/efficientnet_v2.py does so for S, M and L.
_EFFICIENT = Preprocessing("RGB", (128.0, 128.0, 128.0), 128.0)

_OUTSIDE = {"include_preprocessing": False}
#: EfficientNetV2 looks its blocks up by the model's name.
_BY_NAME = {**_OUTSIDE, "name": ""}


@dataclass(frozen=True)
class Backbone:
    """A pretrained convolutional body.

    Attributes:
        name: what users call it.
        application: name of the function in `keras.applications`; of the network, where `builder` builds it.
        keras_name: what the name of a model begins with that this function made.
        preprocessing: what its ImageNet (of `vggface`: face) weights want to see.
        size: side of the images that those were trained on, in pixels.
        parameters: of the network without its classifier, statistics of BatchNormalization too, at its default
            arguments; 0 where nobody counted.
        stages: names of `models.backbones.stages`, from below.
        smallest: smallest side of an image that it takes, in pixels.
        fixed: arguments that are always passed, such as what leaves the preprocessing outside; an empty `name` stands
            for `keras_name`.
        builder: function of ours that takes `input_shape`, `name` and arguments; None for a Keras application.
        weights_at: which public files hold its weights, where Keras has none.
    """

    name: str
    application: str
    keras_name: str
    preprocessing: Preprocessing
    size: int = 224
    parameters: int = 0
    stages: tuple[str, ...] = ()
    smallest: int = 32
    fixed: Mapping[str, Any] = field(default_factory=dict)
    builder: Callable[..., Any] | None = None
    weights_at: str = ""

    def build(self, weights: str | None, image_size: tuple[int, int], arguments: dict[str, Any], **more: Any) -> Any:
        """Gives the keras.Model without its classifier.

        Args:
            weights: `imagenet` or None.
            image_size: (height, width) in pixels.
            arguments: the user's, such as `{"alpha": 0.5}`.
            more: the model's `name`.

        Raises:
            TypeError, ValueError: arguments that the function does not take.
        """
        import keras

        given = {**more, "input_shape": (*image_size, 3), **self.fixed}
        if given.get("name") == "":
            given["name"] = self.keras_name
        if self.builder:
            return self.builder(**given, **arguments)
        application = getattr(keras.applications, self.application)
        return application(include_top=False, weights=weights, **given, **arguments)


def _numbered(word: str, first: int, last: int) -> tuple[str, ...]:
    return tuple(f"{word}{number}" for number in range(first, last + 1))


_BLOCKS, _CONVS = _numbered("block", 1, 5), _numbered("conv", 1, 5)
_V3_SMALL, _V3_LARGE = (("stem", *_numbered("block", 0, last), "top") for last in (10, 14))
_V2_B0 = ("stem", *_numbered("block", 1, 6), "top")

#: Those that are named, measured and tested; `backbone_named` knows Keras's others, too.
BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone("vgg16", "VGG16", "vgg16", _CAFFE, 224, 14_714_688, _BLOCKS),
        Backbone("vgg19", "VGG19", "vgg19", _CAFFE, 224, 20_024_384, _BLOCKS),
        Backbone(
            *("vggface", "VGG-Face", "vggface", vgg_face.PREPROCESSING, vgg_face.SIDE, 14_714_688, _CONVS),
            builder=vgg_face.vgg_face,
            weights_at="VGG_FACE.t7 (in vgg_face_torch.tar.gz), vgg_face.mat or VGG_FACE.caffemodel of"
            " https://www.robots.ox.ac.uk/~vgg/software/vgg_face/",
        ),
        Backbone("resnet50", "ResNet50", "resnet50", _CAFFE, 224, 23_587_712, _CONVS),
        Backbone(
            *("resnext50", "ResNeXt50", "resnext50", TORCHVISION, 224, 23_048_128, ("stem", *_numbered("layer", 1, 4))),
            builder=resnext50,
            weights_at="resnext50_32x4d-7cdf4587.pth of https://download.pytorch.org/models/",
        ),
        Backbone("mobilenet", "MobileNet", "mobilenet_", _SLIM, 224, 3_228_864, ("stem", *_numbered("block", 1, 13))),
        Backbone(
            *("mobilenet_v2", "MobileNetV2", "mobilenetv2_", _SLIM, 224, 2_257_984),
            ("stem", *_numbered("block", 0, 16), "top"),
        ),
        Backbone(
            *("mobilenet_v3_small", "MobileNetV3Small", "MobileNetV3Small", _SLIM, 224, 939_120, _V3_SMALL),
            fixed=_OUTSIDE,
        ),
        Backbone(
            *("mobilenet_v3_large", "MobileNetV3Large", "MobileNetV3Large", _SLIM, 224, 2_996_352, _V3_LARGE),
            fixed=_OUTSIDE,
        ),
        Backbone(
            *("efficientnetv2b0", "EfficientNetV2B0", "efficientnetv2-b0", TORCHVISION, 224, 5_919_312, _V2_B0),
            fixed=_BY_NAME,
        ),
        Backbone("densenet121", "DenseNet121", "densenet121", TORCHVISION, 224, 7_037_504, _CONVS),
        Backbone("xception", "Xception", "xception", _SLIM, 299, 20_861_480, _numbered("block", 1, 14), 71),
    )
}


def _others(names: str, keras_name: str, preprocessing: Preprocessing, *sizes: int, **more: Any) -> list[Backbone]:
    """Gives further applications.

    Args:
        names: such as `ResNet{101,152}`.
        keras_name: such as `resnet{}`, to be filled with the parts in braces.
        preprocessing: of all of them.
        sizes: side of the images that each was trained on, in pixels, the last one for the rest; by default 224.
        more: `smallest` and `fixed`.
    """
    begin, _, rest = names.partition("{")
    parts, _, end = rest.partition("}")
    found = []
    for number, part in enumerate(parts.split(",")):
        name, own = f"{begin}{part}{end}", keras_name.format(part.lower())
        size = sizes[min(number, len(sizes) - 1)] if sizes else 224
        found.append(Backbone(name, name, own, preprocessing, size, **more))
    return found


#: The rest of `keras.applications`.
_APPLICATIONS = (
    *_others("ResNet{101,152}", "resnet{}", _CAFFE),
    *_others("ResNet{50,101,152}V2", "resnet{}v2", _SLIM),
    *_others("DenseNet{169,201}", "densenet{}", TORCHVISION),
    *_others("Inception{V3}", "inception_{}", _SLIM, 299, smallest=75),
    *_others("InceptionResNet{V2}", "inception_resnet_{}", _SLIM, 299, smallest=75),
    *_others("NASNet{Mobile,Large}", "nasnet_{}", _SLIM, 224, 331),
    *_others("EfficientNetB{0,1,2,3,4,5,6,7}", "efficientnetb{}", TORCHVISION, 224, 240, 260, 300, 380, 456, 528, 600),
    *_others("EfficientNetV2{B1,B2,B3}", "efficientnetv2-{}", TORCHVISION, 240, 260, 300, fixed=_BY_NAME),
    *_others("EfficientNetV2{S,M,L}", "efficientnetv2-{}", _EFFICIENT, 384, 480, fixed=_BY_NAME),
    *_others("ConvNeXt{Tiny,Small,Base,Large,XLarge}", "convnext_{}", TORCHVISION, fixed=_OUTSIDE),
)

#: Every function of `keras.applications`, by its own name.
APPLICATIONS = {
    backbone.application: backbone for backbone in (*BACKBONES.values(), *_APPLICATIONS) if not backbone.builder
}


def backbone_named(name: str) -> Backbone:
    """Gives a backbone by its name here or in `keras.applications`; raises FacetError with the nearest for any other.

    `VGG19` is `vgg19`.
    """
    found = known_backbone(name)
    if found is None:
        raise FacetError(f"backbone {name!r}: {_nearest(name)}")
    return found


def known_backbone(name: str) -> Backbone | None:
    """Gives what `backbone_named` gives, or None for another name."""
    return BACKBONES.get(name) or APPLICATIONS.get(name)


def _nearest(name: str) -> str:
    names = {known.lower(): known for known in (*APPLICATIONS, *BACKBONES)}
    hint = did_you_mean(names.get(name.lower(), name), names.values()).partition(" (")[2]
    expected = f"expected one of {', '.join(sorted(BACKBONES))}, or a function of keras.applications"
    return f"{expected} ({hint}" if hint else expected


def made_by_keras(model: Any) -> Backbone | None:
    """Gives the backbone that a model is, which `keras.applications` or a builder of ours made under its own name.

    Its preprocessing is nothing (RGB 0–255) where the model has its own inside. None for any other model.

    Args:
        model: keras.Model.
    """
    import keras

    everything = (*APPLICATIONS.values(), *(backbone for backbone in BACKBONES.values() if backbone.builder))
    fitting = [backbone for backbone in everything if model.name.startswith(backbone.keras_name)]
    if not fitting:
        return None
    found = max(fitting, key=lambda backbone: len(backbone.keras_name))
    inside = (keras.layers.Rescaling, keras.layers.Normalization)
    has_own = any(isinstance(layer, inside) for layer in model.layers[:3])
    return dataclasses.replace(found, preprocessing=Preprocessing()) if has_own else found
