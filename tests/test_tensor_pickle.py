import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from models.pretrained.tensor_pickle import read_pickle
from models.pretrained.tensor_views import Storage, Tensor, arrays_of

STORAGE = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x06tQ"
SHAPE = b"K\x06\x85"
NO_TENSOR = "makes a tensor of something else than a storage, an offset, a shape and strides"
NO_STORAGE = "has a storage of kind 'torch.FloatStorage', or a part of one, expected one of"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\x80\x02" + b"]" * 1_000_000, "its pickle has more than 1,000,000 operations, expected a smaller one"),
        (b"\x80\x02X\xff\xff\xff\xff", "its pickle goes on behind byte 7, where it must have ended"),
        (b"\x80\x02Nr\xff\xff\xff\xff0.", "its pickle uses operation b'0', expected those of tensors only"),
        (b"\x80\x02c" + b"a" * 5000, "its pickle has a name of more than 1000 letters, expected an undamaged file"),
        (b"\x80\x02h\x07.", "its pickle recalls value 7, which it has not stored, expected an undamaged file"),
        (b"\x80\x02.", "its pickle takes a value that is not there, expected an undamaged file"),
        (b"\x80\x02Nt.", "its pickle goes back to a mark that is not there, expected an undamaged file"),
        (b"\x80\x02I1e9\n.", "its pickle has a number '1e9', expected an undamaged file"),
    ],
)
def test_a_hostile_pickle_is_one_sentence(data, found):
    with pytest.raises(FacetError) as error:
        read_pickle(memoryview(data))
    assert str(error.value).startswith(found)


def test_deep_nesting_and_cycles_are_read_without_recursion():
    deep = read_pickle(memoryview(b"\x80\x02N" + b"\x85" * 300_000 + b"."))
    assert isinstance(deep.value, tuple)
    cycle = read_pickle(memoryview(b"\x80\x02]q\x00h\x00a.")).value
    assert cycle[0] is cycle


def test_a_list_that_many_ordered_dicts_share_takes_no_memory_for_each():
    pairs = b"](" + b"K\x01N\x86" * 10_000 + b"eq\x00"
    call = b"ccollections\nOrderedDict\nq\x01" + b"h\x01h\x00\x85R" * 50_000
    assert read_pickle(memoryview(b"\x80\x02" + pairs + call + b".")).value == {}


def rebuilt(storage, arguments):
    return memoryview(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + arguments + b"\x89NtR.")


def test_a_tensor_is_told_by_its_storage_offset_shape_and_strides():
    found = read_pickle(rebuilt(STORAGE, b"K\x00" + SHAPE + b"K\x01\x85"))
    assert found.value == Tensor(Storage("0", "<f4", 6), 0, (6,), (1,))
    assert found.storages == {"0": Storage("0", "<f4", 6)}


@pytest.mark.parametrize(
    ("storage", "arguments", "found"),
    [
        (STORAGE, b"K\x00" + SHAPE + b")", NO_TENSOR),
        (STORAGE, b"J\xff\xff\xff\xff" + SHAPE + b"K\x01\x85", NO_TENSOR),
        (STORAGE, b"K\x00(" + b"K\x01" * 40 + b"tq\x00h\x00", NO_TENSOR),
        (STORAGE, b"K\x00\x88\x85K\x01\x85", NO_TENSOR),
        (b"N", b"K\x00" + SHAPE + b"K\x01\x85", NO_TENSOR),
        (STORAGE.replace(b"K\x06", b"J\xff\xff\xff\xff"), b"", NO_STORAGE),
        (STORAGE.replace(b"tQ", b"(U\x011K\x00K\x02ttQ"), b"", NO_STORAGE),
        (STORAGE + STORAGE.replace(b"K\x06", b"K\x07"), b"", "gives storage '0' two kinds or lengths, expected an"),
        (b"K\x07Q", b"", "refers to something outside of it that is no storage, expected an undamaged file"),
    ],
)
def test_a_tensor_of_wrong_parts_is_refused(storage, arguments, found):
    with pytest.raises(FacetError) as error:
        read_pickle(rebuilt(storage, arguments))
    assert str(error.value).removeprefix("its pickle ").startswith(found)


@given(st.integers(0, 8), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=3))
def test_a_tensor_is_a_view_within_its_storage_or_refused(offset, axes):
    shape, strides = tuple(length for length, _ in axes), tuple(stride for _, stride in axes)
    tensor, numbers = Tensor(Storage("0", "<i8", 8), offset, shape, strides), np.arange(8)
    places = offset + sum(
        (np.indices(shape)[axis] * stride for axis, stride in enumerate(strides)), np.zeros(shape, int)
    )
    if places.size <= 8 and (places < 8).all():
        np.testing.assert_array_equal(arrays_of({"w": tensor}, lambda _: numbers.data.cast("B"))["w"], numbers[places])
    else:
        with pytest.raises(FacetError, match="'w' reaches beyond its storage, expected a view of its 8 elements"):
            arrays_of({"w": tensor}, lambda _: numbers.data.cast("B"))
