"""`fit`: one function brings every image to every size."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import picture

from hdf5_helper.errors import FacetError
from hdf5_helper.images.fit import FITS, fit, parse_size, reduction

SIDES = st.integers(1, 60)


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(FITS))
def test_every_shape_comes_to_every_size(height, width, new_height, new_width, how):
    result = fit(picture(3, height, width), (new_height, new_width), how)
    assert (result.shape, result.dtype) == ((new_height, new_width, 3), np.uint8)


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(FITS))
def test_one_color_stays_that_color(height, width, new_height, new_width, how):
    result = fit(np.full((height, width, 3), 77, np.uint8), (new_height, new_width), how)
    assert set(np.unique(result)) <= ({77} if how != "pad" else {0, 77})


@pytest.mark.parametrize("how", FITS)
def test_an_image_of_the_size_is_left_alone(how):
    image = picture(4, 30, 20)
    assert np.array_equal(fit(image, (30, 20), how), image)


def test_stretching_down_averages_areas_and_up_interpolates():
    image = picture(5, 60, 40)
    assert np.array_equal(fit(image, (20, 10)), cv2.resize(image, (10, 20), interpolation=cv2.INTER_AREA))
    assert np.array_equal(fit(image, (90, 80)), cv2.resize(image, (80, 90), interpolation=cv2.INTER_LINEAR))


def test_halving_is_the_mean_of_four():
    image = picture(6, 40, 40)
    means = image.reshape(20, 2, 20, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(fit(image, (20, 20)) - means).max() <= 0.5


def test_cropping_keeps_the_middle():
    image = np.zeros((100, 40, 3), np.uint8)
    image[30:70] = 200
    assert (fit(image, (40, 40), "crop") == 200).all()


def test_padding_keeps_everything_between_black_bars():
    result = fit(np.full((100, 50, 3), 200, np.uint8), (40, 40), "pad")
    assert (result[:, 10:30] == 200).all()
    assert not result[:, :10].any()
    assert not result[:, 30:].any()


@pytest.mark.parametrize(("text", "size"), [("150", (150, 150)), ("218x178", (218, 178)), ("1X2", (1, 2))])
def test_sizes_are_read_as_height_and_width(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "150x", "1x2x3", "-5", "150.0", "99999", "big"])
def test_other_texts_are_no_size(text):
    with pytest.raises(FacetError, match="expected one side such as 150, or HEIGHTxWIDTH"):
        parse_size(text)


def test_an_unknown_way_is_named():
    with pytest.raises(
        FacetError, match=r"fit 'stretsch': expected one of crop, pad, stretch \(did you mean 'stretch'"
    ):
        fit(picture(7), (10, 10), "stretsch")


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(FITS))
def test_the_result_goes_into_memory_that_is_given(height, width, new_height, new_width, how):
    image, out = picture(8, height, width), np.full((new_height, new_width, 3), 9, np.uint8)
    assert fit(image, (new_height, new_width), how, out=out) is out
    assert np.array_equal(out, fit(image, (new_height, new_width), how))


LARGE = st.integers(1, 3000)


@given(LARGE, LARGE, SIDES, SIDES, st.sampled_from(FITS))
def test_the_largest_reduction_is_taken_that_leaves_twice_the_result(height, width, new_height, new_width, how):
    scales = height / new_height, width / new_width
    scale = max(scales) if how == "pad" else min(scales)  # what `pad` gives fills the size one way only
    found = reduction((height, width), (new_height, new_width), how)
    assert found == max([1, *(factor for factor in (2, 4, 8) if scale / factor >= 2)])


def halved(image: np.ndarray, step: int) -> np.ndarray:
    """Gives the means of squares of `step` pixels; the last ones repeat the edge, as a JPEG's blocks do."""
    height, width = image.shape[:2]
    whole = np.pad(image, ((0, -height % step), (0, -width % step), (0, 0)), "edge")
    squares = whole.reshape(whole.shape[0] // step, step, whole.shape[1] // step, step, 3)
    return squares.mean(axis=(1, 3)).round().astype(np.uint8)


@given(st.integers(80, 500), st.integers(80, 500), st.integers(10, 40), st.integers(10, 40), st.sampled_from(FITS))
def test_an_image_decoded_at_a_reduced_scale_comes_out_in_the_same_place(height, width, new_height, new_width, how):
    image, size = picture(9, height, width), (new_height, new_width)
    step = reduction((height, width), size, how)
    reduced = fit(halved(image, step), size, how, whole=(height, width)).astype(int)
    assert np.abs(reduced - fit(image, size, how)).max() <= (2 if step > 1 else 0)
