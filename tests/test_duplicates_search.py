import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import picture

from hdf5_helper.inspecting.hash_search import compare_all, look_up
from hdf5_helper.inspecting.near_duplicates import DISTANCE, LEAST_LIKENESS
from hdf5_helper.inspecting.perceptual import difference_hashes, likeness, to_grey

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=30)


def found(search, left, right, distance):
    parts = list(search(np.array(left, np.uint64), np.array(right, np.uint64), distance))
    assert [share for _pairs, share in parts] == sorted(share for _pairs, share in parts)
    assert not parts or parts[-1][1] == 1
    pairs = [tuple(pair) for pairs, _share in parts for pair in pairs.tolist()]
    assert len(set(pairs)) == len(pairs)
    return set(pairs)


def near_by_hand(left, right, distance):
    return {
        (i, j) for i, one in enumerate(left) for j, other in enumerate(right) if (one ^ other).bit_count() <= distance
    }


@pytest.mark.parametrize("search", [compare_all, look_up])
@given(left=HASHES, right=HASHES, flips=st.lists(st.sets(st.integers(0, 63), max_size=9), max_size=8))
def test_both_searches_find_exactly_the_pairs_within_any_distance(search, left, right, flips):
    right = right + [left[0] ^ sum(1 << bit for bit in bits) for bits in flips if left]
    for distance in range(9):
        assert found(search, left, right, distance) == near_by_hand(left, right, distance)


def test_both_searches_agree_on_thousands_of_hashes_that_crowd_together():
    left, right = (np.random.default_rng(n).integers(0, 2**12, n).astype(np.uint64) for n in (2000, 10_000))
    spread = np.uint64(0x0001_0001_0001_0001)
    compared, looked = (found(search, left * spread, right * spread, DISTANCE) for search in (compare_all, look_up))
    assert compared == looked
    assert len(compared) > 20_000


@pytest.mark.parametrize("search", [compare_all, look_up])
def test_hashes_that_are_all_near_come_in_parts_of_about_a_million(search):
    left, right = (np.random.default_rng(n).integers(0, 16, n).astype(np.uint64) for n in (1500, 2000))
    sizes = [len(pairs) for pairs, _share in search(left, right, DISTANCE)]
    assert sum(sizes) == 1500 * 2000
    assert max(sizes) < 1_300_000


def test_a_hash_says_where_a_picture_grows_brighter_to_the_right():
    ramp = np.tile(np.arange(0, 216, 24, dtype=np.uint8), (8, 1))
    up = ramp.copy()
    up[0, 1:] = up[0, 0]  # the first row is flat: its eight bits, the highest, are 0
    greys = np.stack([ramp, ramp[:, ::-1], up])
    assert difference_hashes(greys).tolist() == [2**64 - 1, 0, 2**56 - 1]


def test_grey_is_what_opencv_gives_image_by_image():
    images = np.stack([picture(n) for n in range(3)])
    assert np.array_equal(to_grey(images), np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]))


def thumbnail(image):
    return cv2.resize(to_grey(image[None])[0], (16, 16), interpolation=cv2.INTER_AREA)


def is_found(one, other):
    hashes = difference_hashes(to_grey(np.stack([one, other])))
    near = int(hashes[0] ^ hashes[1]).bit_count() <= DISTANCE
    return near and likeness(thumbnail(one)[None], thumbnail(other)[None])[0] >= LEAST_LIKENESS


def by_jpeg(image, quality):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: by_jpeg(image, 30),
        lambda image: cv2.resize(cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA), image.shape[1::-1]),
        lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2),
        lambda image: (image * 0.6 + 50).astype(np.uint8),
    ],
    ids=["recompressed", "resized", "grey", "less contrast"],
)
def test_nine_of_ten_changed_copies_of_faces_are_found(change, sample_tree):
    paths = sorted(sample_tree("agegender", 60, image_size=128).rglob("*.jpg"))[:40]
    faces = [cv2.imread(str(path))[..., ::-1] for path in paths]
    copies = [np.ascontiguousarray(change(np.ascontiguousarray(face))) for face in faces]
    assert (
        sum(is_found(face, copy) for face, copy in zip(faces, copies, strict=True)) >= 36
    )  # flat backgrounds of drawn faces flip bits


@given(st.integers(0, 10**6), st.floats(0.3, 1), st.integers(0, 40))
def test_likeness_does_not_depend_on_brightness_and_contrast(number, contrast, brightness):
    one = thumbnail(picture(number))
    other = (one * contrast + brightness).clip(0, 255).astype(np.uint8)
    if np.ptp(other) > 60 and (one * contrast + brightness).max() <= 255:
        assert likeness(one[None], other[None])[0] > 0.97


def test_likeness_is_one_with_itself_minus_one_with_the_negative_and_nothing_with_a_flat_picture():
    one = np.stack([thumbnail(picture(number)) for number in range(2000)])
    assert np.allclose(likeness(one, one), 1)
    assert np.allclose(likeness(one, 255 - one), -1)
    assert likeness(one, np.full_like(one, 9)).tolist() == [0] * 2000
    assert len(likeness(one[:0], one[:0])) == 0
