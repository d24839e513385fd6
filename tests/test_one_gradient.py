"""One step from one state is one result, however busy the machine is: 200 times, beside others that want its cores."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REPEATS = 200


@pytest.fixture(scope="module")
def load():
    """Two processes that compute without a pause."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for process in busy:
        process.kill()
        process.wait()


def digests(inter_op_threads, repeats=REPEATS):
    """Gives the different digests of sums and variables after one step that is repeated from one state."""
    command = [sys.executable, __file__, str(inter_op_threads), str(repeats)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.long
def test_one_step_repeated_gives_one_digest(load):
    assert len(digests(1)) == 1


@pytest.mark.long
def test_with_several_inter_op_threads_it_would_not(load):
    assert len(digests(8, 600)) > 1


def main(inter_op_threads, repeats):
    import tensorflow as tf
    import xxhash

    from models.training.distribution.replicas import Replicas
    from models.training.steps import Update, training_step
    from models.training.stopping import Flags
    from scripts.tensorflow_runtime import deterministic_tensorflow

    deterministic_tensorflow()
    tf.config.threading.set_inter_op_parallelism_threads(inter_op_threads)
    model, heads, batch = prepared()
    variables = [*model.weights, *model.optimizer.variables]
    state = [variable.numpy() for variable in variables]
    step = training_step(model, heads, Replicas(), Update(seed=7, clipping=1.0, smoothing=0.1))
    found = set()
    for _repeat in range(repeats):
        for variable, value in zip(variables, state, strict=True):
            variable.assign(value)
        sums, _flags = step(batch, 3, Flags())
        hasher = xxhash.xxh3_128(json.dumps(sums).encode())
        for variable in variables:
            hasher.update(variable.numpy().tobytes())
        found.add(hasher.hexdigest())
    print(json.dumps(sorted(found)))  # noqa: T201


def prepared():
    """Gives a model of two heads that trains wholly, in the middle of its training, and a batch with class weights."""
    import numpy as np

    from models.heads.choosing import heads_for
    from models.network import HeadShape, build_network
    from models.preprocessing import Preprocessing
    from models.training.feeding import make_batch
    from models.training.phase import FINE_TUNING, Phase
    from models.training.phases import begin

    rng = np.random.default_rng(0)
    heads = heads_for(("gender", "age"))
    model = build_network(branching(), Preprocessing(), heads, HeadShape(units=(16,), dropout=0.4), 2)
    begin(model, Phase(FINE_TUNING, 1, 1e-3, "adam", "all", weight_decay=1e-3))
    labels = {"gender": rng.integers(0, 2, 16).astype(np.uint8), "age": rng.integers(18, 70, 16).astype(np.float32)}
    weights = {name: rng.uniform(0.5, 2, 16).astype(np.float32) for name in labels}
    return model, heads, make_batch(rng.integers(0, 256, (16, 64, 64, 3)).astype(np.uint8), labels, heads, weights)


def branching():
    """Gives a backbone whose first layer has many users: its gradient is a long sum, in the order that they come."""
    import keras

    from models.backbones.building import initialise

    layers = keras.layers
    images = keras.Input((64, 64, 3))
    first = layers.Conv2D(16, 3, strides=2, activation="relu")(images)
    ways = [layers.Conv2D(16, 3, padding="same")(first) for _way in range(6)]
    sums = [layers.Add()([first, way]) for way in ways]
    model = keras.Model(images, layers.MaxPooling2D()(layers.Concatenate()(sums)), name="backbone")
    initialise(model, 1)
    return model


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
