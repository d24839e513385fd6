"""JPEG: the same pixels from whichever decoder, nothing from a damaged file, and nothing on stderr."""

import io
import struct
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jpegs import SAMPLINGS, as_ycck, by_opencv, by_pillow, kept, noisy, zoo
from PIL import Image, ImageOps

from hdf5_helper.errors import FacetError
from hdf5_helper.images.decode import decode, decode_file, decode_stored
from hdf5_helper.images.jpeg import UnusualJpegError, decode_jpeg
from hdf5_helper.images.jpeg_segments import has_end, segments, without_metadata
from hdf5_helper.images.pillow_images import decode_by_pillow

ZOO = zoo()
IN_FOUR_COLORS = ("CMYK", "YCCK")


def by_cv2(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


@pytest.mark.parametrize("name", ZOO)
def test_every_kind_has_the_pixels_that_opencv_gives(name):
    assert np.array_equal(decode(ZOO[name]), by_cv2(ZOO[name]))


@pytest.mark.parametrize("name", [name for name in ZOO if name not in IN_FOUR_COLORS])
def test_the_fallback_gives_the_same_pixels(name):
    assert np.array_equal(decode_by_pillow("JPEG", ZOO[name]), decode(ZOO[name]))


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from(SAMPLINGS), st.integers(0, 5), st.booleans())
def test_every_size_and_sampling_has_the_pixels_of_opencv_and_pillow(height, width, sampling, restart, progressive):
    data = by_opencv(noisy(height * width, height, width), sampling, restart, progressive=progressive)
    assert np.array_equal(decode(data), by_cv2(data))
    assert np.array_equal(decode(data), decode_by_pillow("JPEG", data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"keep_rgb": True}], ids=["plain", "progressive", "RGB"]
)
def test_every_orientation_gives_exactly_what_pillow_gives(orientation, options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = by_pillow(noisy(3, 37, 52), exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(decode_file(data), expected)


@pytest.mark.parametrize("name", ["sampled 3x1", "sampled 1x4"])
def test_the_fallback_is_for_what_the_fast_decoder_does_not_know(name):
    with pytest.raises(UnusualJpegError):
        decode_jpeg(kept(name))
    assert decode(kept(name)).shape == (11, 19, 3)


def test_pixels_are_written_into_memory_of_their_shape():
    data, out = ZOO["420"], np.empty((37, 53, 3), np.uint8)
    decoded = decode_stored(data, None, out)
    assert decoded.pixels is out
    assert decoded.whole == (37, 53)
    assert np.array_equal(out, decode(data))
    for name, shape in (("420", (37, 54, 3)), ("sampled 3x1", (11, 19, 3))):
        other = decode_stored(ZOO[name], None, np.empty(shape, np.uint8)).pixels
        assert np.array_equal(other, decode(ZOO[name]))


WHOLE = ("444", "420", "420 restarts", "grey", "RGB", "CMYK")
UNTELLABLE = ("420 progressive", "grey progressive", "three scans", "sampled 3x1", "arithmetic")


@pytest.mark.parametrize("name", WHOLE)
def test_a_jpeg_that_lacks_its_end_marker_alone_is_whole(name):
    data = ZOO[name]
    for cut in (data[:-2], data[:-1]):
        assert np.array_equal(decode(cut), decode(data))


@pytest.mark.parametrize("name", [*WHOLE, *UNTELLABLE])
def test_a_jpeg_cut_anywhere_before_its_end_marker_is_refused(name):
    data = ZOO[name]
    last = len(data) - (2 if name in WHOLE else 0)
    for length in range(last):
        with pytest.raises(FacetError, match=r"^cannot be decoded: "):
            decode(data[:length])


def test_bytes_behind_the_end_marker_do_no_harm():
    assert np.array_equal(decode(ZOO["420"] + b"thumbnail" * 9), decode(ZOO["420"]))


@pytest.mark.parametrize("name", ["sampled 3x1", "sampled 1x4"])
@pytest.mark.parametrize(
    "behind", [b"\0", b"thumbnail" * 9, ZOO["420"], b"\xff\xd9"], ids=["zero", "text", "JPEG", "end"]
)
def test_bytes_behind_the_end_marker_do_no_harm_to_what_only_the_fallback_decodes_either(name, behind):
    assert np.array_equal(decode(ZOO[name] + behind), decode(ZOO[name]))


@pytest.mark.parametrize("cut", [2, 40])
@pytest.mark.parametrize("behind", [ZOO["420"], bytes(5000)], ids=["JPEG", "zeros"])
def test_whatever_follows_a_cut_picture_does_not_make_it_whole(cut, behind):
    with pytest.raises(FacetError, match=r"^cannot be decoded: "):
        decode(ZOO["sampled 3x1"][:-cut] + behind)


@pytest.mark.parametrize("name", ZOO)
def test_a_picture_has_its_end_where_it_is_whole_and_nowhere_else(name):
    data = ZOO[name]
    assert has_end(data)
    assert has_end(data + ZOO["420"])
    assert not any(has_end(data[:length]) for length in range(len(data)))
    assert not has_end(data[:-2] + b"\xff\xd8\x00\x02\xff\xd9")


def test_an_end_marker_inside_a_segment_is_none():
    data = ZOO["three scans"][:-2]
    scan = next(start for marker, start, _stop in segments(data) if marker == 0xDA) - 4
    second = data.index(b"\xff\xda", scan + 2)
    comment = b"\xff\xfe\x00\x06\xff\xd9\xff\xd9"
    assert not any(has_end(data[:place] + comment + data[place:]) for place in (2, scan, second))


def test_a_jpeg_of_twelve_bits_is_refused_in_one_sentence():
    data = ZOO["444"]
    frame = next(start for marker, start, _stop in segments(data) if marker == 0xC0)
    with pytest.raises(FacetError, match=r"^cannot be decoded: .*precision 12"):
        decode(data[:frame] + b"\x0c" + data[frame + 1 :])


def test_what_libjpeg_only_warns_of_is_refused():
    data = ZOO["420 restarts"]
    restart = data.index(b"\xff\xd0")
    with pytest.raises(
        FacetError, match=r"cannot be decoded: Corrupt JPEG data: \d+ extraneous bytes before marker 0xd0"
    ):
        decode(data[:restart] + bytes(40) + data[restart:])


def test_metadata_are_left_out_but_for_what_colors_mean():
    exif = Image.Exif()
    exif[0x0112] = 6
    for data in (by_pillow(noisy(4, 9, 9), exif=exif, comment=b"hello"), ZOO["YCCK"], ZOO["RGB"]):
        bare = without_metadata(data)
        assert np.array_equal(decode(bare), decode(data))
        assert not {0xE0, 0xE1, 0xFE} & {marker for marker, _start, _stop in segments(bare)}


def test_nobody_is_warned_of_damaged_metadata_that_the_fallback_would_read():
    whole = kept("sampled 3x1")
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x09\x01\x1a\x00\x05\x00\x00\x00\x01\x00\x00\x7f\x00"
    data = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + whole[2:]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert np.array_equal(decode(data), decode(whole))
        assert said == []
        Image.open(io.BytesIO(data))
        assert said != []  # so that this test says something


def test_inks_differ_from_ycc_so_that_the_tests_above_say_something():
    assert not np.array_equal(decode(ZOO["CMYK"]), decode(as_ycck(ZOO["CMYK"])))
