import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from models.augmentation.applying import augmented
from models.augmentation.draws import Draws
from models.augmentation.recipe import RECIPES, parse_augmentation
from models.training.activations.views import PLAIN, Views, views_of

INDICES = np.array([3, 0, 250, 7, 8, 9, 100_000, 4])


def pictures(height=5, width=6):
    return np.random.default_rng(1).integers(0, 256, (len(INDICES), height, width, 3)).astype(np.uint8)


def made(views, chosen, indices=INDICES):
    return views.pixels(pictures(), chosen, indices)


@given(
    st.sampled_from(["none", "mirror", "crop-mirror", "crop=true", "mirror,fill=constant"]),
    st.sampled_from(["auto", "1", "7"]),
    st.integers(0, 2**63),
    st.integers(1, 10_000),
)
def test_the_views_of_an_epoch_are_what_mirroring_makes_of_it(text, cache_views, seed, epoch):
    augmentation = parse_augmentation(text)
    views = views_of(augmentation, cache_views, seed, (0, 0))
    assert views.names == (("plain", "mirror") if augmentation.mirror else ("plain",))
    expected = augmented(pictures(), augmentation, seed, epoch, INDICES)
    assert np.array_equal(made(views, views.of(epoch, INDICES)), expected)


def test_the_mirror_view_is_mirrored_and_the_plain_one_untouched():
    views = views_of(RECIPES["mirror"], "auto", 3, (0, 0))
    assert np.array_equal(made(views, np.array([0, 1] * 4))[::2], pictures()[::2])
    assert np.array_equal(made(views, np.array([0, 1] * 4))[1::2], pictures()[1::2, :, ::-1])
    assert np.array_equal(made(PLAIN, PLAIN.of(5, INDICES)), pictures())


@pytest.mark.parametrize("text", ["afad", "color", "erasing", "mixup", "mirror,rotation=1", "resize-crop"])
def test_auto_keeps_nothing_where_it_would_change_the_training(text):
    assert views_of(parse_augmentation(text), "auto", 0, (0, 0)) is None


def test_random_windows_are_kept_only_where_there_is_no_room_for_them():
    assert views_of(RECIPES["crop-mirror"], "auto", 0, (1, 0)) is None
    assert views_of(RECIPES["crop-mirror"], "auto", 0, (0, 0)) == views_of(RECIPES["mirror"], "auto", 0, (0, 0))


def test_off_keeps_nothing():
    assert views_of(RECIPES["none"], "off", 0, (0, 0)) is None


def test_seeded_views_are_what_the_augmentation_makes_in_the_first_epochs():
    views = views_of(RECIPES["afad"], "3", 5, (0, 0))
    chosen = np.array([0, 1, 2, 0, 1, 2, 2, 2])
    found = made(views, chosen)
    for view in range(3):
        epoch = augmented(pictures(), RECIPES["afad"], 5, 1 + view, INDICES)
        assert np.array_equal(found[chosen == view], epoch[chosen == view])


def test_each_epoch_draws_one_of_the_seeded_views_by_seed_epoch_and_example():
    views = views_of(RECIPES["afad"], "3", 5, (0, 0))
    rows = np.arange(3000)
    first, second = views.of(1, rows), views.of(2, rows)
    assert np.array_equal(first, Draws(5, 1, rows).hashes("view") % np.uint64(3))
    assert np.bincount(first).min() > 900
    assert 0.28 < (first == second).mean() < 0.39
    assert np.array_equal(views.of(1, rows[::-7]), first[::-7])


def test_a_seeded_views_name_says_all_that_its_pixels_depend_on():
    names = [
        *views_of(RECIPES["afad"], "2", 3, (0, 0)).names,
        *views_of(RECIPES["afad"], "1", 4, (0, 0)).names,
        *views_of(RECIPES["crop-mirror"], "1", 3, (16, 8)).names,
        *views_of(parse_augmentation("mirror,rotation=20.0000001"), "1", 3, (0, 0)).names,
    ]
    afad = "mirror=true,rotation=20.0,zoom=0.15,shift=0.2,shear=0.15"
    assert names == [
        f"{afad} seed 3 view 0",
        f"{afad} seed 3 view 1",
        f"{afad} seed 4 view 0",
        "mirror=true,crop=true margin 16x8 seed 3 view 0",
        "mirror=true,rotation=20.0000001 seed 3 view 0",
    ]
    assert parse_augmentation(afad) == RECIPES["afad"]


def test_images_that_are_mixed_have_no_seeded_views():
    with pytest.raises(FacetError) as refused:
        views_of(parse_augmentation("afad,mixup=0.2"), "4", 0, (0, 0))
    assert str(refused.value) == (
        "cache views 4: augmentation mixup=0.2 mixes other images in every epoch, expected auto or off, or no mixup"
    )


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "٣"])
def test_another_number_of_views_is_refused(text):
    with pytest.raises(FacetError, match="expected auto, off, or a whole number of at least 1"):
        views_of(RECIPES["afad"], text, 0, (0, 0))


def test_views_without_arguments_are_the_plain_one():
    assert (PLAIN, PLAIN.names) == (Views(), ("plain",))
