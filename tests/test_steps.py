import itertools

import keras
import numpy as np
import pytest

from models.backbones.building import build_backbone
from models.backbones.registry import BACKBONES
from models.calibration import measure_batch_normalization
from models.heads.choosing import heads_for
from models.network import HeadShape, backbone_of, build_network
from models.training.chance import seed_generators, step_seeds
from models.training.distribution.replicas import Replicas
from models.training.feeding import Batch
from models.training.phase import FINE_TUNING, WARM_UP, Phase
from models.training.phases import begin, set_trainable
from models.training.state import add
from models.training.steps import Update, evaluation_step, figures, training_step
from models.training.stopping import Flags

HEADS = heads_for(("gender",))
BOTH = heads_for(("age", "gender"))


def network(heads=HEADS, dropout=0.0):
    base = build_backbone("mobilenet_v2", (32, 32), {"alpha": 0.35}, 0)
    shape = HeadShape(units=(8,), dropout=dropout)
    model = build_network(base, BACKBONES["mobilenet_v2"].preprocessing, heads, shape, 0)
    measure_batch_normalization(model, images(8))
    return model


def shallow_network(heads=HEADS):
    """Gives a model whose scores do not hang on the last digits, as those of many random layers do."""
    pictures = keras.Input((32, 32, 3))
    kernel = keras.initializers.GlorotUniform(0)
    maps = keras.layers.Conv2D(8, 3, strides=4, activation="relu", kernel_initializer=kernel)(pictures)
    base = keras.Model(pictures, maps)
    return build_network(base, BACKBONES["mobilenet_v2"].preprocessing, heads, HeadShape(units=(8,), dropout=0.0), 0)


def images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def batch(pictures, heads=HEADS, **values):
    def arrays(name, default):
        given = values.get(name, {})
        return {h.label: np.array(given.get(h.label, [default] * len(pictures)), np.float32) for h in heads}

    counted = arrays("counted", 1)
    totals = {label: float(values.sum()) for label, values in counted.items()}
    return Batch(pictures, arrays("targets", 1), arrays("weights", 1), counted, totals)


def trained(model, one_batch, heads=HEADS, number=0, **update):
    """Gives the sums of one training step."""
    return training_step(model, heads, Replicas(), Update(**update))(one_batch, number, Flags())[0]


def measured(model, one_batch, heads=HEADS):
    return evaluation_step(model, heads, Replicas())(one_batch, Flags())[0]


def test_the_loss_is_that_of_keras():
    model, targets = network(), [0, 1, 1, 0]
    sums = measured(model, batch(images(), targets={"gender": targets}))
    probabilities = model(images().astype(np.float32)).numpy()[:, 0]
    loss = float(keras.losses.BinaryCrossentropy()(np.array(targets, np.float32), probabilities))
    assert sums["gender_loss"] == [pytest.approx(4 * loss, rel=1e-4), 4]  # Keras clips probabilities at 1e-7


def test_accuracy_counts_right_answers():
    model, targets = network(), np.array([0, 1, 1, 0])
    right, count = measured(model, batch(images(), targets={"gender": targets}))["gender_accuracy"]
    probabilities = model(images().astype(np.float32)).numpy()[:, 0]
    assert (right, count) == (int(((probabilities >= 0.5) == targets).sum()), 4)


def test_rows_with_weight_zero_change_neither_loss_nor_gradient():
    pictures = images(6)
    short, padded = shallow_network(), shallow_network()
    begin(short, Phase(WARM_UP, 1, 0.1, "sgd")), begin(padded, Phase(WARM_UP, 1, 0.1, "sgd"))
    zero = {"gender": [1, 1, 1, 1, 0, 0]}
    left = trained(short, batch(pictures[:4], targets={"gender": [0, 1, 0, 1]}))
    right = trained(padded, batch(pictures, targets={"gender": [0, 1, 0, 1, 1, 1]}, weights=zero, counted=zero))
    assert left["gender_loss"] == pytest.approx(right["gender_loss"], rel=1e-6)
    for one, other in zip(short.get_weights(), padded.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-6)


def test_a_class_weight_multiplies_the_loss_of_its_examples():
    model = shallow_network()
    begin(model, Phase(WARM_UP, 1, 1e-30, "sgd"))
    plain = [trained(model, batch(images(1), targets={"gender": [t]}))["gender_loss"][0] for t in (0, 1)]
    pair = np.repeat(images(1), 2, axis=0)
    weighted = trained(model, batch(pair, targets={"gender": [0, 1]}, weights={"gender": [1, 3]}))["gender_loss"]
    assert weighted == [pytest.approx(plain[0] + 3 * plain[1], rel=1e-5), 2]


def test_two_heads_add_up_with_their_loss_weights():
    sums = {"age_loss": [30.0, 4], "gender_loss": [2.0, 4], "age_mae": [30.0, 4], "gender_accuracy": [3.0, 4]}
    assert figures(BOTH, sums) == {
        "loss": 30 / 4 + 10 * 2 / 4,
        "age_loss": 7.5,
        "gender_loss": 0.5,
        "age_mae": 7.5,
        "gender_accuracy": 0.75,
    }


def test_the_loss_of_two_labels_is_the_sum_of_their_means_however_the_batches_fall():
    first = {"age_loss": [8.0, 2], "gender_loss": [1.0, 1]}
    second = {"age_loss": [4.0, 2], "gender_loss": [0.0, 0]}
    both = {}
    add(both, first)
    add(both, second)
    assert figures(BOTH, both)["loss"] == 12 / 4 + 10 * 1.0


def test_one_head_shows_its_loss_once():
    assert figures(HEADS, {"gender_loss": [2.0, 4], "gender_accuracy": [3.0, 4]}) == {
        "loss": 0.5,
        "gender_accuracy": 0.75,
    }


def test_a_label_unknown_in_the_whole_batch_adds_nothing():
    model = network(BOTH)
    none = {"gender": [0, 0, 0, 0]}
    sums = measured(model, batch(images(), BOTH, targets={"age": [20, 30, 40, 50]}, counted=none), BOTH)
    assert sums["gender_accuracy"] == [0, 0]
    assert figures(BOTH, sums)["loss"] == pytest.approx(sums["age_loss"][0] / 4, rel=1e-6)


def test_warm_up_trains_the_head_alone():
    model = network()
    assert begin(model, Phase(WARM_UP, 1, 0.1, "sgd")) == []
    before = backbone_of(model).get_weights()
    trained(model, batch(images()))
    assert all(np.array_equal(*pair) for pair in zip(before, backbone_of(model).get_weights(), strict=True))


def test_fine_tuning_moves_the_named_layers_and_no_batch_normalization():
    model = network()
    names = begin(model, Phase(FINE_TUNING, 1, 0.1, "sgd", "4"))
    before = {layer.name: layer.get_weights() for layer in backbone_of(model).layers}
    trained(model, batch(images(), targets={"gender": [0, 1, 0, 1]}))
    moved = [
        layer.name
        for layer in backbone_of(model).layers
        if not all(np.array_equal(*pair) for pair in zip(before[layer.name], layer.get_weights(), strict=True))
    ]
    assert moved == names == ["Conv_1"]


def test_the_top_four_layers_of_vgg19_are_three_convolutions_and_a_pooling():
    base = build_backbone("vgg19", (32, 32), {}, 0)
    assert set_trainable(base, "4") == ["block5_conv2", "block5_conv3", "block5_conv4"]
    assert set_trainable(base, "block5_conv4") == ["block5_conv4"]
    assert set_trainable(base, "0") == []
    assert len(set_trainable(base, "all")) == 16


def weights_after(parts=1, heads=HEADS, pictures=8, **update):
    """Gives the head's first kernel after one step of SGD."""
    model = shallow_network(heads)
    begin(model, Phase(WARM_UP, 1, 0.1, "sgd"))
    targets = {"gender": [0, 1] * (pictures // 2)}
    trained(model, batch(images(pictures), heads, targets=targets), heads, parts=parts, **update)
    return model.get_layer("gender_dense_1").get_weights()[0]


def test_a_batch_in_parts_gives_the_update_of_the_whole():
    assert np.allclose(weights_after(parts=4), weights_after(), rtol=0, atol=1e-6)


def test_a_batch_in_parts_gives_the_sums_of_the_whole():
    model, whole = shallow_network(BOTH), batch(images(6), BOTH, targets={"age": [20, 30, 40, 50, 60, 70]})
    begin(model, Phase(WARM_UP, 1, 1e-30, "sgd"))
    parts = trained(model, whole, BOTH, parts=3)
    assert {name: pytest.approx(pair, rel=1e-5) for name, pair in trained(model, whole, BOTH).items()} == parts


def test_clipping_shortens_the_gradient_to_the_norm():
    model, before = network(), network()
    begin(model, Phase(WARM_UP, 1, 1.0, "sgd"))
    trained(model, batch(images(), targets={"gender": [0, 1, 0, 1]}), clipping=1e-2)
    moved = [new - old for new, old in zip(model.get_weights(), before.get_weights(), strict=True)]
    assert np.sqrt(sum(float((change**2).sum()) for change in moved)) == pytest.approx(1e-2, rel=1e-3)


def test_smoothed_targets_give_the_loss_of_keras_and_validation_knows_none_of_it():
    model, targets = network(), np.array([0, 1, 1, 0], np.float32)
    begin(model, Phase(WARM_UP, 1, 1e-30, "sgd"))
    some = batch(images(), targets={"gender": targets})
    probabilities = model(images().astype(np.float32)).numpy()[:, 0]
    losses = (keras.losses.BinaryCrossentropy(label_smoothing=smoothing) for smoothing in (0.2, 0))
    smoothed, plain = (float(loss(targets, probabilities)) for loss in losses)
    assert trained(model, some, smoothing=0.2)["gender_loss"] == [pytest.approx(4 * smoothed, rel=1e-4), 4]
    assert measured(model, some)["gender_loss"] == [pytest.approx(4 * plain, rel=1e-4), 4]


def test_bfloat16_trains_the_step_and_leaves_the_model_in_float32():
    model, some = shallow_network(), batch(images(8), targets={"gender": [0, 1] * 4})
    begin(model, Phase(WARM_UP, 1, 1e-30, "sgd"))
    exact, rough = (trained(model, some, precision=p)["gender_loss"][0] for p in ("float32", "mixed_bfloat16"))
    assert exact != rough
    assert rough == pytest.approx(exact, rel=0.02)
    layers = [*model.layers, *backbone_of(model).layers]
    assert {layer.compute_dtype for layer in layers} == {"float32"}
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}


def test_dropout_is_a_function_of_phase_and_step():
    model = network(dropout=0.5)
    begin(model, Phase(WARM_UP, 1, 1e-30, "sgd"))

    def loss(phase, number):
        return trained(model, batch(images()), number=number, seed=1, phase=phase)["gender_loss"][0]

    first = loss(0, 0)
    assert loss(0, 0) == first
    assert len({first, loss(0, 1), loss(1, 0), loss(1, 1)}) == 4


def test_dropout_leaves_the_state_that_keras_keeps_in_a_layer_alone():
    model = network(dropout=0.5)
    (generator,) = seed_generators(model)
    before = generator.state.numpy().tolist()
    begin(model, Phase(WARM_UP, 1, 1e-30, "sgd"))
    trained(model, batch(images()))
    assert generator.state.numpy().tolist() == before
    assert "next" not in vars(generator)


def test_every_layer_and_replica_has_seeds_of_its_own():
    places = itertools.product((0, 1), (0, 5), (0, 1))
    seeds = np.concatenate([step_seeds(3, 7, phase, step, replica) for phase, step, replica in places])
    assert (seeds.dtype, seeds.min() >= 0, len(np.unique(seeds, axis=0))) == (np.int32, True, 24)


def test_a_signal_to_this_worker_is_known_after_the_step():
    model = network()
    begin(model, Phase(WARM_UP, 1, 0.1, "sgd"))
    step = training_step(model, HEADS, Replicas(), Update())
    assert [step(batch(images()), 0, flags)[1] for flags in (Flags(), Flags(terminate=True))] == [
        Flags(),
        Flags(terminate=True),
    ]
