import cv2
import numpy as np
import pytest
from scipy import ndimage

from hdf5_helper.hashing import hash_integers
from models.augmentation.applying import augmented
from models.augmentation.draws import Draws
from models.augmentation.geometry import RESIZE_CROP, matrices, warp
from models.augmentation.recipe import Augmentation, parse_augmentation

INDICES = np.arange(2000)
SIZE = (40, 30)  # height, width
CENTRE = np.array([14.5, 19.5])  # x, y


def maps(text, epoch=1, margin=(0, 0)):
    return matrices(parse_augmentation(text), 7, epoch, INDICES, SIZE, margin=margin)


def mirror_bits(seed, epoch, indices):
    return (hash_integers(seed ^ 0x6D6972726F72, epoch, indices) & np.uint64(1)).astype(bool)


def smooth(count, size=(64, 64)):
    noise = hash_integers(3, np.arange(count * size[0] * size[1] * 3)).astype(np.uint8)
    return np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in noise.reshape(count, *size, 3)])


def test_mirror_turns_the_images_over_whose_hash_is_odd():
    images = smooth(200, (6, 5))
    for epoch in (1, 2):
        result = augmented(images.copy(), Augmentation(mirror=True), 7, epoch, INDICES[:200])
        bits = mirror_bits(7, epoch, INDICES[:200])
        assert np.array_equal(result, np.where(bits[:, None, None, None], images[:, :, ::-1], images))
        assert 70 < bits.sum() < 130  # 100 expected, standard deviation 7


def test_the_same_images_are_mirrored_whatever_else_is_done():
    signs = np.linalg.det(maps("strong,crop=true,resize_crop=0.5", margin=(2, 3))[:, :, :2]) < 0
    assert np.array_equal(signs, mirror_bits(7, 1, INDICES))


def test_one_kind_of_draw_does_not_change_another():
    turned, turned_and_moved = maps("rotation=20"), maps("rotation=20,shift=0.3,crop=true", margin=(2, 2))
    assert np.array_equal(turned_and_moved[:, :, :2], turned[:, :, :2])
    moved, moved_and_zoomed = (
        m[:, :, :2] @ CENTRE + m[:, :, 2] for m in (maps("shift=0.3"), maps("strong,shift=0.3,rotation=0"))
    )
    np.testing.assert_allclose(moved_and_zoomed, moved, atol=1e-12)


def test_every_draw_is_within_its_range_and_fills_it():
    turned, zoomed, sheared = maps("rotation=20"), maps("zoom=0.15"), maps("shear=12")
    shifted, enlarged = maps("shift=0.2"), maps("resize_crop=0.25")
    found = {
        "rotation": np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0])),
        "zoom across": zoomed[:, 0, 0] - 1,
        "zoom down": zoomed[:, 1, 1] - 1,
        "shear": np.degrees(np.arctan2(-sheared[:, 0, 1], sheared[:, 1, 1])),
        "shift across": shifted[:, 0, 2],
        "shift down": shifted[:, 1, 2],
    }
    limits = {
        "rotation": 20,
        "zoom across": 0.15,
        "zoom down": 0.15,
        "shear": 12,
        "shift across": 0.2 * SIZE[1],
        "shift down": 0.2 * SIZE[0],
    }
    for name, values in found.items():
        assert -limits[name] <= values.min() < -0.99 * limits[name], name
        assert 0.99 * limits[name] < values.max() <= limits[name], name
        assert abs(values.mean()) < 0.06 * limits[name], name  # standard deviation 0.013
    assert set(np.round(enlarged[:, 0, 0], 6)) == {1, np.round(1 / RESIZE_CROP, 6)}
    assert 420 < (enlarged[:, 0, 0] < 1).sum() < 580  # 500 expected, standard deviation 19
    assert abs(np.corrcoef(list(found.values())) - np.eye(6)).max() < 0.08


def test_a_rotation_is_the_one_that_opencv_makes_of_its_angle():
    for place in maps("rotation=180")[:20]:
        angle = np.degrees(np.arctan2(place[1, 0], place[0, 0]))
        forth = cv2.getRotationMatrix2D(CENTRE.tolist(), angle, 1.0)
        np.testing.assert_allclose(place, cv2.invertAffineTransform(forth), atol=1e-9)


def test_a_map_is_the_product_of_the_matrices_that_keras_multiplies():
    recipe, draws = parse_augmentation("afad,shear=9"), Draws(7, 1, INDICES)
    drawn = {kind: draws.around(kind, 1) for kind in ("rotation", "shear", "zoom-x", "zoom-y", "shift-x", "shift-y")}
    to_centre, back = np.eye(3), np.eye(3)
    to_centre[:2, 2], back[:2, 2] = -CENTRE, CENTRE
    bits = mirror_bits(7, 1, INDICES)
    for number, place in enumerate(maps("afad,shear=9")[:50]):
        own = {kind: values[number] for kind, values in drawn.items()}
        a, s = np.radians(recipe.rotation * own["rotation"]), np.radians(recipe.shear * own["shear"])
        rotation = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        shift = np.array([[1, 0, 0.2 * SIZE[1] * own["shift-x"]], [0, 1, 0.2 * SIZE[0] * own["shift-y"]], [0, 0, 1]])
        shear = np.array([[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]])
        zoom = np.diag([1 + 0.15 * own["zoom-x"], 1 + 0.15 * own["zoom-y"], 1])
        mirror = np.diag([-1 if bits[number] else 1, 1, 1])
        expected = back @ rotation @ shift @ shear @ zoom @ mirror @ to_centre
        np.testing.assert_allclose(place, expected[:2], atol=1e-9)


@pytest.mark.parametrize(("fill", "mode"), [("nearest", "nearest"), ("reflect", "reflect"), ("constant", "constant")])
def test_pixels_are_those_of_scipy_to_one_level(fill, mode):
    images = smooth(8)
    places = matrices(parse_augmentation("afad,shear=9,resize_crop=0.3"), 1, 1, INDICES[:8], (64, 64))
    result = images.copy()
    warp(result, places, fill)
    for image, place, found in zip(images, places, result, strict=True):
        linear, offset = place[::-1, 1::-1], place[::-1, 2]  # rows before columns
        for channel in range(3):
            expected = ndimage.affine_transform(image[..., channel].astype(float), linear, offset, order=1, mode=mode)
            inside = np.ones((64, 64), bool)
            if fill == "constant":  # SciPy cuts at the last pixel's middle, OpenCV fades out over one pixel
                y, x = np.mgrid[:64, :64]
                at = np.einsum("ij,jhw->ihw", linear, np.stack([y, x])) + offset[:, None, None]
                inside = ~((at > -1) & (at < 0) | (at > 63) & (at < 64)).any(axis=0)
            assert np.abs(expected - found[..., channel])[inside].max() <= 1


def test_nothing_black_comes_in_from_outside_but_where_that_is_asked_for():
    white = np.full((50, 64, 64, 3), 200, np.uint8)
    lowest = {
        fill: augmented(white.copy(), parse_augmentation(f"afad,fill={fill}"), 0, 1, INDICES[:50]).min()
        for fill in ("nearest", "reflect", "constant")
    }
    assert lowest == {"nearest": 200, "reflect": 200, "constant": 0}


@pytest.mark.parametrize("recipe", ["crop=true", "crop-mirror"])
def test_the_window_in_the_middle_shows_every_window_of_the_image_exactly(recipe):
    image = hash_integers(4, np.arange(12 * 14 * 3)).astype(np.uint8).reshape(12, 14, 3)
    images = np.repeat(image[None], 400, axis=0)
    seen = augmented(images, parse_augmentation(recipe), 7, 1, INDICES[:400], (2, 3))[:, 2:-2, 3:-3]
    bits = mirror_bits(7, 1, INDICES[:400]) if recipe == "crop-mirror" else np.zeros(400, bool)
    seen = np.where(bits[:, None, None, None], seen[:, :, ::-1], seen)
    windows = [image[top : top + 8, left : left + 8] for top in range(5) for left in range(7)]
    counts = [int((seen == window).all(axis=(1, 2, 3)).sum()) for window in windows]
    assert sum(counts) == 400
    assert min(counts) > 0
