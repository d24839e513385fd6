import fuzzing
import hypothesis.extra.numpy as numpys
import ml_dtypes
import numpy as np
import pytest
from foreign_networks import assert_same
from hypothesis import given
from hypothesis import strategies as st
from weight_files_safetensors import file_bytes, safetensors_bytes, write_safetensors

from hdf5_helper.errors import FacetError
from models.pretrained.safetensors_file import looks_like, read_safetensors

DTYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1")
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def some_layers():
    random = np.random.default_rng(3)
    return [
        ("layer1.0.conv1", {"weight": random.normal(size=(4, 3, 3, 3)).astype("f4")}),
        ("layer1.0.bn1", {"weight": np.ones(4, "f2"), "num_batches_tracked": np.array(70_000)}),
    ]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.safetensors"


def refused(path):
    with pytest.raises(FacetError) as error:
        read_safetensors(path)
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(("framework", "axes"), [("pt", "OIHW"), ("np", "OIHW"), ("tf", "HWIO"), ("flax", "HWIO")])
def test_arrays_are_read_by_their_own_names(file, framework, axes):
    write_safetensors(file, some_layers(), framework)
    found = read_safetensors(file)
    assert (found.form, found.kernel_axes, found.named) == ("safetensors", axes, True)
    assert_same(
        found.arrays, {f"{layer}.{role}": array for layer, roles in some_layers() for role, array in roles.items()}
    )
    assert looks_like(file.read_bytes()[:512])


@given(
    st.lists(
        st.sampled_from(DTYPES).flatmap(
            lambda kind: numpys.arrays(kind, numpys.array_shapes(min_dims=0, max_dims=5, min_side=0))
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_arrays_of_any_kind_and_shape_are_read(tmp_path_factory, arrays):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    content = {f"{number}.weight": array for number, array in enumerate(arrays)}
    path.write_bytes(safetensors_bytes(content))
    found = read_safetensors(path).arrays
    assert_same({name: found[name] for name in content}, content)


def test_bfloat16_becomes_float32_and_bool_uint8(file):
    values = np.array([[1.5, -3e38], [np.inf, 1e-40]], ml_dtypes.bfloat16)
    file.write_bytes(safetensors_bytes({"w": values, "mask": np.array([True, False])}))
    assert_same(read_safetensors(file).arrays, {"w": values.astype("f4"), "mask": np.array([1, 0], "u1")})


def test_no_array_is_copied(file):
    write_safetensors(file, some_layers())
    arrays = read_safetensors(file).arrays.values()
    assert not any(array.flags.owndata or array.flags.writeable for array in arrays)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (file_bytes({"w": ONE}, bytes(3)), "1 arrays of 4 bytes in 3, expected such as fill the file"),
        (file_bytes({"w": ONE}, bytes(5)), "1 arrays of 4 bytes in 5, expected such as fill the file"),
        (file_bytes({}, b""), "0 arrays of 0 bytes in 0, expected such as fill the file"),
        (file_bytes({"v": ONE, "w": ONE}, bytes(4)), "array 'w' lies at bytes 0 to 4, expected 4 from 4 on"),
        (file_bytes({"w": {**ONE, "shape": [2]}}, bytes(4)), "array 'w' lies at bytes 0 to 4, expected 8 from 0 on"),
        (file_bytes({"w": {**ONE, "data_offsets": [2, 4]}}, bytes(4)), "array 'w' lies at bytes 2 to 4, expected 4"),
        (
            file_bytes({"w": {**ONE, "shape": [2**40, 2**40, 0]}}, bytes(4)),
            "array 'w' has shape (1099511627776, 1099511627776, 0), expected fewer elements",
        ),
        (file_bytes({"w": {**ONE, "dtype": "C64"}}, bytes(4)), "array 'w' is of 'C64', expected one of F64, F32, F16"),
        (file_bytes({"w": {**ONE, "shape": [-1]}}, bytes(4)), "array 'w' is not told by dtype, shape and data_offsets"),
        (file_bytes({"w": 5}, bytes(4)), "array 'w' is not told by dtype, shape and data_offsets, as expected"),
        (file_bytes({"": ONE}, bytes(4)), "an array is called '', expected 1 to 200 printable characters"),
        (file_bytes([ONE], bytes(4)), "a header that is a list, expected arrays by name"),
        (file_bytes(b'{"w":1,"w":2}', b""), "a name stands twice in the header, expected an undamaged file"),
        (file_bytes(b'{"w":' + b"[" * 100_000, b""), "a header that is no JSON (maximum recursion depth exceeded"),
        (file_bytes(b'{"w":' + b"1" * 10_000, b""), "a header that is no JSON (Exceeds the limit"),
        (file_bytes(b'{"\xff', b""), "a header that is no JSON ('utf-8' codec can't decode"),
        (b"\xff" * 8 + b"{}", "a header of 18,446,744,073,709,551,615 bytes, expected one within the file"),
        (b"{}", "a header of 32,123 bytes, expected one within the file"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_sentence(file, data, found):
    file.write_bytes(data)
    assert refused(file).startswith(found)


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_damaged_files_are_read_or_refused(file, count):
    write_safetensors(file, some_layers())
    outcome = fuzzing.survives("models.pretrained.safetensors_file:read_safetensors", file, count)
    assert outcome.read + outcome.refused == count
    assert outcome.refused > count / 4
