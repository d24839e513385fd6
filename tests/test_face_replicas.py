"""A FaceModel on two devices: what it learns is what it learns on one, and lies in the user's own model afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT


def fitted(file, folder, devices):
    """Trains the small GenderModel in a process with so many logical CPUs; gives what it printed."""
    command = [sys.executable, __file__, str(file), str(devices)]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answers(packed, tmp_path_factory):
    file = packed("agegender", count=120, side=32)
    return [fitted(file, tmp_path_factory.mktemp("fit"), devices) for devices in (1, 2)]


def test_two_devices_learn_what_one_does(answers):
    one, two = answers
    np.testing.assert_allclose(one["losses"], two["losses"], rtol=1e-5)
    np.testing.assert_allclose(one["weights"], two["weights"], rtol=1e-3, atol=1e-5)


def test_the_users_model_has_learnt_and_so_has_its_optimizer(answers):
    for answer in answers:
        assert answer["moved"]
        assert answer["iterations"] == answer["expected_iterations"]


def main(file: str, devices: int) -> None:
    import tensorflow as tf
    from small_models import narrow_vgg

    from models import GenderModel
    from models.training.distribution.devices import Devices, configure_devices
    from models.training.distribution.replicas import Replicas

    tf.config.experimental.enable_op_determinism()
    names = configure_devices(Devices("cpu", devices))
    import keras

    keras.utils.set_random_seed(0)
    faces = GenderModel(narrow_vgg(32), data=file, say=lambda _sentence: None)
    faces.dropout = 0.0
    if devices > 1:
        faces.replicas = Replicas(tf.distribute.MirroredStrategy(names))
    model = faces.build_warmup_model(1e-3)
    before = model.get_layer("gender_dense_1").get_weights()[0]
    run = faces.fit(model, "a", epochs=2)
    rows = [line.split(",") for line in (run.folder / "epochs.csv").read_text().splitlines()[1:]]
    after = model.get_layer("gender_dense_1").get_weights()[0]
    answer = {
        "losses": [float(text) for row in rows for text in row[4:8] if text],
        "weights": after[:20].ravel().tolist(),
        "moved": bool((before != after).any()),
        "iterations": int(model.optimizer.iterations.numpy()),
        "expected_iterations": 2 * faces.training.steps_per_epoch,
    }
    sys.stdout.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main(str(Path(sys.argv[1])), int(sys.argv[2]))
