import json
import os
import subprocess
import sys
from pathlib import Path

import fuzzing
import h5py
import numpy as np
import pytest
from foreign_networks import assert_same
from weight_files_keras_h5 import write_groups, write_keras_h5, write_names

from hdf5_helper.errors import FacetError
from models.pretrained.keras_h5 import layer_and_role, looks_like, read_keras_h5, read_unguarded

READER = "models.pretrained.keras_h5:read_keras_h5"
WRITER = Path(__file__).with_name("keras2_writer.py")


def some_layers():
    random = np.random.default_rng(4)
    norm = {role: random.normal(size=4).astype("f4") for role in ("gamma", "beta", "moving_mean", "moving_variance")}
    return [
        ("input_1", {}),
        ("conv1_1", {"kernel": random.normal(size=(3, 3, 3, 4)).astype("f4"), "bias": np.ones(4, "f2")}),
        ("bn", norm),
        ("dw", {"depthwise_kernel": random.normal(size=(3, 3, 4, 2))}),
        ("fc", {"kernel": random.normal(size=(4, 2)).astype(">f4"), "bias": np.zeros(2, "f4")}),
    ]


def expected(layers):
    names = {f"{layer}.{role}": array for layer, roles in layers for role, array in roles.items()}
    return {name: array.astype(array.dtype.newbyteorder("=")) for name, array in names.items()}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.h5"


def refused(path, read=read_unguarded):
    with pytest.raises(FacetError) as error:
        read(path)
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("config", [None, "{}"])
@pytest.mark.parametrize(
    ("version", "form"), [(None, "Keras 1, HDF5"), ("2.3.1", "Keras 2, HDF5"), ("3.5.0", "Keras 3, HDF5")]
)
def test_weights_and_whole_models_are_read_in_their_order(file, version, form, config):
    write_keras_h5(file, some_layers(), version=version, config=config)
    found = read_unguarded(file)
    assert (found.form, found.kernel_axes, found.named) == (form, "HWIO", True)
    assert_same(found.arrays, expected(some_layers()))
    assert looks_like(file.read_bytes()[:512])


def test_a_file_is_read_in_a_process_of_its_own_first(file):
    write_keras_h5(file, some_layers())
    assert_same(read_keras_h5(file).arrays, expected(some_layers()))
    file.write_bytes(file.read_bytes()[:-3000])
    sentence = refused(file, read_keras_h5)
    assert sentence.startswith("cannot be read (OSError(")
    assert "truncated file" in sentence


@pytest.mark.parametrize("storage", [{"compression": "gzip", "shuffle": True}, {"compression": "lzf"}])
def test_compressed_arrays_are_read(file, storage):
    write_keras_h5(file, some_layers(), **storage)
    assert_same(read_unguarded(file).arrays, expected(some_layers()))


def test_no_array_is_copied_but_for_another_byte_order(file):
    write_keras_h5(file, some_layers())
    owners = [name for name, array in read_unguarded(file).arrays.items() if array.flags.owndata]
    assert owners == ["fc.kernel"]


def test_a_file_behind_a_block_of_the_users_is_read(file, tmp_path):
    write_keras_h5(tmp_path / "plain.h5", some_layers())
    with h5py.File(tmp_path / "plain.h5") as plain, h5py.File(file, "w", userblock_size=1024) as other:
        for name in plain:
            plain.copy(name, other)
        other.attrs.update(plain.attrs)
    assert_same(read_unguarded(file).arrays, expected(some_layers()))


def test_names_too_long_for_one_attribute_are_read(file):
    layers = [(f"{number:03}{'x' * 180}", {"bias": np.full(1, number, "f4")}) for number in range(600)]
    write_keras_h5(file, layers)
    with h5py.File(file) as written:
        assert set(written.attrs) == {"layer_names0", "layer_names1", "backend", "keras_version"}
    assert_same(read_unguarded(file).arrays, expected(layers))


def test_names_in_text_of_any_length_are_read(file):
    write_keras_h5(file, some_layers())
    with h5py.File(file, "r+") as written:
        names = [name.decode() for name in written.attrs["layer_names"]]
        written.attrs["layer_names"] = np.array(names, h5py.string_dtype())
        written.attrs["keras_version"] = "2.13.1"
    assert_same(read_unguarded(file).arrays, expected(some_layers()))


@pytest.mark.parametrize(
    ("group", "weight", "layer", "role"),
    [
        ("conv1_1", "conv1_1/kernel:0", "conv1_1", "kernel"),
        ("conv1_1", "conv1_1_2/kernel:0", "conv1_1", "kernel"),
        ("conv1_1", "resnet/conv1_1/kernel", "conv1_1", "kernel"),
        ("stem/conv", "stem/conv/kernel:0", "stem/conv", "kernel"),
        ("vgg16", "conv1_1/kernel:0", "conv1_1", "kernel"),
        ("vgg16", "vgg16/conv1_1/kernel:0", "conv1_1", "kernel"),
        ("sep", "sep/pointwise_kernel:0", "sep", "pointwise_kernel"),
        ("block1_conv1", "block1_conv1_W_1:0", "block1_conv1", "kernel"),
        ("block1_conv1", "block1_conv1_b", "block1_conv1", "bias"),
        ("sequential_1", "convolution2d_3_W:0", "convolution2d_3", "kernel"),
        ("bn", "bn_running_std:0", "bn", "moving_variance"),
        ("bn", "bn_1_running_mean:0", "bn", "moving_mean"),
        ("own", "alpha:0", "own", "alpha"),
    ],
)
def test_a_weight_belongs_to_its_layer(group, weight, layer, role):
    assert layer_and_role(group, weight) == (layer, role)


def test_a_second_inner_layer_of_a_name_stands_under_its_outer_one(file):
    kernel = np.ones(3, "f4")
    write_groups(file, [("left", [("conv/kernel:0", kernel)]), ("right", [("conv/kernel:0", 2 * kernel)])])
    assert_same(read_unguarded(file).arrays, {"conv.kernel": kernel, "right/conv.kernel": 2 * kernel})


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ({"backend": "theano"}, "kernels of Theano, which turns them in space, expected those of TensorFlow: load"),
        ({"config": json.dumps({"dim_ordering": "th"})}, "a model with channels first, expected channels last"),
        ({"config": json.dumps({"data_format": "channels_first"})}, "a model with channels first, expected channels"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(file, written, found):
    write_keras_h5(file, some_layers(), **written)
    assert refused(file).startswith(found)


def test_an_array_under_another_filter_is_refused(file):
    write_keras_h5(file, [("fc", {"kernel": np.ones((3, 3), "f4")})], scaleoffset=3)
    assert refused(file) == "'fc/kernel:0' is compressed by a plugin, expected deflate or lzf"


def outside(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["kernel:0"] = np.ones(3)
    return "secret.h5"


def soft(group, tmp_path):
    group["kernel:0"] = h5py.SoftLink("/fc/fc/bias:0")


def external(group, tmp_path):
    group["kernel:0"] = h5py.ExternalLink(outside(tmp_path), "/kernel:0")


def storage(group, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(24))
    group.create_dataset("kernel:0", (3,), "f8", external=[("secret", 0, 24)])


def virtual(group, tmp_path):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(outside(tmp_path), "/kernel:0", (3,))
    group.create_virtual_dataset("kernel:0", layout)


def text(group, tmp_path):
    group["kernel:0"] = "text"


def reference(group, tmp_path):
    group.create_dataset("kernel:0", data=group.ref, dtype=h5py.ref_dtype)


def null(group, tmp_path):
    group["kernel:0"] = h5py.Empty("f4")


def inner(group, tmp_path):
    group.create_group("kernel:0")


def huge(group, tmp_path):
    group.create_dataset("kernel:0", (1 << 20, 1 << 10), "f4", chunks=(1 << 10, 1 << 10), compression="gzip")


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (soft, "'fc/kernel:0' is missing or lies elsewhere, expected it inside of the file"),
        (external, "'fc/kernel:0' is missing or lies elsewhere, expected it inside of the file"),
        (storage, "'fc/kernel:0' lies in another file, expected it inside of this one"),
        (virtual, "'fc/kernel:0' lies in another file, expected it inside of this one"),
        (text, "'fc/kernel:0' is no array of numbers, expected one of floats or integers"),
        (reference, "'fc/kernel:0' is no array of numbers, expected one of floats or integers"),
        (null, "'fc/kernel:0' is no array of numbers, expected one of floats or integers"),
        (inner, "'fc/kernel:0' is no array of numbers, expected one of floats or integers"),
        (huge, "'fc/kernel:0' has 4,294,967,296 bytes, expected arrays as large as the file"),
    ],
)
def test_an_array_that_is_none_or_lies_elsewhere_is_refused(file, tmp_path, monkeypatch, place, found):
    monkeypatch.chdir(tmp_path)
    write_keras_h5(file, [("fc", {"kernel": np.ones(3), "bias": np.ones(3)})])
    with h5py.File(file, "r+") as written:
        del written["fc/fc/kernel:0"]
        place(written["fc/fc"], tmp_path)
    assert refused(file) == found


@pytest.mark.parametrize(
    ("attribute", "names", "found"),
    [
        ("layer_names", ["conv", "gone"], "'gone' is missing or lies elsewhere, expected it inside of the file"),
        ("layer_names", ["conv", ""], "layer_names has '', expected 1 to 200 printable characters"),
        ("layer_names", ["conv\n"], "layer_names has 'conv\\n', expected 1 to 200 printable characters"),
        ("layer_names", ["conv", "conv", "conv"], "two arrays are called 'conv/conv.bias', expected a name of its own"),
        ("layer_names", [], "no layer has an array, expected a network with its weights"),
    ],
)
def test_names_that_lead_nowhere_are_refused(file, attribute, names, found):
    write_keras_h5(file, [("conv", {"bias": np.ones(3)})])
    with h5py.File(file, "r+") as written:
        write_names(written, attribute, names)
    assert refused(file).startswith(found)


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({}, "an HDF5 file of another program, expected weights or a model of Keras 1 or 2"),
        ({"nb_layers": 3}, "weights of a Keras before 1.0, expected Keras 1 or later"),
    ],
)
def test_another_hdf5_file_is_refused(file, attributes, found):
    with h5py.File(file, "w") as written:
        written.attrs.update(attributes)
    assert refused(file) == found


@pytest.mark.parametrize("count", [12, pytest.param(1000, marks=pytest.mark.long)])
def test_damaged_files_are_read_or_refused(file, count):
    write_keras_h5(file, some_layers(), compression="gzip")
    outcome = fuzzing.survives(READER, file, count)
    assert outcome.read + outcome.refused == count
    assert outcome.refused > count / 8


def flattened(model):
    for layer in model.layers:
        yield from flattened(layer) if hasattr(layer, "layers") else [layer]


def arrays_of_model(model):
    return {f"{layer.name}.{weight.name}": weight.numpy() for layer in flattened(model) for weight in layer.weights}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["nested", "nested_twice", "called_twice", "half_precision", "gpus_sequential"])
def test_a_model_that_keras_2_wrote_is_read(tmp_path, kind):
    from models.keras2_file import load_keras2_file

    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, WRITER, tmp_path, kind], check=True, capture_output=True, env=environment)
    found = read_keras_h5(tmp_path / f"{kind}.h5").arrays
    wanted = arrays_of_model(load_keras2_file(tmp_path / f"{kind}.h5"))
    assert_same({name: found[name] for name in wanted}, wanted)
    assert len(found) == len(wanted)


@pytest.mark.long
def test_a_model_that_keras_3_wrote_is_read(file):
    import keras

    convolution, norm = keras.layers.Conv2D(4, 3, name="conv1"), keras.layers.BatchNormalization(name="bn")
    model = keras.Sequential([keras.Input((8, 8, 3)), convolution, norm])
    model.save(file)
    assert_same(read_keras_h5(file).arrays, arrays_of_model(model))
