from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from weight_files_matconvnet import (
    MatConvNetForm,
    Structs,
    element,
    mat_v5,
    matrix,
    one_layer,
    read_unguarded,
    write_mat_v73,
    write_matconvnet,
)

from models.pretrained.matconvnet import looks_like, network, read_matconvnet

Layers = list[tuple[str, dict[str, np.ndarray]]]
CHOICES = product(("5", "7.3"), (False, True), ({}, {"dag": True}, {"loose": True}, {"dag": True, "loose": True}))
FORMS = [MatConvNetForm(version, compressed, **kind) for version, compressed, kind in CHOICES] + [
    MatConvNetForm(version, old=True, loose=loose) for version, loose in product(("5", "7.3"), (False, True))
]


@pytest.fixture
def vgg() -> Layers:
    """A small network of VGG's kind; the last two layers have shapes that MATLAB shortens."""
    random = np.random.default_rng(0)

    def layer(*shape: int) -> dict[str, np.ndarray]:
        return {
            name: random.normal(0, 1, size).astype(np.float32)
            for name, size in (("weight", shape), ("bias", shape[-1:]))
        }

    return [
        ("conv1_1", layer(3, 2, 3, 4)),
        ("fc6", layer(2, 2, 4, 7)),
        ("fc7", layer(1, 1, 7, 1)),
        ("fc8", layer(1, 1, 1, 1)),
    ]


def _flat(layers: Layers) -> dict[str, np.ndarray]:
    return {f"{name}.{role}": array for name, arrays in layers for role, array in arrays.items()}


def _assert_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


def test_a_published_network_of_version_5_has_the_arrays_that_scipy_reads(
    shared_fixtures: Callable[[str], Path],
) -> None:
    path = shared_fixtures("matconvnet") / "DCFNet-net-7-125-2.mat"
    layers = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)["net"].layers
    held = [layer for layer in layers if hasattr(layer, "weights")]
    expected = {
        f"{layer.name}.{role}": layer.weights[place] for layer in held for place, role in enumerate(("weight", "bias"))
    }

    found = read_matconvnet(path)

    assert (found.form, found.kernel_axes, found.named) == ("MatConvNet, MATLAB version 5", "HWIO", True)
    assert list(expected) == ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"]
    _assert_same(found.arrays, expected)


def test_a_published_network_of_version_7_3_has_the_arrays_that_lie_in_its_hdf5(
    shared_fixtures: Callable[[str], Path],
) -> None:
    path = shared_fixtures("matconvnet") / "DnCNN3-v7.3.mat"
    expected = {}
    with h5py.File(path) as file:
        for reference in file["net/layers"][:, 0]:
            layer = file[reference]
            if "weights" in layer:
                name = bytes(layer["name"][:, 0].astype(np.uint8)).decode()
                kernel, bias = (file[each][()] for each in layer["weights"][:, 0])
                # (out, in, w, h), where an only output is left out
                kernel = kernel if kernel.ndim == 4 else kernel[None]
                expected |= {f"{name}.weight": kernel.transpose(3, 2, 1, 0), f"{name}.bias": bias.ravel()}

    found = read_matconvnet(path)

    assert (found.form, found.kernel_axes, found.named) == ("MatConvNet, MATLAB version 7.3", "HWIO", True)
    assert (len(expected), found.arrays["layer57.weight"].shape) == (40, (3, 3, 64, 1))
    _assert_same(found.arrays, expected)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_network_is_read_in_every_form(tmp_path: Path, vgg: Layers, form: MatConvNetForm) -> None:
    path = tmp_path / "net.mat"
    write_matconvnet(path, vgg, form)

    network = (read_matconvnet if form.version == "5" else read_unguarded)(path)

    assert (network.form, network.named) == (f"MatConvNet, MATLAB version {form.version}", True)
    _assert_same(network.arrays, _flat(vgg))
    assert looks_like(path.read_bytes()[:512])


def test_layers_without_names_are_called_by_their_place(tmp_path: Path, vgg: Layers) -> None:
    path = tmp_path / "net.mat"
    write_matconvnet(path, vgg, MatConvNetForm(named=False))
    network = read_matconvnet(path)
    assert not network.named
    # a ReLU stands behind each layer
    places = {name: str(2 * place) for place, (name, _) in enumerate(vgg)}
    _assert_same(network.arrays, _flat([(places[name], arrays) for name, arrays in vgg]))


@pytest.mark.parametrize("dag", [False, True])
def test_batch_normalisation_keeps_its_moments(tmp_path: Path, dag: bool) -> None:
    path = tmp_path / "net.mat"
    arrays = {"weight": np.float32([1, 2]), "bias": np.float32([3, 4]), "moments": np.float32([[5, 6], [7, 8]])}
    write_matconvnet(path, [("bn1", arrays)], MatConvNetForm(dag=dag))
    _assert_same(read_matconvnet(path).arrays, _flat([("bn1", arrays)]))


def test_an_empty_bias_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    kernel = np.ones((3, 3, 1, 2), np.float32)
    write_matconvnet(path, [("conv1", {"weight": kernel, "bias": np.empty((0, 0), np.float32)})])
    _assert_same(read_matconvnet(path).arrays, {"conv1.weight": kernel})


def test_whole_numbers_in_fewer_bytes_are_given_in_their_own_type(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    kernel = np.arange(24.0).reshape(4, 6)
    # as MATLAB does it: uint8 for an array of doubles
    stored = matrix(6, kernel.shape, element(2, kernel.astype(np.uint8).tobytes("F")))
    path.write_bytes(mat_v5(one_layer(stored, odd=stored)))
    _assert_same(read_matconvnet(path).arrays, {"c.weight": kernel})
    np.testing.assert_array_equal(scipy.io.loadmat(path, simplify_cells=True)["net"]["layers"]["weights"], kernel)


def test_a_parameter_of_two_layers_is_given_for_both(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    kernel = np.ones((2, 2, 3, 4), np.float32)
    layers = Structs({"name": name, "type": "dagnn.Conv", "params": ["shared"]} for name in ("one", "two"))
    write_mat_v73(path, {"layers": layers, "params": {"name": "shared", "value": kernel}})
    _assert_same(read_unguarded(path).arrays, {"one.weight": kernel, "two.weight": kernel})


def test_arrays_that_are_not_compressed_are_views_of_the_file(tmp_path: Path, vgg: Layers) -> None:
    path = tmp_path / "net.mat"
    write_matconvnet(path, vgg)
    owners = {
        name: array.flags.owndata or array.flags.writeable for name, array in read_matconvnet(path).arrays.items()
    }
    assert owners == dict.fromkeys(_flat(vgg), False)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"MATLAB 5.0 MAT-file, written by Octave".ljust(512), True),
        (b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(512), True),
        (b"MATLAB 5.0", False),
        (b"\x89HDF\r\n\x1a\n".ljust(512, b"\0"), False),
        (b"", False),
    ],
)
def test_a_file_is_known_by_its_first_bytes(head: bytes, expected: bool) -> None:
    assert looks_like(head) is expected


@pytest.mark.parametrize(
    ("image", "mean"),
    [
        (np.float32([[[1, 2, 3], [3, 4, 5]]]), (2.0, 3.0, 4.0)),
        (np.float32([[129.0, 104.0, 93.0]]), (129.0, 104.0, 93.0)),
        (np.zeros((0, 0), np.float32), None),
        (np.float32([[1, 2]]), None),
        ([], None),
    ],
)
@pytest.mark.parametrize("old", [True, False])
def test_the_mean_image_is_one_colour(image: np.ndarray, mean: tuple[float, ...] | None, old: bool) -> None:
    normalization = {"normalization": {"averageImage": image}}
    layer = {"type": "conv", "name": "conv1", "weights": [np.ones((3, 3, 3, 1), np.float32)]}
    net = {"layers": [layer], **(normalization if old else {"meta": normalization})}
    assert network(Path("x.mat"), "version 5", {"net": net}).rgb_mean == mean
