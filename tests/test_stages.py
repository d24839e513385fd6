import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import narrow_vgg

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.backbones.cut_points import cut_below, cut_points
from models.backbones.registry import BACKBONES, backbone_named
from models.backbones.stages import stages_of
from models.training.phases import set_trainable

LAYERS = keras.layers

#: Narrow forms: stages do not hang on the width.
NARROW = {
    "vggface": {"width": 0.0625},
    "resnext50": {"width": 0.0625, "cardinality": 4},
    "mobilenet": {"alpha": 0.25},
    "mobilenet_v2": {"alpha": 0.35},
    "mobilenet_v3_small": {"alpha": 0.75},
}


@pytest.fixture(scope="module")
def resnext():
    return build_backbone("resnext50", (64, 64), {"width": 0.0625, "cardinality": 4, "blocks": (1, 2, 1, 1)}, 0)


@pytest.mark.parametrize("name", NARROW)
def test_the_registry_names_the_stages_that_the_layers_tell(name):
    stages = stages_of(build_backbone(name, (64, 64), NARROW[name], 0))
    assert tuple(stages) == backbone_named(name).stages


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone_has_the_stages_parameters_and_size_of_the_registry(name):
    backbone = backbone_named(name)
    model = build_backbone(name, (backbone.size, backbone.size), {}, 0)
    assert (tuple(stages_of(model)), model.count_params()) == (backbone.stages, backbone.parameters)


def test_a_stage_begins_at_its_lowest_layer(resnext):
    assert stages_of(resnext) == {
        "stem": "conv1",
        "layer1": "layer1_0_conv1",
        "layer2": "layer2_0_conv1",
        "layer3": "layer3_0_conv1",
        "layer4": "layer4_0_conv1",
    }
    assert stages_of(narrow_vgg()) == {f"block{number}": f"block{number}_conv1" for number in range(1, 6)}


def test_a_model_whose_names_tell_nothing_has_no_stages():
    images = keras.Input((8, 8, 3))
    assert stages_of(keras.Model(images, LAYERS.Conv2D(2, 3)(images))) == {}


def test_training_from_a_stage_trains_it_and_all_above_it(resnext):
    trained = set_trainable(resnext, "layer2", "synchronized")
    with_weights = [layer.name for layer in resnext.layers if layer.weights]
    assert trained == [name for name in with_weights if name.startswith(("layer2", "layer3", "layer4"))]
    assert "layer2_0_downsample_0" in trained


def test_an_unknown_stage_is_one_sentence_that_names_the_stages():
    with pytest.raises(FacetError) as error:
        set_trainable(narrow_vgg(), "block6")
    assert str(error.value) == (
        "trainable_layers 'block6': expected a number of layers from the top, all, or the name of one of the backbone's"
        " 22 layers or stages (block1, block2, block3, block4, block5) (did you mean 'block5'?)"
    )


def paths(parents, node):
    """Gives every path from the input, 0, to a node, as sets of nodes."""
    if node == 0:
        return [{0}]
    return [path | {node} for parent in parents[node] for path in paths(parents, parent)]


@st.composite
def graphs(draw):
    """Gives for each node but the first those that it adds up: any earlier ones."""
    count = draw(st.integers(1, 8))
    return [set(), *(draw(st.sets(st.integers(0, node - 1), min_size=1, max_size=3)) for node in range(1, count + 1))]


def model_of(parents):
    values = [keras.Input((1,), name="node0")]
    for node, taken in enumerate(parents[1:], start=1):
        inputs = [values[number] for number in sorted(taken)]
        layer = LAYERS.Add(name=f"node{node}") if len(inputs) > 1 else LAYERS.Identity(name=f"node{node}")
        values.append(layer(inputs if len(inputs) > 1 else inputs[0]))
    return keras.Model(values[0], values[-1])


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_cut_points_are_what_all_paths_have_in_common(parents):
    common = set.intersection(*paths(parents, len(parents) - 1))
    assert cut_points(model_of(parents)) == tuple(f"node{node}" for node in sorted(common))


def test_a_layer_that_is_used_twice_is_no_cut_point():
    images = keras.Input((4,), name="in")
    twice = LAYERS.Dense(4, name="twice")
    model = keras.Model(images, LAYERS.Dense(2, name="out")(LAYERS.Identity(name="between")(twice(twice(images)))))
    assert cut_points(model) == ("in", "between", "out")


def test_what_gives_one_of_several_outputs_is_bypassed():
    images = keras.Input((4,), name="in")
    low = LAYERS.Dense(4, name="low")(images)
    high = LAYERS.Dense(4, name="high")(LAYERS.Identity(name="between")(low))
    assert cut_points(keras.Model(images, [low, high])) == ("in", "low")


@pytest.mark.parametrize(
    ("first_trained", "cut"),
    [
        ("conv1", "pad"),
        ("layer1_0_conv2", "maxpool"),
        ("layer1_0_relu", "layer1_0_relu"),
        ("layer2_0_conv1", "layer1_0_relu"),
        ("layer2_0_downsample_0", "layer1_0_relu"),
        ("layer2_1_bn3", "layer2_0_relu"),
    ],
)
def test_the_cut_is_the_highest_point_that_no_training_touches(resnext, first_trained, cut):
    assert cut_below(resnext, first_trained) == cut


def test_with_nothing_or_everything_trained_the_cut_is_the_last_or_the_first_layer(resnext):
    assert cut_below(resnext, len(resnext.layers)) == "layer4_0_relu"
    sequential = keras.Sequential([keras.Input((8, 8, 3), name="in"), LAYERS.Conv2D(2, 3, name="conv")])
    assert cut_below(sequential, 0) == "in"


def test_the_part_above_the_cut_computes_from_what_the_part_below_gives(resnext):
    images = np.random.default_rng(0).normal(0, 1, (2, 64, 64, 3)).astype(np.float32)
    at = resnext.get_layer(cut_below(resnext, "layer3_0_conv2")).output
    below, above = keras.Model(resnext.input, at), keras.Model(at, resnext.output)
    np.testing.assert_array_equal(above(below(images)), resnext(images))
