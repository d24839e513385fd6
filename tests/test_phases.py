import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from small_models import images, model_on, small_base

from models.training.phase import FINE_TUNING, OPTIMIZERS, WARM_UP, Phase
from models.training.phases import begin, phases_of, prepare_optimizer
from models.training.settings import make_settings

KERNELS = ["conv/kernel", "depthwise/kernel", "gender_dense_1/kernel", "gender_logits/kernel"]

#: On a second replica, TensorFlow's variables have other names.
ON_TWO_REPLICAS = """
import json, numpy, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from small_models import model_on, small_base
from models.training.phase import FINE_TUNING, Phase
from models.training.phases import begin
strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
with strategy.scope():
    model, _ = model_on(small_base(), ("gender",))
    begin(model, Phase(FINE_TUNING, 1, 0.1, "sgd", "all", weight_decay=0.5))
variables = model.trainable_variables
before = [variable.numpy() for variable in variables]
step = tf.function(lambda: model.optimizer.apply([tf.zeros_like(variable) for variable in variables], variables))
strategy.run(step)
decayed = [
    [variable.path for variable, old in zip(variables, before) if (variable.value.values[at].numpy() != old).any()]
    for at in (0, 1)
]
print(json.dumps(decayed))
"""


@pytest.fixture
def model():
    return model_on(small_base(), ("gender",))[0]


def step_without_gradients(model):
    """Gives what each variable is multiplied by, by path, for those that change."""
    before = {variable.path: variable.numpy() for variable in model.trainable_variables}
    model.optimizer.apply([tf.zeros_like(v) for v in model.trainable_variables], model.trainable_variables)
    after = {variable.path: variable.numpy() for variable in model.trainable_variables}
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    return {path: float(np.median(after[path] / before[path])) for path in sorted(changed)}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_kernels_decay_and_biases_gammas_and_betas_do_not(model, optimizer):
    begin(model, Phase(FINE_TUNING, 1, 0.1, optimizer, "all", weight_decay=0.5), "synchronized")
    assert step_without_gradients(model) == dict.fromkeys(KERNELS, pytest.approx(1 - 0.1 * 0.5))


def test_a_loaded_optimizer_decays_the_same_once_it_is_prepared(model, tmp_path):
    begin(model, Phase(FINE_TUNING, 1, 0.1, "adam", "all", weight_decay=0.5))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    prepare_optimizer(loaded.optimizer)
    assert list(step_without_gradients(loaded)) == KERNELS


def test_weights_decay_alike_on_every_replica():
    folders = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_REPLICAS],
        env={**os.environ, "PYTHONPATH": folders},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [KERNELS, KERNELS]


def test_without_weight_decay_nothing_decays(model):
    begin(model, Phase(FINE_TUNING, 1, 0.1, "adam", "all"))
    assert step_without_gradients(model) == {}


@pytest.mark.parametrize(
    ("phase", "trainable_layers", "moved"),
    [(WARM_UP, "0", []), (FINE_TUNING, "all", ["bn", "depthwise_bn"]), (FINE_TUNING, "4", ["depthwise_bn"])],
)
def test_synchronized_batch_normalization_trains_in_the_trained_part_of_fine_tuning(
    model, phase, trainable_layers, moved
):
    begin(model, Phase(phase, 1, 0.1, "sgd", trainable_layers), "synchronized")
    layers = [layer for layer in model.get_layer("backbone").layers if layer.name.endswith("bn")]
    before = [layer.moving_mean.numpy() for layer in layers]
    model(images(8).astype(np.float32), training=True)
    after = [layer.moving_mean.numpy() for layer in layers]
    assert [layer.name for layer in layers if layer.trainable] == moved
    assert [layer.name for layer in layers if layer.synchronized] == moved
    assert [
        layer.name for layer, old, new in zip(layers, before, after, strict=True) if not np.array_equal(old, new)
    ] == moved


def test_batch_normalization_is_frozen_again_where_another_phase_asks_for_that(model):
    begin(model, Phase(FINE_TUNING, 1, 0.1, "sgd", "all"), "synchronized")
    begin(model, Phase(FINE_TUNING, 1, 0.1, "sgd", "all"))
    layers = [layer for layer in model.get_layer("backbone").layers if layer.name.endswith("bn")]
    assert [(layer.trainable, layer.synchronized) for layer in layers] == [(False, False)] * 2


def test_an_empty_phase_is_left_out():
    needed = {"data": "", "images_digest": "", "index_digest": "", "label": "age", "backbone": "vgg19"}
    values = needed | {"weights": "none", "image_size": 64, "best_metric": "val_loss", "warm_up_epochs": 0}
    settings = make_settings(values)
    assert phases_of(settings) == (settings.fine_tuning,)
