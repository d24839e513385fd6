import numpy as np
import pytest
from PIL import Image, ImageEnhance

from hdf5_helper.hashing import hash_integers
from models.augmentation.applying import augmented
from models.augmentation.color import GREY, jitter, recolor
from models.augmentation.draws import Draws
from models.augmentation.erasing import AREA, ASPECT, rectangles
from models.augmentation.recipe import parse_augmentation

INDICES = np.arange(3000)


def noise(count, height=24, width=20):
    values = hash_integers(9, np.arange(count * height * width * 3)).astype(np.uint8)
    return values.reshape(count, height, width, 3)


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.3, 2.0])
def test_each_colour_change_is_pillows(kind, factor):
    [image] = noise(1)
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }[kind]
    expected = np.asarray(enhance(Image.fromarray(image)).enhance(factor)).astype(int)
    recolor(image, **{"brightness": 1, "contrast": 1, "saturation": 1, kind: factor})
    assert np.abs(image - expected).max() <= 2  # Pillow cuts off decimals, of the mean grey as well


def test_all_three_in_one_pass_are_one_after_the_other():
    [image] = noise(1) // 2 + 40
    after = image * 0.9
    after = 1.2 * after - 0.2 * (after @ GREY).mean()
    after = 0.7 * after + 0.3 * (after @ GREY)[..., None]
    recolor(image, 0.9, 1.2, 0.7)
    assert np.abs(image - after).max() <= 1


def test_factors_are_within_their_range_and_fill_it():
    images = np.full((3000, 1, 1, 3), 100, np.uint8)
    jitter(images, parse_augmentation("brightness=0.3"), Draws(1, 1, INDICES))
    assert (images.min(), images.max()) == (70, 130)
    assert np.array_equal(images.min(axis=-1), images.max(axis=-1))


def test_an_erased_rectangle_is_noise_and_the_rest_is_as_it_was():
    images = np.full((200, 40, 30, 3), 7, np.uint8)
    result = augmented(images.copy(), parse_augmentation("erasing=1"), 2, 1, INDICES[:200])
    erased = []
    for image, (top, left, height, width) in zip(
        result, rectangles(1.0, Draws(2, 1, INDICES[:200]), (40, 30)), strict=True
    ):
        patch = image[top : top + height, left : left + width].copy()
        image[top : top + height, left : left + width] = 7
        erased.append(patch.ravel())
    assert np.array_equal(result, images)
    values = np.concatenate(erased)
    assert np.bincount(values, minlength=256).min() > 0.7 * len(values) / 256
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01


@pytest.mark.parametrize("size", [(64, 64), (109, 89), (200, 50)])
def test_rectangles_are_inside_the_image_and_of_the_sizes_asked_for(size):
    found = rectangles(0.4, Draws(2, 1, INDICES), size)
    some = found[found.any(axis=1)]
    assert 1100 < len(some) < 1300  # 1200 expected, standard deviation 27
    assert some[:, :2].min() >= 0
    assert ((some[:, :2] + some[:, 2:]).max(axis=0) <= size).all()
    places = (some[:, :2] + 0.5) / (np.array(size) - some[:, 2:] + 1)  # as shares of those inside the image
    assert np.abs(places.mean(axis=0) - 0.5).max() < 0.03
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.1
    shares = some[:, 2] * some[:, 3] / (size[0] * size[1])
    assert shares.max() < AREA[1] * 1.05
    uncut = some[(some[:, 2:] < size).all(axis=1)]
    shares, ratios = uncut[:, 2] * uncut[:, 3] / (size[0] * size[1]), uncut[:, 2] / uncut[:, 3]
    assert AREA[0] * 0.85 < shares.min() < AREA[0] * 1.3
    assert ASPECT[0] * 0.85 < ratios.min()
    assert ratios.max() < ASPECT[1] * 1.15
