"""What is done to training images: one frozen value, and the texts of `--augment` that name it."""

import dataclasses
import math
from dataclasses import dataclass

from hdf5_helper.errors import FacetError, did_you_mean

#: What lies outside the image: its border pixels again, its mirror image, or black.
FILLS = ("nearest", "reflect", "constant")

# By field of `Augmentation`: the least value, the largest, and whether the largest itself is allowed.
_LIMITS = {
    "rotation": (0.0, 180.0, True),
    "zoom": (0.0, 1.0, False),
    "shift": (0.0, 1.0, True),
    "shear": (0.0, 90.0, False),
    "resize_crop": (0.0, 1.0, True),
    "brightness": (0.0, 1.0, True),
    "contrast": (0.0, 1.0, True),
    "saturation": (0.0, 1.0, True),
    "erasing": (0.0, 1.0, True),
    "mixup": (0.0, math.inf, False),
}


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image; without arguments nothing.

    Every number is drawn evenly from its range, for each image and epoch anew; `models.augmentation.applying` does it.

    Attributes:
        mirror: left to right, half of the images.
        crop: moved by whole pixels, so that the crop in the middle that a model begins with sees any window.
        rotation: degrees to either side, 0 to 180.
        zoom: share by which each axis on its own is made smaller or larger, as `zoom_range` of Keras, 0 to below 1.
        shift: share of height and width by which the image is moved to either side, 0 to 1.
        shear: degrees to either side, as `shear_range` of Keras, 0 to below 90.
        resize_crop: probability that the image is enlarged by 1.2375 and its middle taken, 0 to 1.
        fill: what comes from outside the image: `nearest` (its border pixels), `reflect` or `constant` (black).
        brightness, contrast, saturation: share to either side of 1 of the factors of a colour jitter, 0 to 1.
        erasing: probability that a rectangle is filled with noise, 0 to 1 (Zhong et al., "Random erasing data
            augmentation", AAAI 2020).
        mixup: alpha of the Beta distribution of the shares that two images, and their labels, are mixed by, 0 for
            never (Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018).

    Raises:
        FacetError: an impossible value.
    """

    mirror: bool = False
    crop: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    resize_crop: float = 0.0
    fill: str = "nearest"
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    erasing: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        """Refuses impossible values, each in one sentence."""
        for name, (least, largest, included) in _LIMITS.items():
            value = getattr(self, name)
            if not (least <= value < largest or (included and value == largest)):
                upper = f"{'' if included else 'below '}{largest:g}" if largest < math.inf else "any finite number"
                raise FacetError(f"augmentation {name} {value:g}: expected {least:g} to {upper}")
        if self.fill not in FILLS:
            raise FacetError(f"augmentation fill {self.fill!r}: {did_you_mean(self.fill, FILLS)}")


#: By the name that `--augment` takes. Names add up: `mirror,color` does both.
RECIPES = {
    "none": Augmentation(),
    "mirror": Augmentation(mirror=True),
    # as the age estimator on AFAD did it: `shear_range=0.15` of its Keras 2.3.1 is degrees, hardly anything
    "afad": Augmentation(mirror=True, rotation=20.0, zoom=0.15, shift=0.2, shear=0.15),
    # shorter side 256, any window of 224
    "crop-mirror": Augmentation(mirror=True, crop=True),
    # three views, of which one is 220×270 pixels cut to 178×218
    "resize-crop": Augmentation(mirror=True, resize_crop=1 / 3),
    "color": Augmentation(brightness=0.3, contrast=0.3, saturation=0.3),
    "erasing": Augmentation(erasing=0.5),
    "mixup": Augmentation(mixup=0.2),
    "strong": Augmentation(
        mirror=True,
        rotation=15.0,
        zoom=0.15,
        shift=0.1,
        shear=5.0,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        erasing=0.25,
    ),
}

_KINDS = {field.name: field.type for field in dataclasses.fields(Augmentation)}
_NOTHING = Augmentation()


def parse_augmentation(text: str) -> Augmentation:
    """Reads recipe names and `key=value`, separated by commas, such as `afad`, `mirror,rotation=20`, `afad,mixup=0.2`.

    Of several recipes the later one's values count, where it has any; keys are the fields of `Augmentation`.

    Raises:
        FacetError: an unknown name or key, or an impossible value.
    """
    values: dict[str, bool | float | str] = {}
    for part in (part.strip() for part in text.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if equals and key in _KINDS:
            values[key] = _typed(key, value)
        elif not equals and key in RECIPES:
            values |= _values(RECIPES[key])
        else:
            choices = [*([] if equals else RECIPES), *(f"{name}=" for name in _KINDS)]
            raise FacetError(f"augmentation {part!r}: {did_you_mean(f'{key}{equals}', choices)}")
    return dataclasses.replace(_NOTHING, **values)  # type: ignore[arg-type]


def _values(augmentation: Augmentation) -> dict[str, bool | float | str]:
    """Gives what a recipe does, by field."""
    own = dataclasses.asdict(augmentation)
    return {name: value for name, value in own.items() if value != getattr(_NOTHING, name)}


def _typed(key: str, value: str) -> bool | float | str:
    """Reads a value as its field's type."""
    if _KINDS[key] is str:
        return value
    if _KINDS[key] is bool:
        if value not in ("true", "false"):
            raise FacetError(f"augmentation {key} {value!r}: expected true or false")
        return value == "true"
    try:
        return float(value)
    except ValueError:
        raise FacetError(f"augmentation {key} {value!r}: expected a number") from None
