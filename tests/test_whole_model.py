import keras
import numpy as np
import pytest
import tensorflow as tf

from hdf5_helper.errors import FacetError
from models.heads.choosing import heads_for
from models.network import scores_model
from models.training.whole_model import heads_of, is_whole

layers = keras.layers
PICTURES = np.random.default_rng(0).uniform(0, 255, (16, 8, 8, 3)).astype(np.float32)
TARGETS = np.arange(16).astype(np.float32) % 2


def features(images, spread=0.02):
    values = layers.Flatten()(
        layers.Conv2D(4, 3, kernel_initializer=keras.initializers.RandomNormal(0, spread))(images)
    )
    return layers.Dense(8)(values)


def gender_model(ending, spread=0.02):
    images = keras.Input((8, 8, 3))
    values = features(images, spread)
    if ending == "dense":
        return keras.Model(images, layers.Dense(1, activation="sigmoid", name="out")(values), name="own")
    return keras.Model(images, layers.Activation("sigmoid", name="out")(layers.Dense(1, name="z")(values)), name="own")


def sequential():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(1, activation="sigmoid")], name="own"
    )


def both(as_dict, reverse=False):
    images = keras.Input((8, 8, 3))
    values = features(images)
    years, female = layers.Dense(1, name="age")(values), layers.Dense(1, activation="sigmoid", name="gender")(values)
    outputs = {"gender": female, "age": years} if as_dict else [years, female]
    return keras.Model(images, outputs[::-1] if reverse else outputs, name="own")


def scores(model, labels):
    heads = heads_of(model, heads_for(labels))
    return heads, scores_model(model, heads)(PICTURES)


@pytest.mark.parametrize("spread", [0.02, 100.0])  # the second saturates: logits of ten thousands
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("make", [lambda s: gender_model("dense", s), lambda s: gender_model("activation", s)])
def test_the_loss_of_a_sigmoid_is_that_of_keras(make, smoothing, spread):
    model = make(spread)
    [head], values = scores(model, ("gender",))
    loss = keras.losses.BinaryCrossentropy(label_smoothing=smoothing, reduction="none")
    wanted = loss(TARGETS[:, None], model(PICTURES)).numpy()
    assert head.losses(values["gender"], TARGETS, smoothing).numpy() == pytest.approx(wanted, rel=1e-5)


def test_the_gradient_through_a_dense_sigmoid_is_that_of_keras():
    model = gender_model("dense")
    [head] = heads_of(model, heads_for(("gender",)))
    graph = scores_model(model, (head,))
    with tf.GradientTape(persistent=True) as tape:
        ours = tf.reduce_mean(head.losses(graph(PICTURES)["gender"], TARGETS))
        theirs = keras.losses.BinaryCrossentropy()(TARGETS[:, None], model(PICTURES))
    pairs = zip(*(tape.gradient(loss, model.trainable_variables) for loss in (ours, theirs)), strict=True)
    assert all(np.allclose(*pair, rtol=1e-4, atol=1e-5) for pair in pairs)


@pytest.mark.parametrize("ending", ["dense", "activation"])
def test_accuracy_counts_a_half_as_female(ending):
    model = gender_model(ending)
    [head], values = scores(model, ("gender",))
    wanted = (model(PICTURES).numpy()[:, 0] >= 0.5) == (TARGETS >= 0.5)
    assert head.metrics(values["gender"], TARGETS)[0].numpy().tolist() == wanted.astype(float).tolist()


@pytest.mark.parametrize("as_dict", [True, False])
def test_outputs_of_two_labels_are_told_apart_by_name(as_dict):
    model = both(as_dict)
    heads, values = scores(model, ("age", "gender"))
    outputs = model(PICTURES)
    years = outputs["age"] if as_dict else outputs[0]
    assert [head.label for head in heads] == ["age", "gender"]
    assert [head.loss_weight for head in heads] == [head.loss_weight for head in heads_for(("age", "gender"))]
    assert np.array_equal(values["age"], years)
    assert heads[0].losses(values["age"], TARGETS).numpy() == pytest.approx(np.abs(years.numpy()[:, 0] - TARGETS))


def test_a_sequential_model_will_do():
    [head], _values = scores(sequential(), ("gender",))
    assert head.label == "gender"


def ending_in(*more, channels=3):
    return keras.Sequential([keras.Input((8, 8, channels)), layers.Flatten(), *more], name="own")


def dense(units, activation=None):
    return layers.Dense(units, activation=activation, name="z")


FEMALE, YEARS = "expected (None, 1), P(female) from a sigmoid", "expected (None, 1), years from a Dense layer"
UNFIT = {
    "logits": (lambda: ending_in(dense(1)), "gender", f"output 'z' is (None, 1) with activation linear, {FEMALE}"),
    "two classes": (
        lambda: ending_in(dense(2, "softmax")),
        "gender",
        f"output 'z' is (None, 2) with activation softmax, {FEMALE}",
    ),
    "sigmoid age": (
        lambda: ending_in(dense(1, "sigmoid")),
        "age",
        f"output 'z' is (None, 1) with activation sigmoid, {YEARS}",
    ),
    "nobody knows": (
        lambda: ending_in(layers.Dense(1), layers.Rescaling(2.0, name="z")),
        "gender",
        f"output 'z' is (None, 1) with activation unknown, {FEMALE}",
    ),
    "one of two": (lambda: both(as_dict=True), "gender", "has outputs age, gender, expected gender"),
    "two of one": (
        lambda: ending_in(dense(1)),
        "age gender",
        "has outputs z, expected age and gender, in this order or as a dict",
    ),
    "another order": (
        lambda: both(as_dict=False, reverse=True),
        "age gender",
        "has outputs gender, age, expected age and gender, in this order or as a dict",
    ),
    "grey": (
        lambda: ending_in(dense(1), channels=1),
        "age",
        "takes (None, 8, 8, 1), expected one colour image (None, H, W, 3)",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_model_is_one_sentence(case):
    make, labels, sentence = UNFIT[case]
    with pytest.raises(FacetError) as error:
        heads_of(make(), heads_for(tuple(labels.split())))
    assert str(error.value) == f"model own: {sentence}"


def test_a_backbone_is_no_whole_model():
    images = keras.Input((8, 8, 3))
    assert not is_whole(keras.Model(images, layers.Conv2D(4, 3)(images)))
    assert is_whole(sequential())
    assert is_whole(both(as_dict=True))


def test_attributes_behind_sigmoids_are_learnt_as_probabilities():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2, "sigmoid", name="attributes")])
    [head] = heads_of(model, heads_for(("attributes",), {"attributes": ("Smiling", "Hat")}))
    probabilities, targets = np.array([[0.9, 0.2]], np.float32), np.array([[1, 0]], np.float32)
    assert np.allclose(head.losses(probabilities, targets), -np.log([[0.9, 0.8]]), rtol=1e-4)
    assert head.metrics(probabilities, targets)[0].numpy().tolist() == [[1, 1]]
