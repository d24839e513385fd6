from collections.abc import Callable
from itertools import product
from pathlib import Path

import cv2
import fuzzing
import numpy as np
import pytest
from weight_files_caffe import CaffeForm, field, integer, layer_message, prototxt, varint, write_caffe

from hdf5_helper.errors import FacetError
from models.pretrained.caffe import looks_like, read_caffe

Layers = list[tuple[str, dict[str, np.ndarray]]]
READER = "models.pretrained.caffe:read_caffe"
FORMS = [
    CaffeForm(version, packed, legacy, double, diff)
    for version, packed, legacy, double, diff in product((1, 2), (True, False), (True, False), (False, True), (False,))
] + [CaffeForm(diff=True)]


@pytest.fixture
def vgg() -> Layers:
    """A small network of VGG's kind: 3 × 8 × 8 to 5 numbers."""
    random = np.random.default_rng(0)

    def layer(*shape: int) -> dict[str, np.ndarray]:
        weight = random.normal(0, 0.3, shape).astype(np.float32)
        return {"weight": weight, "bias": random.normal(0, 0.3, shape[0]).astype(np.float32)}

    return [
        ("conv1_1", layer(4, 3, 3, 3)),
        ("conv1_2", layer(6, 2, 3, 3)),
        ("fc6", layer(7, 96)),
        ("fc7", layer(1, 7)),
        ("fc8", layer(5, 1)),
    ]


def _flat(layers: Layers) -> dict[str, np.ndarray]:
    return {f"{name}.{role}": array for name, arrays in layers for role, array in arrays.items()}


def _assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


def _run(text: str, weights: Path, image: np.ndarray) -> np.ndarray:
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8), np.fromfile(weights, np.uint8))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setInput(image)
    return net.forward()


def _convolved(image: np.ndarray, weight: np.ndarray, bias: np.ndarray, pad: int) -> np.ndarray:
    """Cross-correlation as Caffe has it; image (channels, height, width)."""
    image = np.pad(image, [(0, 0), (pad, pad), (pad, pad)])
    groups = len(image) // weight.shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(image, weight.shape[2:], (1, 2))
    parts = zip(np.split(windows, groups), np.split(weight, groups), strict=True)
    return np.concatenate([np.einsum("cyxij,ocij->oyx", *part) for part in parts]) + bias[:, None, None]


def _pooled(image: np.ndarray) -> np.ndarray:
    """Maximum over 2 × 2; Caffe rounds sizes up."""
    height, width = image.shape[1:]
    image = np.pad(image, [(0, 0), (0, height % 2), (0, width % 2)], constant_values=-np.inf)
    return image.reshape(len(image), image.shape[1] // 2, 2, -1, 2).max((2, 4))


@pytest.mark.parametrize("name", ["det1", "det2", "det3"])
def test_a_published_network_has_the_arrays_that_opencv_reads(
    shared_fixtures: Callable[[str], Path], name: str
) -> None:
    files = shared_fixtures("caffe")
    net = cv2.dnn.readNetFromCaffe(str(files / f"{name}.prototxt"), str(files / f"{name}.caffemodel"))
    blobs = {layer: net.getLayer(net.getLayerId(layer)).blobs for layer in net.getLayerNames()}
    expected = {
        f"{layer}.{role}": blob.ravel() if role == "bias" else blob
        for layer, arrays in blobs.items()
        for role, blob in zip(("weight", "bias"), arrays, strict=False)
    }

    network = read_caffe(files / f"{name}.caffemodel")

    assert (network.form, network.kernel_axes, network.named) == ("Caffe, V2", "OIHW", True)
    # OpenCV shows a vector as a column; det2.prototxt leaves one of the layers out
    found = {
        key: array[:, None] if "relu" in key.lower() else array
        for key, array in network.arrays.items()
        if key.split(".")[0] in blobs
    }
    _assert_same(found, expected)


def test_a_published_network_gives_in_numpy_what_it_gives_in_opencv(shared_fixtures: Callable[[str], Path]) -> None:
    files = shared_fixtures("caffe")
    image = np.random.default_rng(1).normal(0, 1, (3, 12, 12)).astype(np.float32)
    net = cv2.dnn.readNetFromCaffe(str(files / "det1.prototxt"), str(files / "det1.caffemodel"))
    net.setInput(image[None])
    expected = net.forward(["conv4-2", "prob1"])

    arrays = read_caffe(files / "det1.caffemodel").arrays
    found = image
    for place in (1, 2, 3):
        found = _convolved(found, arrays[f"conv{place}.weight"], arrays[f"conv{place}.bias"], 0)
        found = np.where(found > 0, found, found * arrays[f"PReLU{place}.weight"][:, None, None])
        found = _pooled(found) if place == 1 else found
    boxes, scores = (_convolved(found, arrays[f"conv4-{way}.weight"], arrays[f"conv4-{way}.bias"], 0) for way in (2, 1))
    exponentials = np.exp(scores - scores.max(0))

    np.testing.assert_allclose(boxes, expected[0][0], atol=1e-4)
    np.testing.assert_allclose(exponentials / exponentials.sum(0), expected[1][0], atol=1e-4)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_network_is_read_in_every_form_that_caffe_wrote(tmp_path: Path, vgg: Layers, form: CaffeForm) -> None:
    path = tmp_path / "net.caffemodel"
    write_caffe(path, vgg, form)
    kind = np.float64 if form.double else np.float32
    expected = {name: array.astype(kind) for name, array in _flat(vgg).items()}

    network = read_caffe(path)

    assert network.form == f"Caffe, V{form.version}"
    _assert_same(dict(network.arrays), expected)
    assert looks_like(path.read_bytes()[:512])


@pytest.mark.parametrize("form", [CaffeForm(1, legacy=True), CaffeForm(2), CaffeForm(2, legacy=True)], ids=str)
def test_a_written_network_gives_in_numpy_what_it_gives_in_opencv(tmp_path: Path, vgg: Layers, form: CaffeForm) -> None:
    path = tmp_path / "net.caffemodel"
    write_caffe(path, vgg, form)
    image = np.random.default_rng(1).normal(0, 1, (3, 8, 8)).astype(np.float32)
    expected = _run(prototxt(vgg, image.shape, pooled=["conv1_2"], version=form.version), path, image[None])

    arrays = read_caffe(path).arrays
    found = image
    for name in ("conv1_1", "conv1_2"):
        found = np.maximum(_convolved(found, arrays[f"{name}.weight"], arrays[f"{name}.bias"], 1), 0)
    found = _pooled(found).ravel()
    for name in ("fc6", "fc7", "fc8"):
        found = np.maximum(found, 0) @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]

    np.testing.assert_allclose(found, expected[0], atol=1e-4)


def test_batch_normalisation_is_given_as_opencv_computes_it(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    mean, variance, weight, bias = random.uniform(0.5, 2, (4, 3)).astype(np.float32)
    layers: Layers = [
        ("bn", {"running_mean": mean, "running_var": variance}),
        ("scale", {"weight": weight, "bias": bias}),
        ("prelu", {"weight": np.float32([0.1, 0.2, 0.3])}),
    ]
    path = tmp_path / "net.caffemodel"
    write_caffe(path, layers)
    image = random.normal(0, 1, (3, 2, 2)).astype(np.float32)
    expected = _run(prototxt(layers, image.shape), path, image[None])

    arrays = {name: array[:, None, None] for name, array in read_caffe(path).arrays.items()}
    found = (image - arrays["bn.running_mean"]) / np.sqrt(arrays["bn.running_var"] + 1e-5)
    found = found * arrays["scale.weight"] + arrays["scale.bias"]
    found = np.where(found > 0, found, found * arrays["prelu.weight"])

    assert list(arrays) == ["bn.running_mean", "bn.running_var", "scale.weight", "scale.bias", "prelu.weight"]
    np.testing.assert_allclose(found, expected[0], atol=1e-4)


def test_statistics_without_a_batch_are_zero_as_in_caffe(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    blobs = [np.ones(2, np.float32), np.ones(2, np.float32), np.zeros(1, np.float32)]
    path.write_bytes(field(100, layer_message("bn", "BatchNorm", blobs, CaffeForm())))
    zeros = np.zeros(2, np.float32)
    _assert_same(dict(read_caffe(path).arrays), {"bn.running_mean": zeros, "bn.running_var": zeros})


def test_a_transposed_dense_matrix_is_turned(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    stored = np.arange(6, dtype=np.float32).reshape(2, 3)
    message = layer_message("fc", "InnerProduct", [stored], CaffeForm(), field(117, integer(1, 3) + integer(6, 1)))
    path.write_bytes(field(100, message))
    _assert_same(dict(read_caffe(path).arrays), {"fc.weight": stored.T})


def test_a_kernel_of_one_channel_keeps_its_axes_in_the_legacy_form(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    kernel = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    write_caffe(path, [("c", {"weight": kernel, "bias": kernel[0, 0, 0, :1]})], CaffeForm(1, legacy=True))
    _assert_same(dict(read_caffe(path).arrays), {"c.weight": kernel, "c.bias": kernel[0, 0, 0, :1]})


def test_further_blobs_are_numbered_and_layers_without_blobs_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    blobs = [np.full(2, value, np.float32) for value in range(4)]
    empty = field(100, layer_message("data", "Input", [], CaffeForm()))
    path.write_bytes(empty + field(100, layer_message("x", "Custom", blobs, CaffeForm())) + empty)
    assert list(read_caffe(path).arrays) == ["x.weight", "x.bias", "x.blob2", "x.blob3"]


def test_packed_arrays_are_views_of_the_file(tmp_path: Path, vgg: Layers) -> None:
    path = tmp_path / "net.caffemodel"
    write_caffe(path, vgg)
    owners = {name: array.flags.owndata or array.flags.writeable for name, array in read_caffe(path).arrays.items()}
    assert owners == dict.fromkeys(_flat(vgg), False)


ONE = CaffeForm()
CONV = layer_message("c", "Convolution", [np.ones((1, 1, 1, 1), np.float32)], ONE)


REFUSED = {
    "no layer": (field(1, b"net"), "no layer has an array, expected a network with its weights"),
    "V0": (
        field(2, field(1, field(1, b"conv1"))),
        "layers of the first format V0, expected V1 or V2 (Caffe's upgrade_net_proto_binary writes V2)",
    ),
    "twice": (
        field(100, CONV) * 2,
        "two layers with arrays are called 'c', expected a name of its own for each",
    ),
    "no name": (
        field(100, layer_message("", "Convolution", [np.ones(1)], ONE)),
        "layer 0 has the name '', expected 1 to 200 printable characters",
    ),
    "terminal code": (
        field(100, layer_message("\x1b[2J", "Convolution", [np.ones(1)], ONE)),
        r"layer 0 has the name '\x1b[2J', expected 1 to 200 printable characters",
    ),
    "huge shape": (
        field(100, field(7, field(7, field(1, varint(1 << 40) * 2)) + field(5, b"\0" * 8))),
        "2 numbers of shape (1099511627776, 1099511627776), expected a shape that fits",
    ),
    "negative": (
        field(100, field(7, field(7, field(1, varint((1 << 64) - 2) * 2)) + field(5, b"\0" * 16))),
        "4 numbers of shape (-2, -2), expected a shape that fits",
    ),
    "odd bytes": (
        field(100, field(7, field(5, b"\0" * 7))),
        "7 bytes of numbers, expected a multiple of 4",
    ),
    "cut": (
        field(100, CONV)[:-3],
        f"field 100 of {len(CONV)} bytes, expected at most the {len(CONV) - 3} left",
    ),
    "group": (b"\x0b", "wire type 3 in field 1, expected 0, 1, 2 or 5"),
    "cut number": (b"\x2d\0\0", "field 5 is cut short, expected 4 bytes"),
    "field 0": (b"\x02\x00", "field number 0, expected 1 to 536870911"),
    "endless integer": (b"\xff" * 20, "an integer of more than 10 bytes, expected at most 10"),
    "layer number": (integer(100, 3), "field 100 is of wire type 0, expected 2 (bytes)"),
    "many fields": (integer(5, 1) * 500_001, "more than 500000 fields, expected fewer"),
    "two factors": (
        field(100, layer_message("bn", "BatchNorm", [np.ones(2)] * 3, ONE)),
        "BatchNorm 'bn' has 2 scale factors, expected 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_network_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    data, sentence = REFUSED[name]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    with pytest.raises(FacetError) as refusal:
        read_caffe(path)
    assert str(refusal.value) == f"{path}: Caffe network: {sentence}"


def test_a_missing_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    with pytest.raises(FacetError, match="no such file, expected a file of weights"):
        read_caffe(path)
    path.touch()
    with pytest.raises(FacetError, match="the file is empty, expected weights"):
        read_caffe(path)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        field(1, field(1, b"input") + field(2, b"Placeholder")) * 3,  # GraphDef
        field(1, field(1, b"input")) + field(2, field(1, b"function")),  # GraphDef with functions
        integer(1, 1) + field(2, field(1, field(4, b"serve"))),  # SavedModel
        integer(1, 8) + field(2, b"pytorch") + field(3, b"2.0"),  # ONNX
        b"\x89HDF\r\n\x1a\n" + bytes(504),
        b"PK\x03\x04" + bytes(508),
        b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(512),
        b"\x0a\x02\x00\x00\x00\x00\x00\x00" + b'{"conv.weight":{"dtype":"F32"}}'.ljust(504),  # safetensors
        b"\x04\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00V 1\x0d\x00\x00\x00nn.Sequential" + bytes(400),  # Torch7
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + bytes(400),  # PyTorch
    ],
)
def test_other_formats_do_not_look_like_caffe(head: bytes) -> None:
    assert not looks_like(head)


def test_the_first_format_looks_like_caffe_so_that_it_is_refused_with_what_to_do() -> None:
    assert looks_like(field(1, b"net") + field(2, field(1, field(1, b"conv1") + field(50, bytes(500))))[:512])


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize("version", [1, 2])
def test_a_damaged_network_is_read_or_refused(tmp_path: Path, vgg: Layers, version: int, count: int) -> None:
    path = tmp_path / "net.caffemodel"
    write_caffe(path, vgg, CaffeForm(version, legacy=version == 1))
    outcome = fuzzing.survives(READER, path, count, seed=version)
    assert outcome.read + outcome.refused == count
    assert min(outcome.read, outcome.refused) > count // 20
