import numpy as np
import pytest
from activation_files import key_of
from full_disks import files_no_longer_than

from hdf5_helper.errors import FacetError
from models.training.activations.activation_file import ActivationFile
from models.training.activations.level import Level

LOW, TOP = (4, 5, 3), (3,)
ROWS = key_of().rows


class Counted:
    """A function of inputs row by row that writes down what it is given."""

    def __init__(self, function):
        self.function, self.given = function, []

    def __call__(self, inputs):
        self.given.append(inputs)
        return self.function(inputs)


class Pixels:
    """Images that tell rows and views apart, and which of them were read."""

    def __init__(self):
        self.read = []

    def __call__(self, rows, views):
        self.read += zip(rows.tolist(), views.tolist(), strict=True)
        return pixels_of(rows, views)


def pixels_of(rows, views):
    values = np.arange(np.prod(LOW)) + 7 * rows[:, None] + 100 * views[:, None]
    return (values % 256).astype(np.uint8).reshape(-1, *LOW)


def to_low(images):
    return images.astype(np.float32) / 3 - 10


def to_top(low):
    return low.astype(np.float32).mean(axis=(1, 2))


def low_of(rows, views):
    return to_low(pixels_of(rows, views))


def top_of(rows, views):
    return to_top(low_of(rows, views))


@pytest.fixture
def said():
    return []


@pytest.fixture
def level_in(tmp_path, said):
    """Opens `level_in("low" or "top")`; whatever was opened is closed at the end."""
    opened = []

    def open_level(shape, function, below=None, *, block=8, dtype="float32", views=("plain", "mirror")):
        files = tuple(
            ActivationFile.open(tmp_path, key_of(shape=shape, view=view, dtype=dtype), said.append) for view in views
        )
        opened.extend(files)
        return Level(files, Counted(function), below, block=block)

    def get(name, below=None, **options):
        return open_level(LOW, to_low, **options) if name == "low" else open_level(TOP, to_top, below, **options)

    yield get
    for file in opened:
        file.close()


def some(*rows):
    """Gives rows and views, all odd rows mirrored."""
    rows = np.array(rows, np.int64)
    return rows, rows % 2


def test_what_is_computed_is_kept_for_its_row_and_view_alone(level_in):
    low, pixels = level_in("low"), Pixels()
    wanted = some(3, 8, 1, 2, 39)
    assert np.array_equal(low.compute(*wanted, pixels), low_of(*wanted))
    rows = np.repeat(np.arange(ROWS), 2)
    views = np.tile([0, 1], ROWS)
    kept = set(zip(*(numbers.tolist() for numbers in wanted), strict=True))
    assert low.has(rows, views).tolist() == [cell in kept for cell in zip(rows.tolist(), views.tolist(), strict=True)]
    assert np.array_equal(level_in("low").read(*wanted), low_of(*wanted))
    with pytest.raises(FacetError, match="has no row"):
        low.read(np.array([3, 3]), np.array([0, 1]))


def test_every_block_is_of_one_size_padded_with_its_first_row(level_in):
    low, pixels = level_in("low", block=4), Pixels()
    rows, views = some(*range(20, 29))
    low.compute(rows, views, pixels)
    last = pixels_of(rows[8:], views[8:])
    expected = [pixels_of(rows[:4], views[:4]), pixels_of(rows[4:8], views[4:8]), np.repeat(last, 4, axis=0)]
    assert [given.shape for given in low._compute.given] == [(4, *LOW)] * 3
    assert all(np.array_equal(*pair) for pair in zip(low._compute.given, expected, strict=True))
    assert pixels.read == list(zip(rows.tolist(), views.tolist(), strict=True))


def test_nothing_is_computed_where_nothing_is_wanted(level_in):
    low = level_in("low")
    none = np.array([], np.int64)
    assert low.compute(none, none, Pixels()).shape == (0, *LOW)
    assert (low.has(none, none).shape, low._compute.given) == ((0,), [])


def test_one_pass_fills_both_levels(level_in):
    low, pixels = level_in("low"), Pixels()
    top = level_in("top", low)
    wanted = some(*range(12))
    assert np.array_equal(top.compute(*wanted, pixels), top_of(*wanted))
    assert len(pixels.read) == 12
    assert low.has(*wanted).all()
    assert top.has(*wanted).all()
    assert np.array_equal(low.read(*wanted), low_of(*wanted))


def test_the_upper_level_is_computed_from_the_lower_one_without_a_pixel(level_in):
    low = level_in("low")
    wanted = some(*range(12))
    low.compute(*wanted, Pixels())
    computed, pixels = len(low._compute.given), Pixels()
    assert np.array_equal(level_in("top", low).compute(*wanted, pixels), top_of(*wanted))
    assert (pixels.read, len(low._compute.given)) == ([], computed)


def test_only_what_the_lower_level_lacks_is_computed_from_pixels(level_in):
    low, pixels = level_in("low"), Pixels()
    low.compute(*some(1, 4), Pixels())
    wanted = some(4, 0, 1, 7)
    assert np.array_equal(level_in("top", low).compute(*wanted, pixels), top_of(*wanted))
    assert pixels.read == [(0, 0), (7, 1)]
    assert {len(given) for given in low._compute.given} == {8}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_upper_level_is_the_same_whether_the_lower_one_was_read_or_just_computed(level_in, dtype):
    wanted = some(*range(8))
    low = level_in("low", dtype=dtype)
    fresh = level_in("top", low, dtype=dtype).compute(*wanted, Pixels())
    read = to_top(low.read(*wanted))
    assert not np.array_equal(to_top(low_of(*wanted)), read)  # rounding shows
    assert np.array_equal(fresh, level_in("top", low, dtype=dtype).read(*wanted))
    exact = level_in("top", low, views=("plain",))
    assert np.array_equal(exact.compute(wanted[0][::2], wanted[1][::2], Pixels()), read[::2])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_full_disk_loses_no_value_and_is_said_once_a_file(level_in, said, dtype):
    low = level_in("low", dtype=dtype)
    first, then = some(*range(8)), some(*range(8, 24))
    low.compute(*first, Pixels())
    with files_no_longer_than(4096):
        values = low.compute(*then, Pixels())
    assert not low.has(*then).any()
    assert np.array_equal(values, low.compute(*then, Pixels()))
    kept = level_in("low", dtype=dtype)
    assert np.array_equal(values, kept.compute(*then, Pixels()))
    assert np.array_equal(values, kept.read(*then))
    assert values.dtype == kept.read(*then).dtype
    assert low.has(*first).all()
    assert [sentence.partition(":")[2] for sentence in said] == [
        " cannot be written (file too large): what it lacks is computed live"
    ] * 2


def test_a_row_alone_is_never_computed(level_in):
    with pytest.raises(FacetError, match="activations in blocks of 1: expected at least 2 rows"):
        level_in("low", block=1)
