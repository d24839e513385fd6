"""Sizes as users write and read them."""

import pytest

from hdf5_helper.errors import FacetError
from hdf5_helper.wording import bytes_text, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("812", 812), ("20GB", 20 * 10**9), ("1.5 tb", 1_500_000_000_000), (" 500 MB ", 500 * 10**6)],
)
def test_a_size_is_a_number_and_a_unit_of_thousands(text, count):
    assert parse_bytes(text, "--cache-limit") == count


@pytest.mark.parametrize("text", ["", "much", "-1GB", "20GiB", "1e9", "GB", "1,5GB", "inf"])
def test_anything_else_is_one_sentence(text):
    with pytest.raises(FacetError, match="expected a size such as 20GB") as caught:
        parse_bytes(text, "--cache-limit")
    assert str(caught.value) == f"--cache-limit {text!r}: expected a size such as 20GB"


@pytest.mark.parametrize("count", [1, 999, 1000, 33_400_000, 812 * 10**9, 5 * 10**12])
def test_what_is_written_is_read_as_nearly_the_same(count):
    assert parse_bytes(bytes_text(count).replace("bytes", "B"), "size") == pytest.approx(count, rel=0.005)
