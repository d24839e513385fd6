"""How activations are rounded when they are stored: ml_dtypes and NumPy have an opinion of their own."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.training.activations.number_formats import NUMBER_FORMATS, restored_rows, stored_rows

bits = arrays.arrays(np.uint32, st.tuples(st.integers(0, 5), st.integers(1, 4)), elements=st.integers(0, 2**32 - 1))
ANY = bits.map(lambda found: found.view(np.float32))
#: Numbers of the size that activations have, and some beyond float16.
USUAL = arrays.arrays(
    np.float32, st.tuples(st.integers(0, 5), st.integers(1, 4)), elements=st.floats(-7e4, 7e4, width=32)
)


def there_and_back(values, number_format):
    return restored_rows(stored_rows(values, number_format), number_format)


def same_bits(one, other):
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    np.testing.assert_array_equal(one.view(f"u{one.dtype.itemsize}"), other.view(f"u{one.dtype.itemsize}"))


def expected(values, number_format):
    """Gives what a file should give back, by other people's roundings, and which rows it should mark."""
    with np.errstate(all="ignore"):
        short = values.astype(ml_dtypes.bfloat16)
        if number_format == "bfloat16":
            return short, np.zeros(len(values), np.uint8)
        if number_format == "float32":
            return values, np.zeros(len(values), np.uint8)
        beyond = (np.isfinite(values) & (np.abs(values) > 65504)).any(axis=1)
        halves = values.astype(np.float16).astype(np.float32)
        return np.where(beyond[:, None], short.astype(np.float32), halves), beyond.astype(np.uint8)


@pytest.mark.parametrize("number_format", NUMBER_FORMATS)
@given(values=ANY | USUAL)
@example(values=np.array([[65504.0], [65504.004], [65519.9], [65520.0], [-65504.0], [-70000.0]], np.float32))
@example(values=np.array([[np.inf, 1], [-np.inf, 7e4], [np.nan, 1], [np.nan, -7e4], [3.4028235e38, 1]], np.float32))
@example(values=np.array([[1.00390625, 1.01171875], [-0.0, 1e-45], [5.9604645e-08, 2.9802322e-08]], np.float32))
@example(values=np.array([[0x7F800001], [0xFF800001], [0x7FFFFFFF]], np.uint32).view(np.float32))
def test_numbers_come_back_as_others_round_them(number_format, values):
    stored = stored_rows(values, number_format)
    wanted, marks = expected(values, number_format)
    assert stored.values.dtype == NUMBER_FORMATS[number_format]
    assert stored.values.flags.c_contiguous
    np.testing.assert_array_equal(stored.marks, marks)
    back = restored_rows(stored, number_format)
    assert (back.dtype, back.shape) == (wanted.dtype, wanted.shape)
    whole = np.isnan(wanted.astype(np.float32))
    np.testing.assert_array_equal(np.isnan(back.astype(np.float32)), whole)
    same_bits(np.where(whole, 0, back), np.where(whole, 0, wanted))


@given(values=ANY)
def test_float32_is_kept_to_the_last_bit_even_of_a_nan(values):
    same_bits(there_and_back(values, "float32"), values)


@pytest.mark.parametrize("number_format", ["float32", "bfloat16"])
@given(
    values=arrays.arrays(np.uint16, (3, 4), elements=st.integers(0, 2**16 - 1)).map(
        lambda b: b.view(ml_dtypes.bfloat16)
    )
)
def test_what_bfloat16_computation_gives_is_kept_exactly(number_format, values):
    back = there_and_back(values, number_format)
    numbers = ~np.isnan(values)
    same_bits(back.astype(ml_dtypes.bfloat16)[numbers], values[numbers])
    if number_format == "bfloat16":
        same_bits(back, values)


@given(values=USUAL)
def test_float16_errs_by_at_most_half_its_last_digit_and_marked_rows_by_half_of_bfloat16s(values):
    stored = stored_rows(values, "float16")
    exact = values.astype(np.float64)
    errors = np.abs(restored_rows(stored, "float16") - exact)
    relative = np.where(stored.marks, 2.0**-8, 2.0**-11)[:, None]
    assert (errors <= np.maximum(np.abs(exact) * relative, 2.0**-25)).all()


@pytest.mark.parametrize("number_format", NUMBER_FORMATS)
@given(values=USUAL)
def test_a_row_is_stored_alike_alone_and_among_others(number_format, values):
    together = stored_rows(values, number_format)
    for row in range(len(values)):
        alone = stored_rows(values[row : row + 1], number_format)
        same_bits(alone.values[0], together.values[row])
        assert alone.marks[0] == together.marks[row]


@pytest.mark.parametrize("number_format", NUMBER_FORMATS)
def test_values_laid_out_otherwise_are_stored_in_order(number_format):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(there_and_back(values.transpose(1, 2, 0), number_format), values.transpose(1, 2, 0))


def test_half_precision_numbers_given_to_a_bfloat16_file_are_rounded_not_reinterpreted():
    values = np.array([[1.5, 0.1]], np.float16)
    wanted = values.astype(np.float32).astype(ml_dtypes.bfloat16)
    same_bits(there_and_back(values, "bfloat16"), wanted)
