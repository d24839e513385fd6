"""Where the pixels of an augmented image come from: one affine map an image for everything that moves pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.augmentation.draws import Draws
from models.augmentation.recipe import Augmentation

Floats = NDArray[np.float64]

#: Attributes on CelebA were trained on images that were brought from 178×218 to 220×270 pixels and cut to 178×218.
RESIZE_CROP = 1.2375

_BORDERS = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT, "constant": cv2.BORDER_CONSTANT}


def matrices(
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    indices: NDArray[np.int64],
    size: tuple[int, int],
    *,
    margin: tuple[int, int] = (0, 0),
) -> Floats:
    """Gives by example the map from a pixel (x, y, 1) of the result to the place (x, y) that it comes from.

    About the centre of the image it is rotation · shift · shear · zoom, in the order and with the matrices of Keras's
    `ImageDataGenerator`, then the enlargement, the mirror and the whole pixels of `crop`.

    Args:
        augmentation: what may happen.
        seed: of the run.
        epoch: from 1.
        indices: int64 (B,), example indices.
        size: (height, width) of the images in pixels.
        margin: pixels, (down, across), by which `crop` moves an image at most to either side.

    Returns:
        float64 (B, 2, 3), as `cv2.warpAffine` takes it with `cv2.WARP_INVERSE_MAP`; whole numbers without error where
        only `mirror` and `crop` are used.
    """
    draws = Draws(seed, epoch, indices)
    turned = _rotations(draws, augmentation.rotation)
    across, down = (draws.around(f"shift-{axis}", augmentation.shift) for axis in "xy")
    shifts = np.stack([across * size[1], down * size[0]], axis=-1)
    linear = turned @ _shears(draws, augmentation.shear) @ _scales(draws, augmentation)
    moved = (turned @ shifts[..., None])[..., 0]
    if augmentation.crop:
        moved += np.stack([_steps(draws, "crop-x", margin[1]), _steps(draws, "crop-y", margin[0])], axis=-1)
    centre = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    return np.concatenate([linear, (centre - linear @ centre + moved)[..., None]], axis=-1)


def warp(images: NDArray[np.uint8], maps: Floats, fill: str) -> None:
    """Replaces images by what their maps make of them: bilinear, at places to 1/32 pixel, exact at whole numbers.

    Args:
        images: uint8 (B, H, W, 3), overwritten.
        maps: float64 (B, 2, 3), see `matrices`.
        fill: one of `models.augmentation.recipe.FILLS`.
    """
    height, width = images.shape[1:3]
    kept, mirror = np.eye(2, 3), np.array([[-1.0, 0.0, width - 1], [0.0, 1.0, 0.0]])
    for image, place in zip(images, maps, strict=True):
        if np.array_equal(place, mirror):
            flip(image)
        elif not np.array_equal(place, kept):
            how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            image[:] = cv2.warpAffine(image, place, (width, height), flags=how, borderMode=_BORDERS[fill])


def mirrored(draws: Draws) -> NDArray[np.bool_]:
    """Says which examples `mirror` turns left to right, bool (B,)."""
    # the lowest bit: what mirrored images were chosen by before there were other augmentations
    return (draws.hashes("mirror") & np.uint64(1)).astype(bool)


def flip(image: NDArray[np.uint8]) -> None:
    """Turns one image, uint8 (H, W, 3), left to right in place."""
    cv2.flip(image, 1, image)  # 35 times as fast as NumPy's reversed axis


def _rotations(draws: Draws, degrees: float) -> Floats:
    angles = np.radians(draws.around("rotation", degrees))
    return _matrix(np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles))


def _shears(draws: Draws, degrees: float) -> Floats:
    angles = np.radians(draws.around("shear", degrees))
    return _matrix(np.ones_like(angles), -np.sin(angles), np.zeros_like(angles), np.cos(angles))


def _scales(draws: Draws, augmentation: Augmentation) -> Floats:
    """Zoom of both axes, enlargement, mirror: above 1 the image gets smaller, as what it shows comes from farther."""
    across, down = (1 + draws.around(f"zoom-{axis}", augmentation.zoom) for axis in "xy")
    enlarged = np.where(draws.happens("resize-crop", augmentation.resize_crop), 1 / RESIZE_CROP, 1.0)
    flipped = augmentation.mirror & mirrored(draws)
    zeros = np.zeros_like(across)
    return _matrix(across * enlarged * np.where(flipped, -1.0, 1.0), zeros, zeros, down * enlarged)


def _steps(draws: Draws, kind: str, most: int) -> Floats:
    """Gives whole numbers from -most to most, float64 (B,)."""
    return np.floor(draws.shares(kind) * (2 * most + 1)) - most


def _matrix(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """Gives [[a, b], [c, d]] by example, float64 (B, 2, 2)."""
    return np.stack([a, b, c, d], axis=-1).reshape(-1, 2, 2)
