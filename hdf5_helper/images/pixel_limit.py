"""How many pixels an image may claim: what claims more is refused by its header, before memory is taken for it."""

from hdf5_helper.errors import FacetError

#: A quarter of a gigabyte of RGB bytes, Pillow's own bound against decompression bombs (PIL.Image.MAX_IMAGE_PIXELS).
MOST_PIXELS = (1 << 30) // 4 // 3

#: JPEG and `/encoded/height` hold 16 bits.
MOST_SIDE = 65_535


def check_pixels(height: int, width: int) -> None:
    """Refuses sides whose product is above `MOST_PIXELS`, or a side above `MOST_SIDE`."""
    if height * width > MOST_PIXELS or height > MOST_SIDE or width > MOST_SIDE:
        raise FacetError(
            f"has {height:,}×{width:,} pixels, expected at most {MOST_PIXELS:,} in all and sides up to {MOST_SIDE:,}"
        )
