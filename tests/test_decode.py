"""Rules of reading: whatever the file holds, RGB uint8 comes out upright, as Pillow sees it."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from trees import encoded, picture

from hdf5_helper.decode import decode, decode_file, exif_orientation, image_format
from hdf5_helper.errors import FacetError

IMAGE = picture(1, 37, 52)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def as_pillow(data: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


@pytest.mark.parametrize(
    ("suffix", "name"), [(".jpg", "JPEG"), (".png", "PNG"), (".webp", "WebP"), (".bmp", "BMP"), (".tiff", "TIFF")]
)
def test_a_format_is_known_by_its_first_bytes(suffix, name):
    assert image_format(encoded(IMAGE, suffix)) == name


def test_other_bytes_are_an_unknown_format():
    assert [image_format(data) for data in (b"", b"\xff", b"RIFF1234WAVE", b"<html>")] == ["unknown"] * 4


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_pixels_come_out_as_they_went_in(suffix):
    assert np.array_equal(decode(encoded(IMAGE, suffix)), IMAGE)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA", "I;16"])
def test_other_kinds_of_png_become_rgb_as_in_pillow(mode):
    if mode == "I;16":
        data = encoded(IMAGE[..., :1].astype(np.uint16) * 257, ".png")
        expected = np.repeat(IMAGE[..., :1], 3, axis=2)
    else:
        image = Image.fromarray(IMAGE).convert(mode)
        data, expected = saved(image, "PNG"), np.asarray(image.convert("RGB"))
    assert np.array_equal(decode(data), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_kinds_of_jpeg_become_rgb_as_in_pillow(mode):
    data = saved(Image.fromarray(IMAGE).convert(mode), "JPEG", quality=95)
    assert np.abs(decode(data).astype(int) - as_pillow(data)).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_orientation_is_applied_as_in_pillow(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(IMAGE), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert exif_orientation(data) == orientation
    upright = decode_file(data)
    assert upright.shape == as_pillow(data).shape
    assert np.abs(upright.astype(int) - as_pillow(data)).max() <= 2


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xffExif", encoded(IMAGE), b"Exif" * 100])
def test_files_without_a_readable_orientation_are_upright(data):
    assert exif_orientation(data) == 1


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_image_is_refused(suffix, part):
    data = encoded(picture(2, 200, 160), suffix)
    with pytest.raises(FacetError, match="cannot be decoded"):
        decode(data[: int(len(data) * part)])


def test_views_and_arrays_decode_as_bytes_do():
    data = encoded(IMAGE, ".png")
    for form in (memoryview(data), np.frombuffer(data, np.uint8)):
        assert np.array_equal(decode(form), IMAGE)


def test_what_it_gives_can_be_written_to():
    image = decode(encoded(IMAGE), 6)
    assert image.flags.c_contiguous
    image[:] = 0
    assert cv2.countNonZero(image.reshape(-1)) == 0
