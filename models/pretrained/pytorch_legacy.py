"""PyTorch's format before 1.6: five pickles (magic number, version, system, content, keys), then each key's storage."""

import struct
from collections.abc import Callable
from typing import Any

from hdf5_helper.errors import FacetError
from models.pretrained.tensor_pickle import Pickle, read_pickle
from models.pretrained.tensor_views import Storage, element_size

FORM = "PyTorch before 1.6"

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_LENGTH = struct.Struct("<q")


def looks_like(head: bytes | memoryview) -> bool:
    """Tells whether a file that begins so begins with the pickle of the magic number."""
    return bytes(head[:1]) == b"\x80" and _MAGIC.to_bytes(10, "little") in bytes(head[:32])


def is_tar(head: bytes | memoryview) -> bool:
    """Tells whether a file that begins so is a tar archive, which PyTorch wrote before 0.2."""
    return bytes(head[257:262]) == b"ustar"


def read(data: memoryview) -> tuple[Any, Callable[[Storage], memoryview]]:
    """Gives what was saved, with Tensor in place of tensors, and what gives the bytes of its storages.

    Raises:
        FacetError: not of `torch.save`, damaged, or it would run anything.
    """
    if is_tar(data[:512]):
        raise FacetError("PyTorch's first format, a tar archive, expected a later one: load and save it in PyTorch 1.6")
    pickles: list[Pickle] = []
    for _ in range(5):
        pickles.append(read_pickle(data, pickles[-1].end if pickles else 0))
    magic, version, system, content, keys = (pickle.value for pickle in pickles)
    if magic != _MAGIC or version != _VERSION or not isinstance(system, dict) or not isinstance(keys, list):
        raise FacetError("does not begin as files of torch.save do, expected an undamaged file")
    if system.get("little_endian") is not True:
        raise FacetError("numbers are not stored low byte first, expected a file of a machine that does so")
    found = _storages(data[pickles[4].end :], keys, pickles[3].storages)
    return content, lambda storage: found[storage.key]


def _storages(data: memoryview, keys: list[Any], named: dict[str, Storage]) -> dict[str, memoryview]:
    """Gives the bytes of every storage that the content names; they follow each other, each behind its length."""
    if not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(named):
        raise FacetError(f"has {len(keys):,} storages, expected the {len(named):,} that its tensors name")
    found, position = {}, 0
    for key in keys:
        storage, start = named[key], position + _LENGTH.size
        position = start + storage.count * element_size(storage.dtype)
        if position > len(data):
            raise FacetError(f"ends within storage {key!r:.40}, expected {position - len(data):,} bytes more")
        if _LENGTH.unpack(data[start - _LENGTH.size : start]) != (storage.count,):
            raise FacetError(
                f"storage {key!r:.40} has another length than {storage.count:,}, expected an undamaged file"
            )
        found[key] = data[start:position]
    return found
