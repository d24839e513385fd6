import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.preprocessing import Preprocessing

means = st.tuples(*[st.floats(0, 255)] * 3)
preprocessings = st.builds(Preprocessing, st.sampled_from(["RGB", "BGR"]), means, st.floats(0.25, 255))


def applied(preprocessing, rgb):
    """Gives `(x - mean) / scale` on RGB in the order that is wanted: the definition."""
    ordered = rgb if preprocessing.color == "RGB" else rgb[..., ::-1]
    return (ordered - np.array(preprocessing.mean)) / preprocessing.scale


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
