import io
import os
import pickle
import re
import struct
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import fuzzing
import hypothesis.extra.numpy as numpys
import ml_dtypes
import numpy as np
import pytest
from foreign_networks import assert_same
from hypothesis import given
from hypothesis import strategies as st
from weight_files_pytorch import legacy_bytes, pickled, save, state_dict, write_pytorch, zip_bytes

from hdf5_helper.errors import FacetError
from models.pretrained.pytorch import looks_like, read_pytorch

READER = "models.pretrained.pytorch:read_pytorch"
FORMS = {False: "PyTorch", True: "PyTorch before 1.6"}
DTYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1")


def some_layers():
    random = np.random.default_rng(3)
    norm = {role: random.normal(size=4).astype("f4") for role in ("weight", "bias", "running_mean", "running_var")}
    return [
        ("layer1.0.conv1", {"weight": random.normal(size=(4, 3, 3, 3)).astype("f4")}),
        ("layer1.0.bn1", {**norm, "num_batches_tracked": np.array(70_000)}),
        ("fc", {"weight": random.normal(size=(2, 4)).astype("f2"), "bias": np.zeros(2)}),
    ]


def refused(path):
    with pytest.raises(FacetError) as error:
        read_pytorch(path)
    return str(error.value).removeprefix(f"{path}: ")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.pth"


@pytest.mark.parametrize("legacy", [False, True])
def test_a_state_dict_is_read_by_its_own_names_in_its_order(file, legacy):
    write_pytorch(file, some_layers(), legacy=legacy)
    found = read_pytorch(file)
    assert (found.form, found.kernel_axes, found.named) == (FORMS[legacy], "OIHW", True)
    assert_same(found.arrays, state_dict(some_layers()))
    assert looks_like(file.read_bytes()[:512])


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickles_is_read(file, legacy, protocol):
    save(file, state_dict(some_layers()), legacy=legacy, protocol=protocol)
    assert_same(read_pytorch(file).arrays, state_dict(some_layers()))


@given(
    st.booleans(),
    st.lists(
        st.sampled_from(DTYPES).flatmap(lambda kind: numpys.arrays(kind, numpys.array_shapes(min_dims=0, max_dims=5))),
        min_size=1,
        max_size=4,
    ),
)
def test_arrays_of_any_kind_and_shape_are_read(tmp_path_factory, legacy, arrays):
    path = tmp_path_factory.getbasetemp() / "any.pth"
    content = {f"{number}.weight": array for number, array in enumerate(arrays)}
    save(path, content, legacy=legacy)
    assert_same(read_pytorch(path).arrays, content)


@pytest.mark.parametrize("legacy", [False, True])
def test_views_share_a_storage(file, legacy):
    whole = np.arange(60, dtype="f4")
    views = {
        "rows": whole[10:50].reshape(5, 8),
        "turned": whole.reshape(5, 12).T,
        "every_third": whole[1::3],
        "one": whole[7:8].reshape(1, 1, 1),
        "none": whole[:0].reshape(0, 3),
    }
    save(file, views, legacy=legacy)
    assert_same(read_pytorch(file).arrays, views)
    assert file.stat().st_size < 3000


@pytest.mark.parametrize("legacy", [False, True])
def test_bfloat16_becomes_float32_and_bool_uint8(file, legacy):
    values = np.array([[1.5, -3e38], [np.inf, 1e-40]], ml_dtypes.bfloat16)
    save(file, {"w": values, "mask": np.array([True, False])}, legacy=legacy)
    assert_same(read_pytorch(file).arrays, {"w": values.astype("f4"), "mask": np.array([1, 0], "u1")})


@pytest.mark.parametrize("legacy", [False, True])
def test_no_array_is_copied(file, legacy):
    write_pytorch(file, some_layers(), legacy=legacy)
    arrays = read_pytorch(file).arrays.values()
    assert not any(array.flags.owndata or array.flags.writeable for array in arrays)


@pytest.mark.parametrize("entry", ["model_state_dict", "state_dict", "model", "encoder"])
def test_the_state_dict_in_a_checkpoint_is_taken(file, entry):
    state = state_dict(some_layers())
    moments = {index: {"step": 3, "exp_avg": array} for index, array in enumerate(state.values())}
    optimizer = {"state": moments, "param_groups": [{"lr": 2e-3, "betas": (0.9, 0.999), "params": [0, 1]}]}
    best = np.array(0.918) if entry in {"state_dict", "model"} else 0.918
    save(file, {"epoch": 2, "best": best, entry: state, "optimizer_state_dict": optimizer, "note": None})
    assert_same(read_pytorch(file).arrays, state)


def test_a_choice_of_state_dicts_is_refused(file):
    save(file, {"generator": state_dict(some_layers()), "critic": state_dict(some_layers())})
    assert refused(file) == (
        "holds tensors in 'generator', 'critic', expected one of state_dict, model_state_dict, model, net, network, "
        "weights"
    )


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_the_prefix_of_a_wrapper_is_left_out(file, prefix):
    state = state_dict(some_layers())
    save(file, {f"{prefix}{name}": array for name, array in state.items()})
    assert_same(read_pytorch(file).arrays, state)


def test_a_prefix_of_some_names_stays(file):
    save(file, {"module.fc.bias": np.ones(1), "fc.bias": np.ones(1)})
    assert list(read_pytorch(file).arrays) == ["module.fc.bias", "fc.bias"]


def test_parameters_and_pairs_of_python_2_are_read(file):
    data, storages = pickled(OrderedDict(w=np.arange(3.0)))
    start = data.index(b"ctorch._utils\n_rebuild_tensor_v2")
    end = data.index(b"s.")
    parameter = b"ctorch._utils\n_rebuild_parameter\n(" + data[start:end] + b"\x89N" + b"tR"
    pairs = b"\x80\x02ccollections\nOrderedDict\nq\x00](U\x01w" + parameter + b"\x86U\x02idI93824992\n\x86e\x85R."
    file.write_bytes(zip_bytes(pairs, storages))
    assert_same(read_pytorch(file).arrays, {"w": np.arange(3.0)})


class Layer:
    """What a pickled module is: an object of a class."""

    def __init__(self):
        self.weight = np.ones(3)


def command(text):
    return type("Command", (), {"__reduce__": lambda _self: (os.system, (text,))})()


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_file_is_run(file, legacy, tmp_path):
    mark = tmp_path / "mark"
    save(file, {"w": np.ones(3), "more": command(f"touch {mark}")}, legacy=legacy)
    assert refused(file) == "would run 'posix.system', expected tensors only"
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (Layer(), f"holds a whole object of class '{__name__}.Layer', expected tensors: load the file in PyTorch"),
        ({"best": np.float64(3)}, "would run 'numpy.dtype', expected tensors only"),
        ({"state": defaultdict(dict)}, "would run 'collections.defaultdict', expected tensors only"),
        ({"w": np.ones(2, "c8")}, "has a storage of kind 'torch.ComplexFloatStorage', or a part of one, expected"),
        ([np.ones(3)], "holds a list, expected a state dict: what model.state_dict() gives"),
        (np.ones(3), "holds a Tensor, expected a state dict: what model.state_dict() gives"),
        ({"epoch": 3}, "holds no tensors by name, expected a state dict: what model.state_dict() gives"),
        ({7: np.ones(3)}, "holds no tensors by name, expected a state dict: what model.state_dict() gives"),
        ({"a\nb": np.ones(3)}, "a tensor is called 'a\\nb', expected 1 to 200 printable characters"),
        ({(1, 2): 3}, "its pickle has a dict with a key of type tuple, expected an undamaged file"),
        ({1 << 70: 3}, "its pickle has a dict with a key of type int, expected an undamaged file"),
        ({"w": np.broadcast_to(np.ones(1), (1000, 1000))}, "array 'w' reaches beyond its storage, expected a view of"),
        ({"note": 1 << 9000}, "its pickle uses operation b'\\x8b', expected those of tensors only"),
        ({"note": {1, 2}}, "would run '__builtin__.set', expected tensors only"),
    ],
)  # fmt: skip
def test_what_is_no_state_dict_is_refused_by_name(file, content, found):
    save(file, content)
    assert refused(file).startswith(found)


def test_a_whole_model_of_the_old_format_is_refused(file):
    data = legacy_bytes({})
    whole = b"\x80\x02(U\x06moduleccustom\nNet\nU\x06net.pyU\x05classtQ."
    empty = pickle.dumps({}, 2)
    assert data.count(empty) == 1
    file.write_bytes(data.replace(empty, whole))
    assert refused(file).startswith("holds a whole model of class 'custom.Net', expected tensors: load the file in")


def with_members(data: bytes, **changed) -> bytes:
    """Gives the archive with other contents of members, and without those that are None."""
    output = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(output, "w") as other:
        for name in archive.namelist():
            content = changed.get(Path(name).name.replace(".", "_"), archive.read(name))
            if content is not None:
                other.writestr(name, content)
    return output.getvalue()


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"data_pkl": None}, "a zip archive without data.pkl, expected one of torch.save"),
        ({"byteorder": b"big"}, "numbers are not stored low byte first, expected a file of a machine that does so"),
        ({"0": None}, "no member 'archive/data/0', expected one for each storage"),
        ({"0": bytes(8)}, "member 'archive/data/0' has 8 bytes, expected 16"),
    ],
)
def test_a_member_that_is_missing_or_wrong_is_named(file, members, found):
    file.write_bytes(with_members(zip_bytes(*pickled({"w": np.ones(2)})), **members))
    assert refused(file) == found


def test_members_that_lie_anywhere_are_read(file):
    file.write_bytes(with_members(zip_bytes(*pickled({"w": np.arange(5.0)}))))
    assert_same(read_pytorch(file).arrays, {"w": np.arange(5.0)})


def test_a_compressed_archive_is_refused(file):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickled({"w": np.ones(3)})[0])
    assert refused(file) == "member 'a/data.pkl' is compressed or encrypted, expected members as torch.save writes them"


def test_members_that_lie_over_each_other_are_refused(file):
    """Each would be looked through for its checksum: many members of all the file would take forever."""
    data, storages = pickled({f"w{number}": np.full(100, number, "u1") for number in range(9)})
    archive = bytearray(zip_bytes(data, storages))
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        infos = {info.filename: info for info in opened.infolist()}
        start = opened.start_dir
    for number in range(9):
        entry = archive.index(f"archive/data/{number}".encode(), start) - 46
        archive[entry + 20 : entry + 28] = struct.pack("<II", 1000, 1000)
        archive[entry + 42 : entry + 46] = struct.pack("<I", infos["archive/data.pkl"].header_offset)
    file.write_bytes(archive)
    found = r"members of 9,\d{3} bytes in a file of 3,\d{3}, expected such as lie apart in it"
    assert re.fullmatch(found, refused(file))


@pytest.mark.timeout(20)
def test_an_entry_that_is_there_many_times_is_looked_at_once(file):
    numbers = dict.fromkeys(range(50_000))
    save(file, {**dict.fromkeys(map(str, range(50_000)), numbers), "w": np.ones(2)})
    assert list(read_pytorch(file).arrays) == ["w"]


def test_torchscript_and_tar_archives_are_refused(file):
    file.write_bytes(zip_bytes(*pickled({}), **{"constants.pkl": b""}))
    assert refused(file) == "a TorchScript archive, expected a state dict: save module.state_dict() instead"
    file.write_bytes(bytes(257) + b"ustar\x0000" + bytes(800))
    assert looks_like(file.read_bytes()[:512])
    assert refused(file).startswith("PyTorch's first format, a tar archive, expected a later one")


def test_a_flipped_bit_in_a_storage_is_seen(file):
    data = bytearray(zip_bytes(*pickled({"w": np.full(9, 7, "u1")})))
    data[data.index(bytes([7] * 9))] ^= 4
    file.write_bytes(data)
    assert refused(file) == "member 'archive/data/0' does not match its checksum, expected an undamaged file"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            b"little_endianq\x02\x88",
            b"little_endianq\x02\x89",
            "numbers are not stored low byte first, expected a",
        ),
        (struct.pack("<q", 7), struct.pack("<q", 6), "storage '94000000' has another length than 7, expected an"),
        (b"94000000q\x01a.", b"94000001q\x01a.", "has 1 storages, expected the 1 that its tensors name"),
        (np.arange(7.0).tobytes(), bytes(40), "ends within storage '94000000', expected 16 bytes more"),
        (b"M\xe9\x03", b"M\xe8\x03", "does not begin as files of torch.save do, expected an undamaged file"),
    ],
)
def test_a_wrong_file_of_the_old_format_is_refused(file, old, new, found):
    data = legacy_bytes({"w": np.arange(7.0)})
    assert old in data
    file.write_bytes(data.replace(old, new))
    assert refused(file).startswith(found)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_damaged_files_are_read_or_refused(file, legacy, count):
    write_pytorch(file, some_layers(), legacy=legacy)
    outcome = fuzzing.survives(READER, file, count)
    assert outcome.read + outcome.refused == count
    assert outcome.refused > count / 4


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_damaged_pickles_in_sound_archives_are_read_or_refused(file, count):
    """Checksums refuse most damaged archives before their pickles are looked at."""
    data, storages = pickled(state_dict(some_layers()))
    for mutant in fuzzing.mutations(data, count, seed=1):
        file.write_bytes(zip_bytes(mutant, storages))
        fuzzing.read_or_refuse(read_pytorch, file)
