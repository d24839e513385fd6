"""PyTorch's zip archives: a pickle `ARCHIVE/data.pkl` that names storages, and each of these in `ARCHIVE/data/KEY`."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection
from typing import Any

from hdf5_helper.errors import FacetError
from models.pretrained.tensor_pickle import read_pickle
from models.pretrained.tensor_views import Storage, element_size

FORM = "PyTorch"

#: The directory of an archive; one of 1,000 storages has 80 kB.
_MAX_DIRECTORY = 8_000_000

#: What a model that Keras 3 saved is made of.
_KERAS_3 = ("config.json", "metadata.json", "model.weights.h5")

#: Of a member's header before its name: signature, then what the directory tells too, then lengths of name and extra.
_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"

#: What zipfile raises on damaged archives.
_ERRORS = (
    zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError, IndexError, KeyError, OverflowError,
)  # fmt: skip


def looks_like(head: bytes | memoryview) -> bool:
    """Tells whether a file that begins so is a zip archive."""
    return bytes(head[:4]) == _SIGNATURE


def read(data: memoryview) -> tuple[Any, Callable[[Storage], memoryview]]:
    """Gives what was saved, with Tensor in place of tensors, and what gives the bytes of its storages.

    Raises:
        FacetError: no archive of `torch.save`, a damaged one, a compressed one, or one that would run anything.
    """
    members = _members(data)
    pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if not pickles:
        raise FacetError(_other(members))
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in members:
        raise FacetError("a TorchScript archive, expected a state dict: save module.state_dict() instead")
    order = f"{root}byteorder"
    if order in members and bytes(_content(data, members[order])) != b"little":
        raise FacetError("numbers are not stored low byte first, expected a file of a machine that does so")
    content = read_pickle(_content(data, members[pickles[0]]))
    return content.value, lambda storage: _storage(data, members, f"{root}data/{storage.key}", storage)


def _other(members: Collection[str]) -> str:
    """Gives the sentence on an archive without a pickle."""
    if all(name in members for name in _KERAS_3):
        return (
            "a .keras model of Keras 3, expected weights of another framework: --weights takes Keras 3's as they are, "
            "in the NAME.weights.h5 that the backbone's save_weights writes after keras.models.load_model"
        )
    if any(name.rpartition("/")[2] == "version" for name in members):
        return "a zip archive without data.pkl, expected one of torch.save"
    return "an archive packed by zip, expected one of torch.save, or the weights file inside: unpack it first"


class _Directory(io.RawIOBase):
    """The file as zipfile reads its directory; never more at a time than a directory may have."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._position = data, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = (0, self._position, len(self._data))[whence]
        if start + offset < 0:
            raise OSError("before the start")
        self._position = start + offset
        return self._position

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        size = _MAX_DIRECTORY if size is None or size < 0 else min(size, _MAX_DIRECTORY)
        found = bytes(self._data[self._position : self._position + size])
        self._position += len(found)
        return found


def _members(data: memoryview) -> dict[str, zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(_Directory(data)) as archive:
            members = {info.filename: info for info in archive.infolist()}
    except _ERRORS as error:
        raise FacetError(f"a damaged zip archive ({error!s:.80}), expected one of torch.save") from None
    size = sum(info.compress_size for info in members.values())
    if size > len(data):
        raise FacetError(f"members of {size:,} bytes in a file of {len(data):,}, expected such as lie apart in it")
    return members


def _content(data: memoryview, info: zipfile.ZipInfo) -> memoryview:
    """Gives the bytes of a member, where they lie."""
    name = f"member {info.filename!r:.80}"
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
        raise FacetError(f"{name} is compressed or encrypted, expected members as torch.save writes them")
    start = info.header_offset + _HEADER.size
    if not _HEADER.size <= start <= len(data):
        raise FacetError(f"{name} lies outside of the file, expected an undamaged one")
    signature, name_length, extra_length = _HEADER.unpack(data[start - _HEADER.size : start])
    start += name_length + extra_length
    if signature != _SIGNATURE or start + info.file_size > len(data):
        raise FacetError(f"{name} lies outside of the file, expected an undamaged one")
    found = data[start : start + info.file_size]
    if zlib.crc32(found) != info.CRC:
        raise FacetError(f"{name} does not match its checksum, expected an undamaged file")
    return found


def _storage(data: memoryview, members: dict[str, zipfile.ZipInfo], name: str, storage: Storage) -> memoryview:
    if name not in members:
        raise FacetError(f"no member {name!r:.80}, expected one for each storage")
    found, wanted = _content(data, members[name]), storage.count * element_size(storage.dtype)
    if len(found) != wanted:
        raise FacetError(f"member {name!r:.80} has {len(found):,} bytes, expected {wanted:,}")
    return found
