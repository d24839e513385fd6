import cv2
import numpy as np
import pytest
from foreign_networks import assert_same
from weight_files_torch7 import (
    ENCODINGS,
    KINDS,
    Function,
    Module,
    Storage,
    Tensor,
    module,
    sequential,
    write_object,
    write_torch7,
)

from models.pretrained import torch7_encoding
from models.pretrained.torch7 import looks_like, read_torch7

FORMS = {
    "binary64": "Torch7, binary, 64-bit longs",
    "binary32": "Torch7, binary, 32-bit longs",
    "ascii": "Torch7, ASCII",
}


def drawn(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(dtype)


CONV = {"weight": drawn(4, 3, 3, 3), "bias": drawn(4)}
NORM = {"weight": drawn(4, seed=1), "bias": drawn(4, seed=2), "running_mean": drawn(4), "running_var": drawn(4) ** 2}
DENSE = {"weight": drawn(5, 64, seed=3), "bias": drawn(5, seed=4)}
POOL = {"kH": 2, "kW": 2, "dH": 2, "dW": 2, "padH": 0, "padW": 0, "ceil_mode": False}
LAYERS = [
    ("conv", CONV),
    ("nn.ReLU", {"threshold": 0, "val": 0, "inplace": False}),
    ("nn.SpatialMaxPooling", POOL),
    ("nn.View", {"size": Storage(np.array([64])), "numElements": 64}),
    ("dense", DENSE),
]
ARRAYS = {"0.weight": CONV["weight"], "0.bias": CONV["bias"], "4.weight": DENSE["weight"], "4.bias": DENSE["bias"]}


def read(path, value, encoding="binary64"):
    write_object(path, value, encoding)
    return read_torch7(path)


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_network_is_read_in_every_encoding_with_and_without_versions(tmp_path, encoding, versioned):
    path = tmp_path / "net.t7"
    write_torch7(path, LAYERS, encoding, versioned=versioned)
    found = read_torch7(path)
    assert (found.form, found.kernel_axes, found.named) == (FORMS[encoding], "OIHW", False)
    assert_same(found.arrays, ARRAYS)


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_is_known_by_its_first_bytes(tmp_path, encoding, versioned):
    path = tmp_path / "net.t7"
    for value in (sequential([module("conv", CONV)]), drawn(2), {"model": drawn(2)}, [drawn(2)]):
        write_object(path, value, encoding, versioned=versioned)
        assert looks_like(path.read_bytes()[:512])


@pytest.mark.parametrize(
    "head", [b"", b"PK\3\4", b"\x89HDF\r\n", b"\x80\x02\x8a\nl\xfc", b"\n\x07VGG_ILS", b"MATLAB 5.0"]
)
def test_files_of_other_formats_are_not_taken_for_torch7(head):
    assert not looks_like(head.ljust(512, b"\0"))


@pytest.mark.parametrize("encoding", ["binary64", "ascii"])
def test_what_was_read_computes_what_opencv_computes_of_the_file(tmp_path, encoding):
    path = tmp_path / "net.t7"
    write_torch7(path, LAYERS, encoding)
    arrays = read_torch7(path).arrays
    image = drawn(1, 3, 8, 8, seed=9)
    oracle = cv2.dnn.readNetFromTorch(str(path), encoding != "ascii")
    oracle.setInput(image)
    padded = np.pad(image[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    values = np.einsum("ihwyx,oiyx->ohw", windows, arrays["0.weight"]) + arrays["0.bias"][:, None, None]
    values = np.maximum(values, 0).reshape(4, 4, 2, 4, 2).max((2, 4))
    values = arrays["4.weight"] @ values.reshape(-1) + arrays["4.bias"]
    np.testing.assert_allclose(values, oracle.forward().reshape(-1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dtype", KINDS)
def test_tensors_of_all_types_keep_their_values(tmp_path, dtype, encoding):
    kept = "int32" if (dtype, encoding) == ("int64", "binary32") else dtype  # whose longs are no longer
    if np.dtype(dtype).kind == "f":
        limits = np.finfo(kept)
        values = [limits.min, limits.max, limits.smallest_subnormal, 1 / 3, -0.0, np.nan, np.inf, -np.inf]
    else:
        values = [np.iinfo(kept).min, np.iinfo(kept).max, 7, 10]
    array = np.array(values, dtype).reshape(2, -1)
    found = read(tmp_path / "tensor.t7", {"values": array}, encoding).arrays["values"]
    assert found.dtype == kept
    np.testing.assert_array_equal(found, array)
    assert found.tobytes() == array.astype(kept).tobytes()


@pytest.mark.parametrize("kind", ["", "Half", "Double", "Byte", "Long"])
def test_tensors_of_the_gpu_are_read_like_those_of_the_cpu(tmp_path, kind):
    values = np.arange(6).astype({name: dtype for dtype, name in KINDS.items()}[kind or "Float"])
    storage = Storage(values, f"torch.Cuda{kind}Storage")
    tensor = Tensor(storage, (2, 3), (3, 1), 1, f"torch.Cuda{kind}Tensor")
    assert_same(read(tmp_path / "tensor.t7", tensor).arrays, {"tensor": values.reshape(2, 3)})


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_strides_and_offsets_are_respected_and_storages_shared(tmp_path, encoding):
    storage = Storage(np.arange(24, dtype=np.float32))
    views = {
        "a": Tensor(storage, (2, 3), (1, 2), 5),
        "b": Tensor(storage, (4,), (6,), 6),
        "c": Tensor(storage, (1,), (9,), 24),
    }
    found = read(tmp_path / "views.t7", views, encoding)
    expected = {"a": [[4, 6, 8], [5, 7, 9]], "b": [5, 11, 17, 23], "c": [23]}
    assert_same(found.arrays, {name: np.array(values, np.float32) for name, values in expected.items()})


def test_the_stride_of_an_axis_of_one_means_nothing(tmp_path):
    tensor = Tensor(Storage(drawn(6)), (1, 6), (1 << 62, 1))
    assert_same(read(tmp_path / "tensor.t7", tensor).arrays, {"tensor": drawn(1, 6)})


def test_arrays_of_a_binary_file_are_views_of_it(tmp_path):
    found = read(tmp_path / "net.t7", sequential([module("conv", CONV), module("dense", DENSE)]))
    assert all(not array.flags.owndata and not array.flags.writeable for array in found.arrays.values())


def test_names_are_places_in_the_tree_of_containers(tmp_path):
    block = sequential([module("conv", CONV), sequential([module("norm", NORM)], "nn.ConcatTable")])
    found = read(tmp_path / "net.t7", sequential([Module("nn.Identity"), block, module("dense", DENSE)]))
    names = {"1.0": CONV, "1.1.0": NORM, "2": DENSE}
    assert_same(found.arrays, {f"{name}.{role}": layer[role] for name, layer in names.items() for role in layer})


def test_a_module_in_several_places_is_named_by_the_first_and_cycles_end(tmp_path):
    conv = module("conv", CONV)
    network = sequential([conv, conv, module("dense", DENSE)])
    network.fields["modules"].append(network)
    network.fields["self"] = network
    assert list(read(tmp_path / "net.t7", network).arrays) == ["0.weight", "0.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize("class_name", ["nn.SpatialConvolution", "nn.SpatialConvolutionMM", "cudnn.SpatialConvolution"])
@pytest.mark.parametrize("flat", [True, False])
def test_kernels_come_with_four_axes_also_where_the_file_has_a_matrix(tmp_path, class_name, flat):
    kernel = drawn(4, 3, 2, 5)
    fields = {"weight": kernel.reshape(4, -1) if flat else kernel, "nInputPlane": 3, "kH": 2, "kW": 5}
    found = read(tmp_path / "net.t7", sequential([Module(class_name, fields)]))
    assert_same(found.arrays, {"0.weight": kernel})


def test_the_kernels_of_a_connection_table_stay_as_they_are(tmp_path):
    weight = drawn(8, 7, 7, dtype=np.float64)
    fields = {"weight": weight, "bias": drawn(4), "nInputPlane": 3, "kH": 7, "kW": 7, "connTable": drawn(8, 2)}
    found = read(tmp_path / "net.t7", sequential([Module("nn.SpatialConvolutionMap", fields)]))
    assert_same(found.arrays, {"0.weight": weight, "0.bias": fields["bias"]})


def test_the_reciprocal_deviation_of_old_normalisations_is_given_as_variance(tmp_path):
    variance = np.array([0.25, 4.0, 1.0])
    fields = {"running_mean": drawn(3), "running_std": 1 / np.sqrt(variance + 1e-3), "eps": 1e-3}
    found = read(tmp_path / "net.t7", sequential([Module("nn.SpatialBatchNormalization", fields)]))
    assert list(found.arrays) == ["0.running_mean", "0.running_var"]
    np.testing.assert_allclose(found.arrays["0.running_var"], variance, rtol=1e-12)


@pytest.mark.parametrize(
    ("value", "prefixes"),
    [
        (module("dense", DENSE), ["0"]),
        ({"epoch": 3, "model": sequential([module("dense", DENSE)]), "optimState": {"m": drawn(9)}}, ["0"]),
        ({"a": sequential([module("x", DENSE)]), "b": {"c": sequential([module("x", DENSE)])}}, ["a.0", "b.c.0"]),
    ],
)
def test_networks_are_found_alone_and_in_tables(tmp_path, value, prefixes):
    found = read(tmp_path / "saved.t7", value)
    expected = {f"{prefix}.{role}": DENSE[role] for prefix in prefixes for role in DENSE}
    assert_same(found.arrays, expected)
    assert not found.named


def test_tensors_without_a_network_are_named_by_their_keys(tmp_path):
    value = {"conv1": dict(CONV), "list": [drawn(2), drawn(3)], "line\nfeed": drawn(4), "n": 5, "empty": drawn(0)}
    found = read(tmp_path / "tensors.t7", value)
    names = {"list.1": drawn(2), "list.2": drawn(3), r"line\nfeed": drawn(4)}
    assert_same(found.arrays, {"conv1.weight": CONV["weight"], "conv1.bias": CONV["bias"], **names})
    assert found.named


def test_the_oldest_graphs_have_their_modules_in_the_nodes(tmp_path):
    modules = [None, module("conv", CONV), None, module("dense", DENSE)]
    nodes = [Module("nngraph.Node", {"data": {"module": module} if module else {"input": [1]}}) for module in modules]
    found = read(tmp_path / "graph.t7", Module("nn.gModule", {"forwardnodes": nodes, "bg": nodes}))
    names = {"1": CONV, "3": DENSE}
    assert_same(found.arrays, {f"{name}.{role}": layer[role] for name, layer in names.items() for role in layer})


@pytest.mark.parametrize("kind", [6, 7, 8])
def test_functions_are_passed_over(tmp_path, kind):
    network = sequential([module("dense", DENSE)])
    closed_over = {"name": "network", "value": network}
    function = Function(b"\x1bLua\0 os.exit()", [closed_over], kind)
    network.fields |= {"accUpdateGradParameters": function, "sharedAccUpdate": function}
    assert_same(read(tmp_path / "net.t7", network).arrays, {f"0.{role}": DENSE[role] for role in DENSE})


def test_keys_that_are_tables_or_truths_are_passed_over(tmp_path):
    class Key(dict):
        __hash__ = object.__hash__

    value = {Key(a=1): drawn(3), True: drawn(4), 2.5: drawn(2)}
    assert_same(read(tmp_path / "tensors.t7", value).arrays, {"2.5": drawn(2)})


@pytest.mark.parametrize("chunk", [30, 31, 47, 100])
def test_long_lines_of_text_are_read_in_parts(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(torch7_encoding, "_TEXT_CHUNK", chunk)
    assert_same(read(tmp_path / "text.t7", drawn(50), "ascii").arrays, {"tensor": drawn(50)})


def test_the_published_network_with_linear_layers_is_read(shared_fixtures):
    path = shared_fixtures("torch7") / "model.t7"
    found = read_torch7(path)
    shapes = {"1.weight": (64, 784), "1.bias": (64,), "3.weight": (128, 64), "3.bias": (128,), "5.weight": (10, 128)}
    assert {name: array.shape for name, array in found.arrays.items()} == {**shapes, "5.bias": (10,)}
    oracle = cv2.dnn.readNetFromTorch(str(path))
    image = drawn(1, 1, 28, 28)
    oracle.setInput(image)
    values = image.reshape(-1)
    for place in ("1", "3", "5"):
        values = found.arrays[f"{place}.weight"] @ np.maximum(values, 0 if place != "1" else -np.inf)
        values = values + found.arrays[f"{place}.bias"]
    values = values - np.log(np.sum(np.exp(values)))
    np.testing.assert_allclose(values, oracle.forward().reshape(-1), rtol=1e-4, atol=1e-4)


def test_the_published_network_with_connection_tables_is_read(shared_fixtures):
    arrays = read_torch7(shared_fixtures("torch7") / "unsupervised.net").arrays
    shapes = {"0.weight": (32, 7, 7), "2.1.weight": (32, 2, 2), "3.weight": (128, 7, 7)}
    biases = {name.replace("weight", "bias"): (32,) for name in shapes}
    assert {name: array.shape for name, array in arrays.items()} == shapes | biases


def test_the_published_graph_that_the_common_reader_rejects_is_read(shared_fixtures):
    """An unrolled recurrent network of nngraph: ten steps whose two graphs have one and two linear layers each."""
    found = read_torch7(shared_fixtures("torch7") / "unreadable.t7")
    step = [((100, 100), (100,)), ((100, 5), (100,)), ((5, 100), (5,))]
    shapes = [array.shape for array in found.arrays.values()]
    assert shapes == [shape for layer in step for shape in layer] * 10
    arrays = list(found.arrays.values())
    for place, array in enumerate(arrays):
        np.testing.assert_array_equal(array, arrays[place % 6])  # all steps share their weights
