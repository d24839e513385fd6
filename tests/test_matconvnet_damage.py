import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import fuzzing
import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from weight_files_matconvnet import (
    MatConvNetForm,
    Structs,
    element,
    mat_v5,
    matrix,
    one_layer,
    write_mat_v73,
    write_matconvnet,
)

from hdf5_helper.errors import FacetError
from models.pretrained.mat_v73 import check_mat_v73, read_mat_v73
from models.pretrained.matconvnet import read_matconvnet
from models.pretrained.matlab_values import SPARE_BYTES, Budget

READERS = {"5": "models.pretrained.matconvnet:read_matconvnet", "7.3": "weight_files_matconvnet:read_unguarded"}
NO_NETWORK = "no variable `net` and no `layers`, expected a SimpleNN or DagNN"


def _refusal(path: Path, read: Callable[[Path], object] = read_matconvnet) -> str:
    with pytest.raises(FacetError) as refusal:
        read(path)
    start, _, sentence = str(refusal.value).partition(f"{path}: ")
    assert start == ""
    return sentence


def _layer(**fields: object) -> dict[str, object]:
    cells = np.empty((1, 1), object)
    cells[0, 0] = {"name": "c", "type": "conv", **fields}
    return {"layers": cells}


def _twice() -> dict[str, object]:
    return {"layers": np.concatenate([_layer(weights=np.ones((2, 2)))["layers"]] * 2, axis=1)}


def _dag(name: str) -> dict[str, object]:
    return {**_layer(params=name), "params": {"name": "found", "value": np.ones((1, 1))}}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"x": 1}, NO_NETWORK),
        ({"net": 3}, NO_NETWORK),
        ({"net": {"layers": np.empty((1, 0), object)}}, "no layer has an array, expected a network with its weights"),
        ({"net": _layer(weights=scipy.sparse.csc_matrix(np.eye(3)))},
         "a sparse array stands among the arrays of layer 'c', expected numbers"),
        ({"net": _layer(weights=np.ones((2, 2)) * 1j)},
         "a complex array stands among the arrays of layer 'c', expected numbers"),
        ({"net": _layer(weights="text")}, "a text stands among the arrays of layer 'c', expected numbers"),
        ({"net": _twice()}, "two layers with arrays are called 'c', expected a name of its own for each"),
        ({"net": _dag("lost")}, "a layer has the parameter 'lost', expected one that the file holds"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, variables: dict[str, object], sentence: str) -> None:
    path = tmp_path / "net.mat"
    scipy.io.savemat(path, variables)
    assert _refusal(path) == f"MatConvNet network: {sentence}"


def _nested(levels: int) -> bytes:
    value = matrix(7, (1, 1), element(7, bytes(4)))
    for _ in range(levels):
        value = matrix(1, (1, 1), value)
    return value


def _compressed(variable: bytes) -> bytes:
    packed = zlib.compress(variable)
    return struct.pack("<II", 15, len(packed)) + packed


def _claiming(size: int, packed: int) -> bytes:
    """Gives a compressed variable of so many bytes that says to be an array of `size` bytes."""
    start = matrix(7, (1, 1), b"", b"net")
    content = zlib.compress(start[:4] + struct.pack("<I", size) + start[8:])
    return struct.pack("<II", 15, packed) + content.ljust(packed, b"\0")


OBJECT = element(14, element(6, struct.pack("<II", 17, 0)) + element(1, b"net") + element(1, b"MCOS"))
NOT_ZLIB = "Error -3 while decompressing data: unknown compression method"
DAMAGED = {
    "text": (b"MATLAB 5.0 MAT-file", "MATLAB 5 file: byte order b'' in its header, expected b'IM' (little-endian)"),
    "big-endian": (
        mat_v5()[:126] + b"MI",
        "MATLAB 5 file: byte order b'MI' in its header, expected b'IM' (little-endian)",
    ),
    "no MATLAB": (b"\0\0\0\0", "starts with b'\\x00\\x00\\x00\\x00', expected a MATLAB file of version 5 to 7.3"),
    "object": (
        mat_v5(OBJECT),
        "MatConvNet network: `net` is an object, expected a struct (for a DagNN: net = net.saveobj())",
    ),
    "nested": (
        mat_v5(one_layer(_nested(5))),
        "MATLAB 5 file: values nested deeper than 8, expected a network",
    ),
    "nested as deep as may be": (
        mat_v5(one_layer(_nested(4))),
        "MatConvNet network: a cell or struct stands among the arrays of layer 'c', expected numbers",
    ),
    "nested without end": (
        mat_v5(one_layer(_nested(5000))),
        "MATLAB 5 file: values nested deeper than 8, expected a network",
    ),
    "many": (
        mat_v5(bytes(8) * 200_001),
        "MATLAB 5 file: more than 200000 values, expected fewer",
    ),
    "small element": (
        mat_v5(struct.pack("<II", 5 << 16 | 14, 0)),
        "MATLAB 5 file: a small element of 5 bytes, expected at most 4",
    ),
    "field names": (
        mat_v5(matrix(2, (1, 1), element(5, b"\xff" * 8000) + element(1, b"layers"), b"net")),
        "MATLAB 5 file: 6 bytes of field names of 4294967295 bytes each, expected whole names",
    ),
    "cut": (
        mat_v5(one_layer(matrix(7, (1, 1), element(7, bytes(4)))))[:-8],
        "MATLAB 5 file: an element of 592 bytes, expected at most the 584 left",
    ),
    "too few numbers": (
        mat_v5(one_layer(matrix(7, (3, 3), element(7, bytes(4))))),
        "MATLAB 5 file: 4 bytes for an array of shape (3, 3) of float32, expected 36",
    ),
    "negative": (
        mat_v5(one_layer(matrix(7, (-1, -1), element(7, bytes(4))))),
        "MATLAB 5 file: an array's shape is (-1, -1), expected 2 to 32 sizes from 0",
    ),
    "huge cell": (
        mat_v5(one_layer(matrix(1, (1 << 30, 1 << 30), b""))),
        "MATLAB 5 file: 1152921504606846976 values in 0 bytes, expected at least 8 bytes each",
    ),
    "class": (
        mat_v5(one_layer(matrix(99, (1, 1), element(7, bytes(4))))),
        "MATLAB 5 file: an array of class 99, expected one of MATLAB's, 1 to 17",
    ),
    "text too long": (
        mat_v5(one_layer(matrix(4, (1, 5000), element(4, bytes(10000))))),
        "MATLAB 5 file: a text of 10000 bytes, expected a name or a type",
    ),
    "bomb": (
        mat_v5(_claiming(1 << 30, 1000)),
        "MATLAB 5 file: an element of type 14 of 1073741824 bytes in 1000 packed ones, expected at most 1032 for one",
    ),
    "more than memory": (
        mat_v5(_claiming(600 << 20, 1 << 20)),
        "MATLAB 5 file: arrays of 629145600 bytes, expected at most the file's size and 512 MB in all",
    ),
    "longer": (
        mat_v5(_claiming(32, 100)),
        "MATLAB 5 file: a compressed variable of more than the 32 bytes that it says, expected no more",
    ),
    "shorter": (
        mat_v5(_claiming(5000, 100)),
        "MATLAB 5 file: a compressed variable of 48 bytes, expected 5000",
    ),
    "not zlib": (
        mat_v5(struct.pack("<II", 15, 16) + bytes(16)),
        f"MATLAB 5 file: a compressed variable cannot be unpacked ({NOT_ZLIB}), expected an undamaged one",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_of_version_5_is_refused(tmp_path: Path, name: str) -> None:
    data, sentence = DAMAGED[name]
    path = tmp_path / "net.mat"
    path.write_bytes(data)
    assert _refusal(path) == sentence


def test_variables_that_are_no_network_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    net = one_layer(matrix(7, (1, 1), element(7, bytes(4))))
    odd = matrix(99, (1, 1), b"", b"odd")
    path.write_bytes(mat_v5(_compressed(net), OBJECT.replace(b"net", b"opt"), odd, _compressed(odd)))
    assert list(read_matconvnet(path).arrays) == ["c.weight"]


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    write_mat_v73(path, {"x": "y"})
    write_mat_v73(tmp_path / "secret.mat", {"net": "secret"})
    with h5py.File(path, "r+") as file:
        file["net"] = h5py.ExternalLink(str(tmp_path / "secret.mat"), "net")
    assert _refusal(path, read_mat_v73) == "MATLAB 7.3 file: 'net' is a link, expected a value"


def test_a_cell_that_holds_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    write_mat_v73(path, {"net": {"layers": ["x"]}})
    with h5py.File(path, "r+") as file:
        file["net/layers"][0, 0] = file["net"].ref
    assert _refusal(path, read_mat_v73) == "MATLAB 7.3 file: values nested deeper than 8, expected a network"


def test_a_cell_that_refers_to_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    write_mat_v73(path, {"net": {"layers": ["x"]}})
    with h5py.File(path, "r+") as file:
        file["net/layers"][0, 0] = h5py.Reference()
    expected = "MATLAB 7.3 file: a cell array refers to nothing, expected a value"
    assert _refusal(path, read_mat_v73) == expected


def test_structs_with_a_field_that_not_all_have_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    write_mat_v73(path, {"layers": Structs([{"name": "x"}, {"name": "y"}])})
    with h5py.File(path, "r+") as file:
        file.create_group("layers/type").attrs["MATLAB_class"] = np.bytes_("struct")
    expected = "MATLAB 7.3 file: an array of structs has fields of different lengths, expected one length"
    assert _refusal(path, read_mat_v73) == expected


def test_a_long_text_in_version_7_3_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    write_mat_v73(path, {"net": {"name": "x" * 3000}})
    expected = "MATLAB 7.3 file: a text of shape (3000, 1) in uint16, expected a name or a type"
    assert _refusal(path, read_mat_v73) == expected


def test_an_object_in_version_7_3_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    write_mat_v73(path, {"net": np.zeros((1, 6), np.int32)})
    with h5py.File(path, "r+") as file:
        file["net"].attrs["MATLAB_class"] = np.bytes_("dagnn.DagNN")
    sentence = "`net` is an object, expected a struct (for a DagNN: net = net.saveobj())"
    assert _refusal(path) == f"MatConvNet network: {sentence}"


def test_a_file_of_version_7_3_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    write_mat_v73(path, {"net": {"name": "x"}})
    path.write_bytes(path.read_bytes()[:3000])
    assert _refusal(path).startswith("damaged (Unable to synchronously open file (truncated file")


def test_memory_is_bounded_in_all() -> None:
    budget = Budget(10)
    budget.memory(SPARE_BYTES)
    budget.memory(10)
    with pytest.raises(FacetError, match="arrays of 1 bytes, expected at most the file's size and 512 MB in all"):
        budget.memory(1)


def test_the_check_before_reading_unpacks_no_array(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    write_matconvnet(path, [("c", {"weight": np.ones((3, 3, 1, 2), np.float32)})], MatConvNetForm("7.3", dag=True))
    with h5py.File(path, "r+") as file:
        made = file.create_dataset("net/value", (2, 2), "f4", chunks=(2, 2), compression="gzip")
        made.attrs["MATLAB_class"] = np.bytes_("single")
        made.id.write_direct_chunk((0, 0), b"no zlib")
    check_mat_v73(path)
    assert "cannot be unpacked" in _refusal(path)


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "form",
    [MatConvNetForm("5"), MatConvNetForm("5", compressed=True), MatConvNetForm("7.3", dag=True, compressed=True)],
    ids=str,
)
def test_a_mutated_network_is_read_or_refused(tmp_path: Path, form: MatConvNetForm, count: int) -> None:
    path = tmp_path / "net.mat"
    layers = [(name, {"weight": np.ones((3, 3, 1, 2), np.float32), "bias": np.ones(2, np.float32)}) for name in "ab"]
    write_matconvnet(path, layers, form)
    outcome = fuzzing.survives(READERS[form.version], path, count)
    assert outcome.read + outcome.refused == count


@pytest.mark.long
def test_a_mutated_network_of_version_7_3_does_no_harm_to_the_process_that_asks(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    write_matconvnet(path, [("a", {"weight": np.ones((3, 3, 1, 2), np.float32)})], MatConvNetForm("7.3"))
    outcome = fuzzing.survives("models.pretrained.matconvnet:read_matconvnet", path, 100)
    assert outcome.read + outcome.refused == 100
