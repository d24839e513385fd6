import base64
import json
import marshal
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from models.keras2_file import load_keras2_file
from models.model_file import load_model_file

WRITER = Path(__file__).with_name("keras2_writer.py")
FROZEN = ("nested_partly_frozen", "nested_frozen", "frozen_after_all")
PLAIN = ("two_outputs", "sequential", "nested", "nested_twice", "shared_layer", "called_twice", "many_layers")
ODD = ("compiled", "half_precision", "operators", "augmenting", "slashes")
GPUS = ("gpus_sequential", "gpus_frozen", "gpus_two_outputs")
REST = ("mobilenet", "weights_only", "hard_sigmoid")
HEAVY = ("mobilenet_v2", "mobilenet_v3", "vgg19", "resnet50", "densenet121", "xception", "efficientnet_v2")
INSTEAD = (
    "load the model in Python, with custom_objects where it has classes of its own, and pass it to "
    "models.export.export_model"
)


def written(folder, kinds):
    """Lets Keras 2 write its files in a process of its own, where Keras 3 is not."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, WRITER, folder, *kinds], check=True, capture_output=True, env=environment)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return written(tmp_path_factory.mktemp("keras2"), [*FROZEN, *PLAIN, *ODD, *GPUS, *REST])


def assert_answers(path, answers, tolerance=1e-6):
    """Holds the outputs against those of Keras 2: `tolerance` of their largest value apart at most."""
    model = load_keras2_file(path)
    with np.load(answers) as known:
        found = keras.tree.flatten(model(known["image"], training=False))
        assert len(found) == len(known.files) - 1
        for index, output in enumerate(found):
            wanted = known[str(index)]
            np.testing.assert_allclose(output, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("kind", [*FROZEN, *PLAIN, *ODD, *GPUS])
def test_a_model_answers_as_in_keras_2(files, kind):
    assert_answers(files / f"{kind}.h5", files / f"{kind}.npz", 2e-3 if kind == "half_precision" else 1e-6)


def test_an_application_answers_as_in_keras_2(files):
    # Keras 2 normalises in one operation and Keras 3 in four: rounding differs, and grows with depth
    assert_answers(files / "mobilenet.h5", files / "mobilenet.npz", 1e-4)


@pytest.mark.long
@pytest.mark.parametrize("kind", HEAVY)
def test_each_application_answers_as_in_keras_2(tmp_path, kind):
    written(tmp_path, [kind])
    assert_answers(tmp_path / f"{kind}.h5", tmp_path / f"{kind}.npz", 2e-4)


def test_the_model_inside_of_a_wrapper_for_many_gpus_keeps_its_names(files):
    labels = [output.label for output in load_model_file(files / "gpus_two_outputs.h5")[1].outputs]
    assert labels == ["age", "gender"]
    model = load_keras2_file(files / "gpus_sequential.h5")
    assert [layer.name for layer in model.layers] == ["vgg19", "dropout", "flatten", "dense", "dense_1"]
    assert [layer.name for layer in model.get_layer("vgg19").layers][1:4] == [
        "block1_conv1",
        "block1_conv2",
        "block1_pool",
    ]


def test_a_slash_in_a_name_becomes_an_underscore_and_names_stay_apart(files):
    model = load_keras2_file(files / "slashes.h5")
    assert [layer.name for layer in model.layers][1:] == [
        "stem_conv_",
        "stem_conv",
        "stem_conv_bn",
        "flatten",
        "heads_age",
    ]


def test_what_was_frozen_stays_frozen(files):
    model = load_keras2_file(files / "nested_partly_frozen.h5")
    assert [layer.trainable for layer in model.get_layer("base").layers[:6]] == [True, False, False, False, True, True]


def without_later_words(value):
    """What no Keras before TensorFlow 2.3 wrote, taken out of a configuration."""
    later = {"module", "registered_name", "build_config", "build_input_shape", "shared_object_id", "keepdims"}
    later |= {"ragged", "optional", "rng_type", "crop_to_aspect_ratio"}
    if isinstance(value, list):
        return [without_later_words(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {"Functional": "Model"}.get(value.get("class_name"), value.get("class_name"))
    changed = {k: without_later_words(v) for k, v in value.items() if k not in later and (k, v) != ("groups", 1)}
    return {**changed, "class_name": named} if "class_name" in value else changed


def of_tensorflow_1(value):
    """TensorFlow 1.14: initializers with a type, shapes as tuples, a class that is named for its version."""
    if isinstance(value, list):
        return [of_tensorflow_1(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: of_tensorflow_1(item) for key, item in value.items()}
    initializer = {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}}
    changed |= {key: initializer for key in value if key.endswith("_initializer")}
    if "batch_input_shape" in value:
        changed["batch_input_shape"] = {"class_name": "__tuple__", "items": value["batch_input_shape"]}
    if value.get("class_name") == "BatchNormalization":
        changed["class_name"] = "BatchNormalizationV1"
    return changed


def of_keras_2_0(value):
    """Keras 2.0 to 2.2.2: a Sequential is a list of layers, and its first layer has the shape; numbers from NumPy."""
    if isinstance(value, list):
        return [of_keras_2_0(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: of_keras_2_0(item) for key, item in value.items()}
    if value.get("class_name") == "Sequential":
        first, *layers = changed["config"]["layers"]
        if "layers" not in layers[0]["config"]:
            layers[0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
        changed["config"] = layers
    if value.get("class_name") == "LeakyReLU":
        changed["config"]["alpha"] = {"type": "ndarray", "value": changed["config"]["alpha"]}
    return changed


@pytest.mark.parametrize(
    "kind", ["two_outputs", "sequential", "nested_twice", "nested", "gpus_sequential", "augmenting"]
)
@pytest.mark.parametrize("age", [of_tensorflow_1, of_keras_2_0])
def test_older_words_of_keras_2_mean_the_same(files, tmp_path, kind, age):
    path = tmp_path / "best.weights.h5"
    shutil.copy(files / f"{kind}.h5", path)
    with h5py.File(path, "a") as file:
        older = json.dumps(age(without_later_words(json.loads(file.attrs["model_config"]))))
        file.attrs["model_config"] = older if age is of_keras_2_0 else older.encode()
        file.attrs["keras_version"] = "2.0.8" if age is of_keras_2_0 else b"2.2.4-tf"
    assert_answers(path, files / f"{kind}.npz")


def refusal(path):
    with pytest.raises(FacetError) as refused:
        load_model_file(path)
    name, _colon, sentence = str(refused.value).partition(": ")
    assert name == str(path)
    return sentence


def h5_of(path, *layers, version=b"2.3.1"):
    """Writes a file whose Sequential model has these layers and no weights."""
    given = {"name": "image_input", "batch_input_shape": [None, 8, 8, 3], "batch_shape": [None, 8, 8, 3]}
    given.pop("batch_shape" if version.startswith(b"2") else "batch_input_shape")
    first = {"class_name": "InputLayer", "config": given}
    config = {"class_name": "Sequential", "config": {"name": "model", "layers": [first, *layers]}}
    with h5py.File(path, "w") as file:
        file.attrs.update(model_config=json.dumps(config).encode(), keras_version=version)
        file.create_group("model_weights").attrs["layer_names"] = np.array([], "S1")
    return path


def spies(trace):
    """Lambda layers whose code would leave a file behind, in the forms that versions of Keras wrote and read."""
    code = compile(f"(lambda x, **more: (open({str(trace)!r}, 'w'), x)[1])", "x", "eval").co_consts[0]
    text = base64.b64encode(marshal.dumps(code)).decode()
    of_keras3 = {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}
    for function in ([text, None, None], of_keras3):
        kind = "lambda" if isinstance(function, list) else "function"
        config = {"name": "spy", "function": function, "function_type": kind, "output_shape": None, "arguments": {}}
        yield {"class_name": "Lambda", "config": config}


@pytest.mark.parametrize("version", [b"2.3.1", b"3.15.1"])
@pytest.mark.parametrize("form", [0, 1])
@pytest.mark.parametrize("inside", [False, True])
def test_code_in_a_file_is_never_run(tmp_path, version, form, inside):
    trace = tmp_path / "trace"
    spy = list(spies(trace))[form]
    layer = {"class_name": "TimeDistributed", "config": {"name": "each", "layer": spy}} if inside else spy
    sentence = refusal(h5_of(tmp_path / "spy.h5", layer, version=version))
    assert sentence == f"layer 'spy' of class Lambda brings code of its own, which is never run from a file: {INSTEAD}"
    assert not trace.exists()


FOREIGN = [
    ({"class_name": "Own"}, "of class Own is not one of Keras 3: " + INSTEAD),
    ({"class_name": "Custom>Own"}, "of class Custom>Own is not one of Keras 3: " + INSTEAD),
    ({"class_name": "Dense", "module": "mine"}, "of class Dense is not one of Keras 3: " + INSTEAD),
    ({"class_name": "Dense", "registered_name": "a>Dense"}, "of class Dense is not one of Keras 3: " + INSTEAD),
    (
        {"class_name": "TFOpLambda", "config": {"function": "image.resize"}},
        f"of class TFOpLambda (image.resize) brings code of its own, which is never run from a file: {INSTEAD}",
    ),
    (
        {"class_name": "Activation", "config": {"activation": "hard_sigmoid"}},
        (
            "uses hard_sigmoid, which was 0.2·x + 0.5 in Keras 2 and is x/6 + 0.5 in Keras 3: build the model again in "
            "Python with a function of your own"
        ),
    ),
]


@pytest.mark.parametrize(("layer", "sentence"), FOREIGN)
def test_a_layer_that_keras_3_does_not_have_is_named(tmp_path, layer, sentence):
    named = {**layer, "config": {"name": "l", **layer.get("config", {})}}
    assert refusal(h5_of(tmp_path / "own.h5", named)) == f"layer 'l' {sentence}"


def test_a_function_that_keras_3_does_not_have_is_named(tmp_path):
    layer = {"class_name": "Dense", "config": {"name": "l", "units": 2, "activation": "mine"}}
    sentence = "Keras cannot load this model: Could not interpret activation function identifier: mine"
    assert refusal(h5_of(tmp_path / "own.h5", layer)) == sentence


def test_hard_sigmoid_did_mean_something_else_in_keras_2(files):
    with np.load(files / "hard_sigmoid.npz") as known:
        other = keras.ops.hard_sigmoid(keras.ops.mean(known["image"], (1, 2)))
        assert np.abs(other - known["0"]).max() > 0.01


def test_a_model_of_keras_1_is_refused(files, tmp_path):
    path = tmp_path / "first.h5"
    shutil.copy(files / "sequential.h5", path)
    for version in (b"1.2.2", None):
        with h5py.File(path, "a") as file:
            del file.attrs["keras_version"]
            file.attrs.update({} if version is None else {"keras_version": version})
        wanted = "a model of Keras 1, expected one of Keras 2 or 3: load it with Keras 2.2 and save it again"
        assert refusal(path) == wanted


def test_a_file_of_weights_alone_is_refused(files, tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save_weights(tmp_path / "new.weights.h5")
    for path in (files / "weights_only.h5", tmp_path / "new.weights.h5"):
        assert refusal(path) == (
            "holds weights alone, expected a whole model: build the model in Python, call its load_weights on this "
            "file and save it as a .keras file"
        )


def test_a_file_that_is_no_model_is_refused(tmp_path, sample_tree):
    pack([sample_tree("agegender", 12)], tmp_path / "packed.h5", PackOptions())
    h5py.File(tmp_path / "other.h5", "w").close()
    (tmp_path / "text.h5").write_text("a text that is no HDF5 file")
    (tmp_path / "empty.h5").write_bytes(b"")
    assert refusal(tmp_path / "packed.h5") == "a data set that Facet packed, expected a Keras model"
    assert refusal(tmp_path / "other.h5") == "an HDF5 file of another program, expected a Keras model"
    assert refusal(tmp_path / "text.h5") == "not an HDF5 file, expected a Keras model"
    assert refusal(tmp_path / "empty.h5") == "not an HDF5 file, expected a Keras model"
    assert refusal(tmp_path / "none.h5") == "no such file, expected a Keras model"


@pytest.mark.parametrize("part", [0.999, 0.5, 0.1])
def test_a_file_that_was_cut_short_is_refused(files, tmp_path, part):
    whole = (files / "nested.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: int(part * len(whole))])
    assert refusal(tmp_path / "cut.h5") == "this HDF5 file is cut short, expected a Keras model"


def test_a_file_that_lost_weights_is_refused(files, tmp_path):
    path = tmp_path / "lost.h5"
    shutil.copy(files / "sequential.h5", path)
    with h5py.File(path, "a") as file:
        del file["model_weights/dense/dense/kernel:0"]
    assert refusal(path).startswith("Keras cannot load this model: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(files, tmp_path):
    path = tmp_path / "shut.h5"
    shutil.copy(files / "sequential.h5", path)
    path.chmod(0)
    assert refusal(path) == "cannot be read (Permission denied), expected a Keras model"
