import hashlib
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from models.augmentation.applying import augmented
from models.augmentation.mixing import mixed, partners, shares
from models.augmentation.recipe import RECIPES, Augmentation, parse_augmentation

EVERYTHING = parse_augmentation("strong,crop=true,resize_crop=0.3,erasing=0.5")
SEED = 5


def drawn(indices, height=32, width=40):
    """Gives uint8 (B, H, W, 3): a smooth picture with edges for each index, of whole numbers only."""
    row, column, channel = np.ogrid[:height, :width, :3]
    pictures = [
        (row * (5 + i % 7) + column * (3 + channel) + 40 * ((row // 8 + column // 6 + i) % 3)) % 256 for i in indices
    ]
    return np.stack(pictures).astype(np.uint8)


def views(indices, augmentation, epoch=1, seed=SEED):
    return augmented(drawn(indices), augmentation, seed, epoch, np.array(indices, np.int64), (3, 4))


ALL = list(range(20))
WHOLE = views(ALL, EVERYTHING)


@given(st.permutations(ALL), st.integers(1, 20))
def test_pixels_are_the_same_whatever_else_is_in_the_batch_and_in_whatever_order(order, count):
    assert np.array_equal(views(order[:count], EVERYTHING), WHOLE[order[:count]])


@pytest.mark.parametrize("other", [{"epoch": 2}, {"seed": SEED + 1}])
def test_every_image_looks_different_in_another_epoch_and_with_another_seed(other):
    same = (views(ALL, EVERYTHING, **other) == WHOLE).all(axis=(1, 2, 3))
    assert same.tolist() == [False] * 20


def test_threads_do_not_disturb_each_other():
    results = {}

    def work(number):
        results[number] = [views([index], EVERYTHING)[0] for index in ALL]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(np.stack(images), WHOLE) for images in results.values())


def test_without_any_augmentation_no_pixel_changes():
    assert np.array_equal(views(ALL, RECIPES["none"]), drawn(ALL))


def test_the_result_is_in_the_memory_that_was_given():
    images = drawn(ALL)
    assert augmented(images, EVERYTHING, SEED, 1, np.array(ALL), (3, 4)) is images
    assert np.array_equal(images, WHOLE)


# Whoever changes one of these changes what every run sees that is resumed.
GOLDEN = {
    "none": "d82dc57e03b16bfd",
    "mirror": "0cdef27d1077b8ef",
    "afad": "c41af252909fbd11",
    "crop-mirror": "83df9b4c68299f81",
    "resize-crop": "30888a1ba8740e32",
    "color": "4e8773386b653616",
    "erasing": "2f445a29c9c500b2",
    "mixup": "0fc2b55f255cb077",
    "strong": "20fe9dde497c6abe",
}


@pytest.mark.parametrize("name", RECIPES)
def test_no_pixel_of_a_recipe_has_changed(name):
    indices, recipe = np.array(ALL), RECIPES[name]
    images = views(ALL, recipe)
    if recipe.mixup:
        others = partners(SEED, 1, indices, indices)
        images = mixed(images, views(others.tolist(), recipe), shares(recipe.mixup, SEED, 1, indices))
    assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == GOLDEN[name]


def test_names_and_values_add_up():
    assert parse_augmentation("none") == Augmentation()
    assert parse_augmentation("afad") == Augmentation(mirror=True, rotation=20, zoom=0.15, shift=0.2, shear=0.15)
    assert parse_augmentation(" afad , mixup = 0.2, fill=reflect ") == Augmentation(
        mirror=True, rotation=20, zoom=0.15, shift=0.2, shear=0.15, mixup=0.2, fill="reflect"
    )
    assert parse_augmentation("erasing,crop-mirror,mirror=false") == Augmentation(crop=True, erasing=0.5)
    assert parse_augmentation("rotation=30,afad") == RECIPES["afad"]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("afda", "augmentation 'afda': expected one of afad, ", " (did you mean 'afad'?)"),
        ("mirror,rotation", "augmentation 'rotation': expected one of ", " (did you mean 'rotation='?)"),
        ("zom=0.1", "augmentation 'zom=0.1': expected one of brightness=, ", " (did you mean 'zoom='?)"),
        ("", "augmentation '': expected one of afad, ", "zoom="),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(text, start, end):
    with pytest.raises(FacetError) as refused:
        parse_augmentation(text)
    assert str(refused.value).startswith(start)
    assert str(refused.value).endswith(end)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rotation=181", "augmentation rotation 181: expected 0 to 180"),
        ("rotation=-1", "augmentation rotation -1: expected 0 to 180"),
        ("zoom=1", "augmentation zoom 1: expected 0 to below 1"),
        ("shift=1.5", "augmentation shift 1.5: expected 0 to 1"),
        ("shear=90", "augmentation shear 90: expected 0 to below 90"),
        ("resize_crop=2", "augmentation resize_crop 2: expected 0 to 1"),
        ("brightness=nan", "augmentation brightness nan: expected 0 to 1"),
        ("contrast=1.01", "augmentation contrast 1.01: expected 0 to 1"),
        ("saturation=inf", "augmentation saturation inf: expected 0 to 1"),
        ("erasing=-0.5", "augmentation erasing -0.5: expected 0 to 1"),
        ("mixup=inf", "augmentation mixup inf: expected 0 to any finite number"),
        ("mixup=much", "augmentation mixup 'much': expected a number"),
        ("mirror=1", "augmentation mirror '1': expected true or false"),
        (
            "fill=nearst",
            "augmentation fill 'nearst': expected one of constant, nearest, reflect (did you mean 'nearest'?)",
        ),
    ],
)
def test_an_impossible_value_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(FacetError) as refused:
        parse_augmentation(text)
    assert str(refused.value) == sentence
