"""Whatever bytes come: pixels or one sentence, no more memory than an image may take, and nothing on stderr."""

import errno
import io
import os
import resource
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from conftest import ROOT
from jpegs import by_opencv, by_pillow, kept, noisy
from PIL import Image
from trees import encoded

from hdf5_helper.errors import FacetError
from hdf5_helper.images.decode import decode_file, decode_file_to
from hdf5_helper.images.jpeg_segments import segments
from hdf5_helper.images.pixel_limit import MOST_PIXELS, check_pixels

IMAGE = noisy(5, 37, 53)


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    data = io.BytesIO()
    Image.fromarray(IMAGE).convert(mode).save(data, kind, **options)
    return data.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


SEEDS = {
    "JPEG": by_pillow(IMAGE, exif=turned()),
    "progressive": by_opencv(IMAGE, progressive=True),
    "restarts": by_opencv(IMAGE, "444", 1),
    "grey": by_pillow(IMAGE, "L"),
    "CMYK": by_pillow(IMAGE, "CMYK"),
    "unusual": kept("sampled 3x1"),
    "arithmetic": kept("arithmetic"),
    "PNG": saved("PNG", exif=turned()),
    "palette": saved("PNG", "P", transparency=bytes(range(256))),
    "16 bit": encoded(IMAGE.astype(np.uint16) * 257, ".png"),
    "WebP": saved("WEBP", exif=turned()),
    "lossless": saved("WEBP", lossless=True),
    "BMP": saved("BMP"),
    "GIF": saved("GIF", "P"),
}
EACH = -(-2000 // len(SEEDS))


def mutated(data: bytes, chance: np.random.Generator) -> bytes:
    """Gives `data` with one bit flipped, eight bytes replaced, or cut."""
    changed, kind = bytearray(data), chance.integers(3)
    if kind == 0:
        place = int(chance.integers(len(data) * 8))
        changed[place // 8] ^= 1 << place % 8
    elif kind == 1:
        for place in chance.integers(len(data), size=8).tolist():
            changed[place] = int(chance.integers(256))
    else:
        del changed[int(chance.integers(len(data))) :]
    return bytes(changed)


def outcome(data: bytes) -> bool:
    """Says whether an image can be read; at a size it can be exactly where it can be in full."""
    try:
        pixels = decode_file(data)
    except FacetError:
        with pytest.raises(FacetError, match=r"^[^\n]+$"):
            decode_file_to(data, (9, 12))
        return False
    assert (pixels.dtype, pixels.shape[2:]) == (np.uint8, (3,))
    assert decode_file_to(data, (9, 12), "crop").shape == (9, 12, 3)
    return True


@pytest.mark.parametrize("name", SEEDS)
def test_two_thousand_damaged_images_give_pixels_or_one_sentence_and_no_other_word(name, capfd):
    chance = np.random.default_rng(list(SEEDS).index(name))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        readable = [outcome(mutated(SEEDS[name], chance)) for _ in range(EACH)]
    assert outcome(SEEDS[name])
    assert False in readable
    assert said == []
    assert capfd.readouterr() == ("", "")


COMPRESSIONS = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"]


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=str)
@pytest.mark.filterwarnings("ignore:::PIL")
def test_a_damaged_tiff_gives_pixels_or_one_sentence_and_its_library_says_no_other_word(compression, capfd):
    chance = np.random.default_rng(COMPRESSIONS.index(compression))
    whole = saved("TIFF", "1" if compression == "group4" else "RGB", compression=compression)
    readable = [outcome(mutated(whole, chance)) for _ in range(100)]
    assert outcome(whole)
    assert False in readable
    assert capfd.readouterr() == ("", "")


def test_what_pillow_itself_logs_of_a_damaged_tiff_stays_off_stderr_too():
    data = saved("TIFF")
    samples = data.index(struct.pack("<HHI", 277, 3, 1)) + 8
    code = "import sys; from hdf5_helper.images.decode import decode; decode(sys.stdin.buffer.read())"
    damaged = data[:samples] + struct.pack("<H", 163) + data[samples + 2 :]
    done = subprocess.run([sys.executable, "-c", code], input=damaged, capture_output=True, check=False, cwd=ROOT)
    assert done.stderr.decode().splitlines()[-1].startswith("hdf5_helper.errors.FacetError: cannot be decoded")
    assert b"samples per pixel" not in done.stderr


_SHORT_OF_MEMORY = """
import io, resource, sys
import numpy as np
from PIL import Image
from hdf5_helper.errors import FacetError
from hdf5_helper.images.decode import decode

data = io.BytesIO()
Image.fromarray(np.zeros((6000, 6000), np.uint8)).save(data, sys.argv[1])
decode(data.getvalue())  # whole, and everything loaded that it takes
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (20 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    decode(data.getvalue())
except FacetError as error:
    print("rejected:", error)
except OSError as error:
    print(error.errno, error.strerror)
"""


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_a_whole_image_is_no_damaged_one_where_memory_is_short(kind):
    run = [sys.executable, "-c", _SHORT_OF_MEMORY, kind]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == f"{errno.ENOMEM} {os.strerror(errno.ENOMEM)}\n"


def of_size(kind: str, height: int, width: int) -> bytes:
    """Gives an image file whose header claims a size; its data hold nothing of the kind."""
    if kind == "JPEG":
        data = by_pillow(IMAGE)
        frame = next(start for marker, start, _stop in segments(data) if marker == 0xC0)
        return data[: frame + 1] + struct.pack(">HH", height, width) + data[frame + 5 :]
    if kind == "PNG":
        data = saved("PNG")
        header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    if kind == "BMP":
        data = saved("BMP")
        return data[:18] + struct.pack("<ii", width, height) + data[26:]
    if kind == "GIF":
        data = saved("GIF", "P")
        return data[:6] + struct.pack("<HH", width, height) + data[10:]
    data = saved("WEBP", exif=turned())  # VP8X holds the size less one in 24 bits
    return data[:24] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + data[30:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WebP"])
@pytest.mark.parametrize("sides", [(60_000, 60_000), (9460, 9460)])
def test_a_header_that_claims_too_many_pixels_is_refused_before_memory_is_taken(kind, sides):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FacetError) as error:
        decode_file(of_size(kind, *sides))
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # libwebp itself refuses a canvas of other sides than its picture
    expected = f"has {sides[0]:,}×{sides[1]:,} pixels, expected at most 89,478,485 in all and sides up to 65,535"
    assert str(error.value) == ("cannot be decoded: damaged or truncated image data" if kind == "WebP" else expected)
    assert taken < 50_000  # kB; the pixels would be 10 GB, or 268 MB


def test_the_limit_is_pillows_and_holds_to_the_pixel():
    assert MOST_PIXELS == Image.MAX_IMAGE_PIXELS
    check_pixels(1, 65_535)
    check_pixels(5, MOST_PIXELS // 5 // 300)
    for sides in ((1, 65_536), (65_536, 1), (9460, 9459)):
        with pytest.raises(FacetError, match="expected at most"):
            check_pixels(*sides)
