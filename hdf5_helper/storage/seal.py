"""The seal: 256 bytes, written last, that say that the file is whole and what it holds.

Little-endian: magic (8 bytes), layout version major and minor (uint16 each), four zero bytes, file size (uint64),
images digest (16 bytes), index digest (16 bytes), zeros up to byte 248, XXH3-64 of the first 248 bytes (uint64).
"""

import struct
from dataclasses import dataclass

import xxhash

from hdf5_helper.errors import FacetError

SIZE = 256

_MAGIC = b"FACETSEA"
_BODY = struct.Struct("<8sHH4xQ16s16s")
_CHECKSUM = struct.Struct("<Q")
_BODY_SIZE = SIZE - _CHECKSUM.size


@dataclass(frozen=True)
class Seal:
    """What the seal says.

    Attributes:
        version: (major, minor) of the format.
        file_size: bytes of the whole file.
        images_digest: XXH3-128 over the checksums and shapes of the images.
        index_digest: XXH3-128 over all other dsets but the image bytes, and all attributes.
    """

    version: tuple[int, int]
    file_size: int
    images_digest: bytes
    index_digest: bytes

    def pack(self) -> bytes:
        """Gives the 256 bytes of the dset `/seal`."""
        body = _BODY.pack(_MAGIC, *self.version, self.file_size, self.images_digest, self.index_digest)
        body = body.ljust(_BODY_SIZE, b"\0")
        return body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


def unpack(data: bytes) -> Seal:
    """Reads a seal.

    Raises:
        FacetError: the bytes are no seal, or damaged; an unfinished file holds zeros here.
    """
    if not any(data):
        raise FacetError("was never finished: its seal is empty")
    body, checksum = data[:_BODY_SIZE], data[_BODY_SIZE:]
    if len(data) != SIZE or _CHECKSUM.unpack(checksum)[0] != xxhash.xxh3_64_intdigest(body):
        raise FacetError("its seal is damaged")
    magic, major, minor, size, images, index = _BODY.unpack_from(body)
    if magic != _MAGIC:
        raise FacetError("its seal is damaged")
    return Seal((major, minor), size, images, index)
