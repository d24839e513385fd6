import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from weight_files_caffe import field, integer, varint

from models.pretrained.protobuf_wire import I32, LEN, VARINT, WireReader
from models.pretrained.protobuf_wire import varint as read_varint

NUMBERS = st.integers(1, (1 << 29) - 1)
FIELDS = st.lists(
    st.one_of(
        st.tuples(NUMBERS, st.integers(0, (1 << 64) - 1)),
        st.tuples(NUMBERS, st.binary(max_size=300)),
        st.tuples(NUMBERS, st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=300)),
    ),
    max_size=20,
    unique_by=lambda field: field[0],
)


@given(FIELDS)
def test_every_message_is_read_as_it_was_written(fields: list[tuple[int, int | bytes | list[int]]]) -> None:
    def written(number: int, value: int | bytes | list[int]) -> bytes:
        if isinstance(value, int):
            return integer(number, value)
        if isinstance(value, bytes):
            return field(number, value)
        return b"".join(varint(number << 3 | I32) + word.to_bytes(4, "little") for word in value)

    message = memoryview(b"".join(written(*each) for each in fields))
    found = [
        (
            each.number,
            {
                VARINT: each.varint,
                LEN: bytes(each.content),
                I32: np.ascontiguousarray(each.fixed).view("<u4").ravel().tolist(),
            }[each.wire],
        )
        for each in WireReader().fields(message)
    ]
    assert found == fields


def test_an_integer_of_ten_bytes_has_the_lowest_64_bits() -> None:
    assert read_varint(memoryview(b"\xff" * 9 + b"\x7f"), 0) == ((1 << 64) - 1, 10)
