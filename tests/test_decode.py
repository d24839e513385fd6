"""Rules of reading: whatever the file holds, RGB uint8 comes out upright, as Pillow sees it."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin
from trees import encoded, picture

from hdf5_helper.errors import FacetError
from hdf5_helper.images.decode import (
    decode,
    decode_file,
    decode_file_to,
    decode_to,
    exif_orientation,
    image_format,
    orient,
)
from hdf5_helper.images.fit import FITS, fit, reduction

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


NOISE = np.random.default_rng(0).integers(0, 256, (300, 290, 3), dtype=np.uint8)


def rotated(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def late_png() -> bytes:
    """A PNG whose eXIf chunk follows its pixels, as some programs write it."""
    data = saved(Image.fromarray(NOISE), "PNG")
    body = b"eXIf" + rotated().tobytes()[6:]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:-12] + chunk + data[-12:]


def late_jpeg() -> bytes:
    """A JPEG with a large colour profile before its EXIF block."""
    data = saved(Image.fromarray(NOISE), "JPEG", exif=rotated(), quality=95)
    profile = b"ICC_PROFILE\0" + bytes(65000)
    return data[:2] + (b"\xff\xe2" + struct.pack(">H", len(profile) + 2) + profile) * 2 + data[2:]


def text_png() -> bytes:
    """A PNG with its EXIF data as ImageMagick writes it: in hexadecimal, as text."""
    exif = rotated().tobytes()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{exif.hex()}\n", zip=True)
    return saved(Image.fromarray(NOISE), "PNG", pnginfo=info)


@pytest.mark.parametrize(
    "data",
    [late_png(), late_jpeg(), text_png(), saved(Image.fromarray(NOISE), "WEBP", exif=rotated(), lossless=True)],
    ids=["late PNG", "late JPEG", "text in PNG", "WebP"],
)
def test_an_orientation_anywhere_in_the_file_is_found_as_by_pillow(data):
    assert exif_orientation(data) == 6
    assert np.abs(decode_file(data).astype(int) - as_pillow(data)).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK"])
def test_a_tiff_comes_out_upright_once(orientation, mode):
    options = {"tiffinfo": {0x0112: orientation, 0x010E: "Exif eXIf EXIF"}}
    data = saved(Image.fromarray(IMAGE).convert(mode), "TIFF", **options)
    assert np.abs(decode_file(data).astype(int) - as_pillow(data)).max() <= 2


# where in the block: byte order, offset of the directory, and the one entry's tag, type, count and value
@pytest.mark.parametrize("place", [6, 10, 13, 16, 18, 20, 24])
def test_a_damaged_exif_block_makes_an_image_upright(place):
    exif = bytearray(rotated().tobytes())
    exif[place] ^= 0x7F
    assert exif_orientation(saved(Image.fromarray(IMAGE), "JPEG", exif=bytes(exif))) == 1


TAGS = st.dictionaries(st.sampled_from([0x010F, 0x0110, 0x0131, 0x8298]), st.text("ab", max_size=9))


@given(st.integers(0, 9), TAGS, st.sampled_from(["JPEG", "PNG", "WEBP"]), st.sampled_from("<>"))
def test_the_orientation_is_the_one_that_pillow_finds(orientation, others, kind, order):
    exif = Image.Exif()
    exif.endian = order
    for tag, value in {**others, 0x0112: orientation}.items():
        exif[tag] = value
    data = saved(Image.fromarray(IMAGE), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        found = image.getexif().get(0x0112, 1)
    assert exif_orientation(data) == (found if 1 <= found <= 8 else 1)


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_an_image_brought_to_a_size_is_the_stored_one_fitted_and_turned(orientation, how, suffix):
    data, size = encoded(IMAGE, suffix), (30, 26)
    expected = orient(fit(decode(data), size[::-1] if orientation > 4 else size, how), orientation)
    out = np.empty((*size, 3), np.uint8)
    assert np.array_equal(decode_to(data, size, how, orientation), expected)
    assert decode_to(data, size, how, orientation, out=out) is out
    assert np.array_equal(out, expected)


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(((image.astype(float) - reference) ** 2).mean(), 1e-9))


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("how", FITS)
def test_a_large_jpeg_decoded_at_a_reduced_scale_looks_as_if_decoded_in_full(orientation, how):
    data = encoded(picture(11, 613, 489))
    for size in ((110, 110), (64, 64), (30, 50)):
        stored_size = size[::-1] if orientation > 4 else size
        assert reduction((613, 489), stored_size, how) > 1
        expected = orient(fit(decode(data), stored_size, how), orientation)
        assert psnr(decode_to(data, size, how, orientation), expected) >= 50


@pytest.mark.parametrize("how", FITS)
def test_originals_at_150_pixels_are_within_38_db_of_decoding_in_full(real_data, how):
    files = sorted(real_data("adience_originals").rglob("*.jpg"))[::2]
    found = []
    for data in (file.read_bytes() for file in files):
        whole = decode_file(data)
        if reduction(whole.shape[:2], (150, 150), how) > 1:
            found.append(psnr(decode_file_to(data, (150, 150), how), fit(whole, (150, 150), how)))
    assert len(found) > 20
    assert min(found) >= 38
