import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import images, model_on, small_base

from hdf5_helper.errors import FacetError
from models.export.age_estimator_sharp import IMAGE_SIZE, for_age_estimator_sharp
from models.export.signature import GraphInput
from models.preprocessing import Preprocessing

means = st.tuples(*[st.floats(0, 255)] * 3)
scales = st.floats(0.25, 255) | st.tuples(*[st.floats(0.25, 255)] * 3)
preprocessings = st.builds(Preprocessing, st.sampled_from(["RGB", "BGR"]), means, scales)

#: Each channel with its own scale, as torchvision's models want it.
TORCH = Preprocessing("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def applied(preprocessing, rgb):
    """Gives `(x - mean) / scale` on RGB in the order that is wanted: the definition."""
    ordered = rgb if preprocessing.color == "RGB" else rgb[..., ::-1]
    return (ordered - np.array(preprocessing.mean)) / np.array(preprocessing.scale)


@given(preprocessings)
def test_the_convolution_gives_what_the_backbone_wants_of_rgb(wanted):
    rgb = np.random.default_rng(0).uniform(0, 255, (8, 3))
    kernel, bias = wanted.kernel_and_bias()
    assert (kernel.shape, kernel.dtype, bias.shape, bias.dtype) == ((1, 1, 3, 3), np.float32, (3,), np.float32)
    np.testing.assert_allclose(rgb @ kernel[0, 0] + bias, applied(wanted, rgb), rtol=1e-5, atol=1e-3)


@given(preprocessings, preprocessings)
def test_the_convolution_gives_what_the_backbone_wants_of_what_a_caller_has_made(wanted, given_by_caller):
    rgb = np.random.default_rng(0).uniform(0, 255, (8, 3))
    kernel, bias = wanted.kernel_and_bias(given_by_caller)
    found = applied(given_by_caller, rgb) @ kernel[0, 0] + bias
    np.testing.assert_allclose(found, applied(wanted, rgb), rtol=1e-4, atol=1e-2)


@given(preprocessings)
def test_what_a_caller_has_made_already_is_left_as_it_is(wanted):
    kernel, bias = wanted.kernel_and_bias(wanted)
    assert (kernel[0, 0].tolist(), bias.tolist()) == (np.eye(3).tolist(), [0.0, 0.0, 0.0])


def test_the_mean_is_told_in_the_order_red_green_blue():
    assert Preprocessing("RGB", (1.0, 2.0, 3.0)).rgb_mean == (1.0, 2.0, 3.0)
    assert Preprocessing("BGR", (1.0, 2.0, 3.0)).rgb_mean == (3.0, 2.0, 1.0)


@given(preprocessings)
def test_the_json_form_gives_the_same_again(preprocessing):
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


def test_scales_are_a_list_in_json_only_where_they_differ():
    assert TORCH.to_dict()["scale"] == [58.395, 57.12, 57.375]
    assert Preprocessing("RGB", (1.0, 2.0, 3.0), (2.0, 2.0, 2.0)).to_dict()["scale"] == 2.0
    assert Preprocessing("RGB", scale=(2.0, 2.0, 2.0)) == Preprocessing("RGB", scale=2.0)


@pytest.mark.parametrize(
    ("preprocessing", "words"),
    [
        (Preprocessing(), "RGB 0-255"),
        (Preprocessing("BGR", (1.0, 2.0, 3.5)), "BGR, (x - [1.0, 2.0, 3.5]) / 1"),
        (Preprocessing(scale=127.5), "RGB, (x - [0.0, 0.0, 0.0]) / 127.5"),
        (TORCH, "RGB, (x - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]"),
    ],
)
def test_it_is_said_in_words(preprocessing, words):
    assert preprocessing.in_words() == words


@pytest.mark.parametrize(
    "values", [{"color": "GBR"}, {"scale": 0.0}, {"scale": (1.0, 0.0, 1.0)}, {"scale": (1.0, 1.0)}, {"mean": (1.0,)}]
)
def test_what_no_backbone_can_want_is_refused(values):
    with pytest.raises(FacetError, match="preprocessing"):
        Preprocessing(**values)


@given(preprocessings)
def test_a_caller_s_part_of_an_export_is_what_the_graph_would_have_done(preprocessing):
    pictures = images(2, 8)
    found = GraphInput("image", (8, 8), preprocessing).prepare(pictures)
    np.testing.assert_allclose(found, applied(preprocessing, pictures), rtol=1e-5, atol=1e-3)


def test_age_estimator_sharp_gets_the_same_estimates_from_a_model_with_a_scale_for_each_channel():
    model, description = model_on(small_base(IMAGE_SIZE[0]), ("age",), TORCH)
    pictures = images(2, IMAGE_SIZE[0])
    sharp = for_age_estimator_sharp(model, description)
    fed = GraphInput("root_input", IMAGE_SIZE, sharp.description.preprocessing).prepare(pictures)
    assert sharp.description.preprocessing == Preprocessing("RGB", TORCH.mean, 127.5)
    np.testing.assert_allclose(sharp.network(fed)["age"], model(pictures.astype(np.float32)), rtol=1e-4)
