"""The names, versions and sizes of the file format; writer and reader share them through this module alone."""

#: (major, minor). A reader refuses another major version and ignores what a later minor version adds.
VERSION = (1, 0)

#: Root attribute `format`.
FORMAT = "facet"

#: How images may be stored: the files' own bytes, or pixels at one size.
STORAGES = ("encoded", "raw")

#: Names of the numbers in `/split`.
SPLIT_NAMES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

#: `/subject` of a person that is not known, `/fold` of an example that has none.
UNKNOWN_SUBJECT = -1
NO_FOLD = -1

IMAGES = "images"
ENCODED_BYTES = "encoded/bytes"
ENCODED_OFFSET = "encoded/offset"
ENCODED_LENGTH = "encoded/length"
ENCODED_HEIGHT = "encoded/height"
ENCODED_WIDTH = "encoded/width"
ENCODED_ORIENTATION = "encoded/orientation"
CHECKSUM = "checksum"
SPLIT = "split"
FOLD = "fold"
SUBJECT = "subject"
SUBJECT_NAMES = "subject_names"
PATH = "path"
CHANNEL_MEAN = "statistics/channel_mean"
SEAL = "seal"
LABELS = "labels/"
GROUPS = "groups/"

#: Attribute of a label or group that names its numbers; `/split` uses `names`.
CLASS_NAMES = "class_names"
NAMES = "names"

#: Root attributes beside the creation parameters, which are all others.
ATTRIBUTE_FORMAT = "format"
ATTRIBUTE_VERSION = "version"
ATTRIBUTE_STORAGE = "storage"
ATTRIBUTE_IMAGE_SIZE = "image_size"
ATTRIBUTE_FIT = "fit"
ATTRIBUTE_CHANNELS_FIRST = "channels_first"

#: Unit of alignment in the file, in bytes: a memory page.
PAGE = 4096

#: A block (the unit of reading and of shuffling by blocks) is a run of rows of at least this many bytes.
BLOCK_BYTES = 4_000_000

_MEBIBYTE = 1 << 20


def encoded_chunk(total: int) -> int:
    """Gives the chunk length in bytes of `/encoded/bytes` for `total` image bytes.

    About 1 MiB, more where that would give over 8,192 chunks; equal chunks rounded up to whole pages, since HDF5 stores
    the last chunk whole; a single chunk is as long as its dset, since HDF5 allows no longer one.
    """
    count = max(1, _divided_up(total, max(_MEBIBYTE, total // 8192)))
    return min(total, _divided_up(_divided_up(total, count), PAGE) * PAGE)


def raw_chunk(rows: int, row_bytes: int) -> int:
    """Gives the rows of a chunk of `/images`: about 4 MiB, equal chunks, at least one row."""
    count = max(1, _divided_up(rows * row_bytes, 4 * _MEBIBYTE))
    return max(1, _divided_up(rows, count))


def _divided_up(number: int, divisor: int) -> int:
    return -(-number // divisor)


def path_bytes(text: str) -> bytes:
    """Gives the bytes of a path or name as stored; surrogates stand for bytes that are no UTF-8 (PEP 383)."""
    return text.encode("utf-8", "surrogateescape")


def path_text(data: bytes) -> str:
    """Gives the text of stored bytes, the inverse of `path_bytes`."""
    return data.decode("utf-8", "surrogateescape")
