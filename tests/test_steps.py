import keras
import numpy as np
import pytest

from models.backbones import BACKBONES, build_backbone
from models.calibration import measure_batch_normalization
from models.heads import heads_for
from models.network import HeadShape, backbone_of, build_network
from models.training.feeding import Batch
from models.training.phases import FINE_TUNING, WARM_UP, Phase, begin, set_trainable
from models.training.state import add
from models.training.steps import dropout_seeder, evaluation_step, figures, training_step

HEADS = heads_for(("gender",))
BOTH = heads_for(("age", "gender"))


def network(heads=HEADS, dropout=0.0):
    base = build_backbone("mobilenet_v2", (32, 32), {"alpha": 0.35}, 0)
    shape = HeadShape(units=(8,), dropout=dropout)
    model = build_network(base, BACKBONES["mobilenet_v2"].preprocessing, heads, shape, 0)
    measure_batch_normalization(model, images(8))
    return model


def images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def batch(pictures, heads=HEADS, **values):
    def arrays(name, default):
        given = values.get(name, {})
        return {h.label: np.array(given.get(h.label, [default] * len(pictures)), np.float32) for h in heads}

    return Batch(pictures, arrays("targets", 1), arrays("weights", 1), arrays("counted", 1))


def test_the_loss_is_that_of_keras():
    model, targets = network(), [0, 1, 1, 0]
    sums = evaluation_step(model, HEADS)(batch(images(), targets={"gender": targets}))
    probabilities = model(images().astype(np.float32)).numpy()[:, 0]
    loss = float(keras.losses.BinaryCrossentropy()(np.array(targets, np.float32), probabilities))
    assert sums["gender_loss"] == [pytest.approx(4 * loss, rel=1e-4), 4]  # Keras clips probabilities at 1e-7


def test_accuracy_counts_right_answers():
    model, targets = network(), np.array([0, 1, 1, 0])
    right, count = evaluation_step(model, HEADS)(batch(images(), targets={"gender": targets}))["gender_accuracy"]
    probabilities = model(images().astype(np.float32)).numpy()[:, 0]
    assert (right, count) == (int(((probabilities >= 0.5) == targets).sum()), 4)


def test_rows_with_weight_zero_change_neither_loss_nor_gradient():
    pictures = images(6)
    short, padded = network(), network()
    begin(short, Phase(WARM_UP, 1, 0.1, "sgd")), begin(padded, Phase(WARM_UP, 1, 0.1, "sgd"))
    zero = {"gender": [1, 1, 1, 1, 0, 0]}
    left = training_step(short, HEADS)(batch(pictures[:4], targets={"gender": [0, 1, 0, 1]}))
    right = training_step(padded, HEADS)(
        batch(pictures, targets={"gender": [0, 1, 0, 1, 1, 1]}, weights=zero, counted=zero)
    )
    assert left["gender_loss"] == pytest.approx(right["gender_loss"], rel=1e-6)
    for one, other in zip(short.get_weights(), padded.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-6)


def test_a_class_weight_multiplies_the_loss_of_its_examples():
    model = network()
    begin(model, Phase(WARM_UP, 1, 1e-30, "sgd"))
    step = training_step(model, HEADS)
    plain = [step(batch(images(1), targets={"gender": [t]}))["gender_loss"][0] for t in (0, 1)]
    pair = np.repeat(images(1), 2, axis=0)
    weighted = step(batch(pair, targets={"gender": [0, 1]}, weights={"gender": [1, 3]}))["gender_loss"]
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
    sums = evaluation_step(model, BOTH)(batch(images(), BOTH, targets={"age": [20, 30, 40, 50]}, counted=none))
    assert sums["gender_accuracy"] == [0, 0]
    assert figures(BOTH, sums)["loss"] == pytest.approx(sums["age_loss"][0] / 4, rel=1e-6)


def test_warm_up_trains_the_head_alone():
    model = network()
    assert begin(model, Phase(WARM_UP, 1, 0.1, "sgd")) == []
    before = backbone_of(model).get_weights()
    training_step(model, HEADS)(batch(images()))
    assert all(np.array_equal(*pair) for pair in zip(before, backbone_of(model).get_weights(), strict=True))


def test_fine_tuning_moves_the_named_layers_and_no_batch_normalization():
    model = network()
    trained = begin(model, Phase(FINE_TUNING, 1, 0.1, "sgd", "4"))
    before = {layer.name: layer.get_weights() for layer in backbone_of(model).layers}
    training_step(model, HEADS)(batch(images(), targets={"gender": [0, 1, 0, 1]}))
    moved = [
        layer.name
        for layer in backbone_of(model).layers
        if not all(np.array_equal(*pair) for pair in zip(before[layer.name], layer.get_weights(), strict=True))
    ]
    assert moved == trained == ["Conv_1"]


def test_the_top_four_layers_of_vgg19_are_three_convolutions_and_a_pooling():
    base = build_backbone("vgg19", (32, 32), {}, 0)
    assert set_trainable(base, "4") == ["block5_conv2", "block5_conv3", "block5_conv4"]
    assert set_trainable(base, "block5_conv4") == ["block5_conv4"]
    assert set_trainable(base, "0") == []
    assert len(set_trainable(base, "all")) == 16


def test_dropout_is_a_function_of_phase_and_step():
    model = network(dropout=0.5)
    begin(model, Phase(WARM_UP, 1, 1e-30, "sgd"))
    step, seed = training_step(model, HEADS), dropout_seeder(model, 1)

    def loss(phase, number):
        seed(phase, number)
        return step(batch(images()))["gender_loss"][0]

    first = loss(0, 0)
    assert loss(0, 0) == first
    assert len({first, loss(0, 1), loss(1, 0), loss(1, 1)}) == 4
