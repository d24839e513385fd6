import numpy as np
import pytest
from fuzzing import survives
from weight_files_torch7 import ENCODINGS, Function, Module, Storage, Tensor, sequential, write_object, write_torch7

from hdf5_helper.errors import FacetError
from models.pretrained import torch7, torch7_encoding, torch7_objects
from models.pretrained.torch7 import read_torch7


def drawn(*shape):
    return np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)


def read(path, value, encoding="binary64"):
    write_object(path, value, encoding)
    return read_torch7(path)


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (Tensor(Storage(drawn(24)), (4, 7), (7, 1)), "sizes (4, 7), strides (7, 1) and offset 0"),
        (Tensor(Storage(drawn(24)), (4, 6), (6, 1), 2), "offset 1"),
        (Tensor(Storage(drawn(24)), (4, 6), (6, 1), 0), "offset -1"),
        (Tensor(Storage(drawn(24)), (4, 6), (6, -1), 10), "strides (6, -1)"),
        (Tensor(Storage(drawn(24)), (-4, -6), (6, 1)), "sizes (-4, -6)"),
        (Tensor(Storage(drawn(24)), (1 << 40,), (0,)), f"sizes ({1 << 40},)"),
        (Tensor(Storage(drawn(24)), (1 << 62, 4), (1 << 62, 1)), f"sizes ({1 << 62}, 4)"),
        (Tensor(Storage(drawn(24)), (4, 6), (6, 1), 1, "torch.DoubleTensor"), "a Double tensor"),
    ],
)
def test_a_tensor_that_reaches_out_of_its_storage_is_refused(tmp_path, tensor, problem):
    path = tmp_path / "net.t7"
    with pytest.raises(FacetError) as refusal:
        read(path, sequential([Module("nn.Linear", {"weight": tensor})]))
    assert str(refusal.value).startswith(f"{path}: Torch7, binary, 64-bit longs: 0.weight: ")
    assert problem in str(refusal.value)
    assert "in a Float storage of 24, expected" in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty, expected weights"),
        (b"\x09\0\0\0", "Torch7, binary, 64-bit longs: an object of type 9 before byte 4, expected a type from 0 to 8"),
        (b"\x02\0\0\0\xff\xff\xff\x7f", "an object of 2147483647 bytes before byte 8, expected no more than the 0"),
        (b"\x02\0\0\0\xff\xff\xff\xff", "a length of -1 before byte 8, expected one that is not negative"),
        (b"\x03\0\0\0\1\0\0\0\0\0\0\0", "neither a network nor tensors found, expected a network's weights"),
        (b"\x04\0\0\0\1\0\0\0\3\0\0\0a b", "a class named 'a b' before byte 15, expected a name such as nn.Linear"),
        (b"3\n1\n1000000000\n1\nx\n", "Torch7, ASCII: 'x' before byte 19, expected a number"),
    ],
)
def test_a_file_that_is_none_of_torch7s_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "file.t7"
    path.write_bytes(content)
    with pytest.raises(FacetError) as refusal:
        read_torch7(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert sentence in str(refusal.value)


def test_a_file_that_nests_too_deep_is_refused(tmp_path):
    path = tmp_path / "deep.t7"
    path.write_bytes(b"".join(b"\3\0\0\0" + n.to_bytes(4, "little") + b"\1\0\0\0" for n in range(1, 20_000)))
    with pytest.raises(
        FacetError, match=r"objects nested deeper than 10000 before byte 1200\d\d, expected fewer levels"
    ):
        read_torch7(path)


def test_a_file_of_too_many_objects_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch7_objects, "MOST_OBJECTS", 100)
    assert len(read(tmp_path / "list.t7", [drawn(1)] * 49).arrays) == 1
    with pytest.raises(FacetError, match=r"more than 100 objects before byte \d+, expected fewer"):
        read(tmp_path / "list.t7", [drawn(1)] * 50)


def test_numbers_computed_again_and_again_from_the_same_bytes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch7, "_MOST_COMPUTED", 1000)
    deviations = np.ones(100, np.float32)
    network = sequential([Module("nn.BatchNormalization", {"running_std": deviations}) for _ in range(3)])
    with pytest.raises(FacetError, match="more than 2 arrays of 1200 computed bytes"):
        read(tmp_path / "net.t7", network)


def test_text_that_would_grow_beyond_the_files_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch7_encoding, "_MOST_DECODED", 1000)
    assert read(tmp_path / "few.t7", np.zeros(100), "ascii").arrays["tensor"].nbytes == 800
    with pytest.raises(FacetError, match="text for 8000 bytes of numbers before byte"):
        read(tmp_path / "zeros.t7", np.zeros(1000), "ascii")


@pytest.mark.parametrize(
    ("line", "problem"),
    [("1 2", "after 2 numbers"), ("1 2 3 4 5", "or has more"), ("1 2 x 4", "a line"), ("1", "a storage of 4 numbers")],
)
def test_a_line_that_does_not_hold_its_numbers_is_refused(tmp_path, line, problem):
    path = tmp_path / "text.t7"
    write_object(path, np.array([1, 2, 3, 4.0]), "ascii")
    path.write_bytes(path.read_bytes().replace(b"1 2 3 4\n", line.encode().ljust(9) + b"\n" if line != "1" else b"1\n"))
    with pytest.raises(FacetError, match=f"{problem}.*, expected"):
        read_torch7(path)


def test_objects_that_are_made_of_no_table_are_refused_by_their_class(tmp_path):
    path = tmp_path / "hash.t7"
    write_object(path, {"model": Module("tds.Hash", 5), "x": drawn(1)})
    with pytest.raises(FacetError, match=r"a tds\.Hash that holds no table before byte"):
        read_torch7(path)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with pytest.raises(FacetError, match=r"two arrays named 1, expected one"):
        read(tmp_path / "tensors.t7", {1: drawn(1), "1": drawn(2)})


def test_a_name_beyond_all_reason_is_refused(tmp_path):
    with pytest.raises(FacetError, match="an array's name of 1001 characters, expected no more than 1000"):
        read(tmp_path / "deep.t7", {"x" * 1001: drawn(1)})
    assert len(read(tmp_path / "deep.t7", {"x" * 1000: drawn(1)}).arrays) == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_shorter_file_is_refused(tmp_path, encoding):
    path = tmp_path / "net.t7"
    write_torch7(path, [("dense", {"weight": drawn(2, 2), "bias": drawn(2)})], encoding)
    whole = path.read_bytes()
    for length in range(len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(FacetError):
            read_torch7(path)


def fuzzed(tmp_path, encoding, count):
    path = tmp_path / "net.t7"
    function = Function(b"\x1bLua", [{"name": "x", "value": 1}])
    norm = {"weight": drawn(4), "bias": drawn(4), "running_mean": drawn(4), "running_var": drawn(4)}
    layers = [
        ("conv", {"weight": drawn(4, 3, 3, 3), "bias": drawn(4)}),
        ("norm", norm),
        ("nn.View", {"size": Storage(np.array([64])), "f": function}),
    ]
    write_torch7(path, [*layers, ("dense", {"weight": drawn(3, 4), "bias": drawn(3)})], encoding)
    return survives("models.pretrained.torch7:read_torch7", path, count)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_damaged_file_is_read_or_refused(tmp_path, encoding):
    outcome = fuzzed(tmp_path, encoding, 100)
    assert outcome.read + outcome.refused == 100
    assert min(outcome.read, outcome.refused) > 3


@pytest.mark.long
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_thousand_damaged_files_are_read_or_refused(tmp_path, encoding):
    outcome = fuzzed(tmp_path, encoding, 1000)
    assert outcome.read + outcome.refused == 1000
