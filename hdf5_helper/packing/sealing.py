"""Seals a finished file: digests from what is really in it, written last."""

import os
from pathlib import Path

from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.positional import open_bytes, open_for_writing, write_pieces
from hdf5_helper.storage.seal import Seal
from hdf5_helper.storage.structure import check_places, images_digest, index_digest, opened, read_structure


def write_seal(part: Path) -> Seal:
    """Computes the digests from the finished file `part` and seals it."""
    with opened(part) as file:
        structure = read_structure(file)
    data = open_bytes(part)
    try:
        check_places(part, structure, data.size)
        sealed = Seal(names.VERSION, data.size, images_digest(structure, data), index_digest(structure, data))
    finally:
        data.close()
    handle = open_for_writing(part)
    try:
        content = sealed.pack()
        write_pieces(handle, content, structure.dsets[names.SEAL].extents.pieces(0, len(content)))
    finally:
        os.close(handle)
    return sealed
