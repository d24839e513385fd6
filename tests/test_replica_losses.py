"""One step on one, two and four replicas: the same sums and the same weights, however the known labels fall on them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

#: Eight rows: of age the last three are padding, of gender the first half is unknown, so that replicas have none of it.
COUNTED = {"age": [1, 1, 1, 1, 1, 0, 0, 0], "gender": [0, 0, 0, 0, 1, 1, 1, 1]}
WEIGHTS = {"age": [1, 2, 1, 0.5, 1, 0, 0, 0], "gender": [0, 0, 0, 0, 1, 1.582, 1, 1.582]}


@pytest.fixture(scope="module")
def answers():
    """What each number of replicas, with and without parts, came to, each in a process with so many logical CPUs."""
    return {name: answer for count in (1, 2, 4) for name, answer in answers_of(count).items()}


def answers_of(count):
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, __file__, str(count)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("devices", ["2", "4", "1 in parts", "2 in parts", "4 in parts"])
def test_replicas_share_a_batch_without_changing_its_loss_or_its_update(answers, devices):
    one, several = answers["1"], answers[devices]
    assert one["sums"].keys() == several["sums"].keys()
    for name, pair in one["sums"].items():
        np.testing.assert_allclose(several["sums"][name], pair, rtol=1e-5)
    np.testing.assert_allclose(several["weights"], one["weights"], rtol=0, atol=2e-6)


def test_the_update_is_one(answers):
    assert max(abs(a - b) for a, b in zip(answers["1"]["weights"], answers["1"]["before"], strict=True)) > 1e-3


def main(count: int) -> None:
    import keras
    import tensorflow as tf
    from small_models import small_base

    from models.heads.choosing import heads_for
    from models.network import HeadShape, build_network
    from models.preprocessing import Preprocessing
    from models.training.distribution.devices import Devices, configure_devices
    from models.training.distribution.replicas import Replicas
    from models.training.feeding import Batch
    from models.training.phase import FINE_TUNING, Phase
    from models.training.phases import begin
    from models.training.steps import Update, training_step
    from models.training.stopping import Flags

    names, heads = configure_devices(Devices("cpu", count)), heads_for(("age", "gender"))
    replicas = Replicas(tf.distribute.MirroredStrategy(names) if count > 1 else None)
    chance = np.random.default_rng(0)
    arrays = {name: {k: np.array(v, np.float32) for k, v in values.items()} for name, values in _values(chance).items()}
    totals = {name: float(sum(values)) for name, values in COUNTED.items()}
    images = chance.integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    batch = Batch(images, arrays["targets"], arrays["weights"], arrays["counted"], totals)
    answer = {}
    for name, parts in ((f"{count}", 1), (f"{count} in parts", 2)):
        keras.utils.set_random_seed(0)  # for the backbone's own weights
        with replicas.scope():
            model = build_network(small_base(32), Preprocessing(), heads, HeadShape("flatten", (8,), 0.0), 0)
            begin(model, Phase(FINE_TUNING, 1, 0.01, "sgd", "all"))
        before = _weights(model)
        step = training_step(model, heads, replicas, Update(clipping=1.0, parts=parts))
        sums, _flags = step(batch, 0, Flags())
        answer[name] = {"sums": sums, "weights": _weights(model), "before": before}
    sys.stdout.write(f"{json.dumps(answer)}\n")


def _values(chance: np.random.Generator) -> dict[str, dict[str, list[float]]]:
    targets = {"age": chance.uniform(1, 90, 8).tolist(), "gender": [0, 1, 0, 1, 0, 1, 0, 1]}
    return {"targets": targets, "weights": WEIGHTS, "counted": COUNTED}


def _weights(model: object) -> list[float]:
    return [float(number) for weight in model.trainable_weights for number in weight.numpy().ravel()[:50]]  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(int(sys.argv[1]))
