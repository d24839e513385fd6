import numpy as np
import pytest
from foreign_networks import (
    NARROW,
    channels_first,
    in_words,
    keras_targets,
    named,
    random_arrays,
    torchvision_layers,
)

from hdf5_helper.errors import FacetError
from models.backbones.registry import backbone_named
from models.pretrained.matching import match
from models.pretrained.named_arrays import NamedArrays
from models.pretrained.targets import Target, abstract_network, is_plain_chain, targets_of

KERNEL = Target("conv", "Conv2D", "kernel", (3, 3, 2, 4))
BIAS = Target("conv", "Conv2D", "bias", (4,))
NORM = [Target("bn", "BatchNormalization", role, (4,)) for role in ("gamma", "beta", "moving_mean", "moving_variance")]
HINT = "(--leave-out LAYER leaves out those of an old head)"
DENSE = Target("fc", "Dense", "kernel", (2 * 3 * 4, 5), (2, 3, 4))


@pytest.fixture(scope="module")
def vgg_face():
    targets = keras_targets("vggface", NARROW)
    return targets, random_arrays(targets)


def values(shape, dtype=np.float32):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def taken(arrays, targets, axes="OIHW", plain_chain=True, **more):
    found = match(NamedArrays("test", arrays, axes, **more), targets, plain_chain=plain_chain)
    return {target.name: found.arrays[target.name].reshape(target.shape) for target in targets}


def refusal(arrays, targets, **more):
    with pytest.raises(FacetError) as error:
        taken(arrays, targets, **more)
    return str(error.value)


def same(found, wanted):
    return found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_kernel_with_output_channels_first_is_not_turned_in_space():
    weight = values((4, 2, 3, 3))
    kernel = taken({"conv.weight": weight, "conv.bias": values(4)}, [KERNEL, BIAS])["conv.kernel"]
    assert all(kernel[y, x, i, o] == weight[o, i, y, x] for y, x, i, o in np.ndindex(3, 3, 2, 4))


def test_a_bias_is_kept():
    assert taken({"conv.weight": values((4, 2, 3, 3)), "conv.bias": values(4)}, [KERNEL, BIAS])[
        "conv.bias"
    ].tolist() == [0, 1, 2, 3]


def test_a_dense_layer_behind_a_feature_map_finds_its_features_where_keras_flattens_them():
    weight = values((5, 4 * 2 * 3))  # channels, height, width
    kernel = taken({"fc.weight": weight}, [DENSE])["fc.kernel"]
    image = np.random.default_rng(0).normal(size=(2, 3, 4))
    assert np.allclose(image.reshape(-1) @ kernel, weight @ image.transpose(2, 0, 1).reshape(-1))


@pytest.mark.parametrize("axes", ["OIHW", "HWIO"])
def test_a_dense_layer_of_keras_finds_each_feature_at_the_place_written_here_by_hand(axes):
    import keras

    image = keras.Input((2, 3, 2))
    network = keras.Model(image, keras.layers.Dense(4, use_bias=False, name="fc")(keras.layers.Flatten()(image)))
    # each value tells its place: unit, channel, row, column
    first, second = [[0, 1, 2], [10, 11, 12]], [[100, 101, 102], [110, 111, 112]]
    units = np.array([[unit * 1000 + np.array(first), unit * 1000 + np.array(second)] for unit in range(4)])
    weight = units.reshape(4, 12) if axes == "OIHW" else units.transpose(2, 3, 1, 0)
    kernel = taken({"fc.weight": weight}, targets_of(network), axes)["fc.kernel"]
    one = [0, 100, 1, 101, 2, 102, 10, 110, 11, 111, 12, 112]
    assert kernel.T.tolist() == [[unit * 1000 + value for value in one] for unit in range(4)]


def test_a_convolution_over_the_whole_feature_map_is_a_dense_layer():
    kernel = values((2, 3, 4, 5))
    assert np.array_equal(taken({"fc.weight": kernel}, [DENSE], "HWIO")["fc.kernel"], kernel.reshape(24, 5))
    assert np.array_equal(
        taken({"fc.weight": kernel.transpose(3, 2, 0, 1)}, [DENSE])["fc.kernel"], kernel.reshape(24, 5)
    )


def test_a_convolution_of_the_same_size_turned_in_space_is_no_dense_layer():
    assert refusal({"fc.weight": values((3, 2, 4, 5))}, [DENSE], axes="HWIO") == (
        "of another shape: fc.kernel (3x2x4x5 in the file, 24x5 in Keras)"
    )


def test_a_depthwise_kernel_of_pytorch_has_a_channel_for_each_place():
    target = Target("dw", "DepthwiseConv2D", "kernel", (3, 3, 4, 2))
    weight = values((8, 1, 3, 3))
    kernel = taken({"dw.weight": weight}, [target])["dw.kernel"]
    assert all(kernel[y, x, i, m] == weight[i * 2 + m, 0, y, x] for y, x, i, m in np.ndindex(3, 3, 4, 2))


def test_weight_and_bias_of_a_normalisation_are_its_gamma_and_beta():
    theirs = dict(zip(("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"), values((4, 4)), strict=True))
    found = taken(theirs | {"bn.num_batches_tracked": np.int64(7)}, NORM)
    assert {name: array[0] for name, array in found.items()} == {
        "bn.gamma": 0,
        "bn.beta": 4,
        "bn.moving_mean": 8,
        "bn.moving_variance": 12,
    }


def test_vgg_face_is_found_by_its_names_whatever_their_order(vgg_face):
    targets, arrays = vgg_face
    layers = in_words(channels_first(targets, arrays))[::-1]
    assert same(taken(named(layers).arrays, targets), arrays)


def test_vgg_face_is_found_by_the_order_of_its_layers_where_they_have_no_names(vgg_face):
    targets, arrays = vgg_face
    layers = [(str(place), layer) for place, (_name, layer) in enumerate(channels_first(targets, arrays))]
    last = ("40", {"kernel": values((10, 256)), "bias": values(10)})
    found = named([*layers, last], named=False)
    assert same(taken(found.arrays, targets, named=False), arrays)
    assert match(found, targets, plain_chain=True).left_out == ("40",)


def test_what_pytorch_numbers_is_in_the_order_of_its_numbers():
    wanted = [Target(f"block1_conv{n}", "Conv2D", "kernel", (1, 1, 2, 2)) for n in (1, 2)]
    found = {"features.10.weight": values((2, 2, 1, 1)) + 1, "features.2.weight": values((2, 2, 1, 1))}
    assert taken(found, wanted)["block1_conv1.kernel"].ravel().tolist() == [0, 2, 1, 3]


def test_keras_own_names_of_vgg_and_those_of_oxford_are_one():
    target = Target("block3_conv2", "Conv2D", "kernel", (1, 1, 2, 2))
    other = Target("block1_conv1", "Conv2D", "kernel", (1, 1, 2, 2))
    found = taken({"conv3_2.weight": values((2, 2, 1, 1)) + 1, "conv1_1.weight": values((2, 2, 1, 1))}, [other, target])
    assert found["block3_conv2.kernel"].ravel().tolist() == [1, 3, 2, 4]


def test_resnext50_is_found_by_torchvisions_names():
    targets = keras_targets("resnext50", {"width": 1 / 8, "cardinality": 8, "blocks": (1, 1, 1, 1)})
    arrays = random_arrays(targets)
    found = dict(named(torchvision_layers(targets, arrays)).arrays)
    found |= {"fc.weight": values((40, 256)), "fc.bias": values(40)}
    assert same(taken(found, targets, plain_chain=False), arrays)


def test_the_classifier_is_left_out_and_told(vgg_face):
    targets, arrays = vgg_face
    last = ("fc8", {"kernel": values((10, 256)), "bias": values(10)})
    found = match(named(in_words([*channels_first(targets, arrays), last])), targets, plain_chain=True)
    assert found.left_out == ("fc8",)


def test_what_is_missing_left_over_and_of_another_shape_is_told_in_one_sentence():
    found = {"conv.weight": values((4, 2, 5, 5)), "conv.scales": values(3), "other.weight": values(2)}
    assert refusal(found, [KERNEL, BIAS]) == (
        "missing: conv.bias; left over: other.kernel, conv.scales;"
        " of another shape: conv.kernel (4x2x5x5 in the file, 3x3x2x4 in Keras)"
    )


def test_an_array_that_a_needed_layer_has_too_many_is_no_matter_of_leaving_out_layers():
    found = {"conv.weight": values((4, 2, 3, 3)), "conv.scales": values(3), "other.weight": values(2)}
    assert refusal(found, [KERNEL]) == "left over: other.kernel, conv.scales"


def test_layers_are_left_out_by_shell_patterns_over_their_names():
    arrays = {f"{name}.weight": values(2) for name in ("conv1", "dense_1", "dense_2", "age.out", "age.out2")}
    found = NamedArrays("test", arrays | {"dense_1.bias": values(2)}, "OIHW", in_order=False)
    left, out = found.without(("dense*", "age.out"))
    assert (list(left.arrays), left.in_order, out) == (
        ["conv1.weight", "age.out2.weight"],
        False,
        ("dense_1", "dense_2", "age.out"),
    )


def test_a_pattern_that_fits_no_layer_is_refused_with_the_nearest_names():
    arrays = {f"{name}.weight": values(2) for name in ("conv1", "dense_1", "dense_2", "age", "dense_3")}
    with pytest.raises(FacetError) as error:
        NamedArrays("test", arrays, "OIHW").without(("conv*", "dens_?"))
    assert str(error.value) == (
        "--leave-out 'dens_?': fits no layer of the file, expected such as dense_3, dense_2, dense_1"
    )


def test_a_layer_that_is_left_out_and_needed_is_missing():
    found = NamedArrays("test", {"conv.weight": values((4, 2, 3, 3)), "other.bias": values(4)}, "OIHW")
    wanted = [KERNEL, Target("other", "Conv2D", "bias", (4,))]
    assert refusal(found.without(("oth*",))[0].arrays, wanted) == "missing: other.bias"


def test_many_of_a_kind_are_counted():
    wanted = [Target(f"conv{n}", "Conv2D", "bias", (2,)) for n in range(6)]
    assert refusal({"conv0.bias": values(2)}, wanted) == "missing: conv1.bias, conv2.bias, conv3.bias and 2 more"


@pytest.mark.parametrize(
    ("name", "plain"), [("vgg16", True), ("vggface", True), ("resnext50", False), ("mobilenet", False)]
)
def test_a_network_is_a_plain_chain_where_every_framework_computes_the_same_in_the_same_order(name, plain):
    assert is_plain_chain(abstract_network(backbone_named(name), {})) is plain


def test_layers_in_no_known_order_are_never_matched_by_order():
    wanted = [Target(f"block1_conv{n}", "Conv2D", "kernel", (1, 1, 2, 2)) for n in (1, 2)]
    found = {"a.10.weight": values((2, 2, 1, 1)), "b.2.weight": values((2, 2, 1, 1))}
    assert refusal(found, wanted, in_order=False) == (
        "layers have other names than this architecture's, and stand in no known order"
    )


def test_two_layers_that_could_be_the_same_are_refused():
    found = {"conv.weight": values((4, 2, 3, 3)), "CONV.weight": values((4, 2, 3, 3))}
    assert refusal(found, [KERNEL]) == "layers conv and CONV could be the same, expected one of them"


@pytest.mark.parametrize("name", ["head.conv9", "fc_bn", "logits_aux", "prob_map.3", "fc9.2"])
def test_a_layer_whose_name_only_begins_like_a_classifier_is_left_over(name):
    found = {"conv.weight": values((4, 2, 3, 3)), f"{name}.weight": values((5, 4))}
    assert refusal(found, [KERNEL]) == f"left over: {name}.kernel {HINT}"


def test_a_convolution_called_like_a_classifier_is_left_over():
    found = {"conv.weight": values((4, 2, 3, 3)), "fc.weight": values((5, 4, 3, 3))}
    assert refusal(found, [KERNEL]) == f"left over: fc.kernel {HINT}"


def test_a_layer_without_a_name_is_a_classifier_only_behind_all_others():
    wanted = [Target("block1_conv1", "Conv2D", "kernel", (1, 1, 2, 2))]
    found = {"0.weight": values((2, 2, 1, 1)), "1.weight": values((5, 2)), "2.weight": values((2, 2, 3, 3))}
    assert refusal(found, wanted, named=False) == f"left over: 2.kernel {HINT}"


def test_vgg16_of_pytorch_is_found_by_order_with_its_three_dense_layers_left_out():
    wanted = [Target(f"block1_conv{n}", "Conv2D", "kernel", (1, 1, 2, 2)) for n in (1, 2)]
    kernels = {f"features.{n}.weight": values((2, 2, 1, 1)) for n in (0, 2)}
    dense = {f"classifier.{n}.weight": values((5, 2)) for n in (0, 3, 6)}
    found = match(NamedArrays("test", kernels | dense, "OIHW"), wanted, plain_chain=True)
    assert (list(found.arrays), found.left_out) == (
        ["block1_conv1.kernel", "block1_conv2.kernel"],
        ("classifier.0", "classifier.3", "classifier.6"),
    )


def test_a_network_that_is_no_chain_is_never_matched_by_order():
    assert refusal({"0.weight": values((4, 2, 3, 3))}, [KERNEL], plain_chain=False, named=False) == (
        "no layer is called as this architecture's are, such as conv"
    )


def test_arrays_that_are_no_numbers_do_not_fit():
    assert refusal({"conv.bias": np.array(["a", "b", "c", "d"])}, [BIAS]) == (
        "of another shape: conv.bias (4 in the file, 4 in Keras)"
    )
