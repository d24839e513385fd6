"""Rules of reading: whatever the file holds, RGB uint8 comes out upright, as Pillow sees it."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin
from trees import encoded, picture

from hdf5_helper.decode import decode, decode_file, exif_orientation, image_format
from hdf5_helper.errors import FacetError

IMAGE = picture(1, 37, 52)
ROOT = Path(__file__).resolve().parent.parent


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


def test_a_damaged_exif_block_warns_nobody_when_a_command_runs():
    exif = bytearray(rotated().tobytes())
    exif[14:16] = b"\xff\x7f"  # more entries than there are
    code = (
        "import sys; from scripts.native_logs import quiet_native_logs; quiet_native_logs()\n"
        "from hdf5_helper.decode import exif_orientation\n"
        "print(exif_orientation(sys.stdin.buffer.read()))"
    )
    data = saved(Image.fromarray(IMAGE), "JPEG", exif=bytes(exif))
    loud = code.partition("quiet_native_logs()\n")[2]
    for text, silent in ((f"import sys\n{loud}", False), (code, True)):
        done = subprocess.run([sys.executable, "-c", text], input=data, capture_output=True, check=True, cwd=ROOT)
        assert (done.stderr == b"") == silent


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
