"""Reads a weights file of any known format, which its first bytes tell, whatever it is called."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from hdf5_helper.errors import FacetError
from models.pretrained.mapped import mapped
from models.pretrained.named_arrays import NamedArrays

_HEAD = 512
#: What an archive packed by gzip begins with (RFC 1952), as Oxford's .tar.gz do.
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Format:
    """A kind of weights file.

    Attributes:
        key: its name in code, and that of its reader `read_KEY`.
        module: of this package, which has the reader and `looks_like(head)`.
        suffixes: what such files are called, for sentences.
    """

    key: str
    module: str
    suffixes: str

    def reader(self) -> Callable[[Path], NamedArrays]:
        """Gives the function that reads such a file."""
        found: Callable[[Path], NamedArrays] = getattr(self._imported(), f"read_{self.key}")
        return found

    def looks_like(self, head: bytes) -> bool:
        """Tells whether a file that begins so may be one."""
        return bool(self._imported().looks_like(head))

    def _imported(self) -> ModuleType:
        return importlib.import_module(f"models.pretrained.{self.module}")


#: In the order in which they are tried: from the most to the least certain of its first bytes.
FORMATS = (
    Format("pytorch", "pytorch", ".pth"),
    Format("keras_h5", "keras_h5", ".h5"),
    Format("matconvnet", "matconvnet", ".mat"),
    Format("safetensors", "safetensors_file", ".safetensors"),
    Format("torch7", "torch7", ".t7"),
    Format("caffe", "caffe", ".caffemodel"),
)


def read_arrays(path: Path) -> tuple[Format, NamedArrays]:
    """Gives the format of a weights file and its arrays.

    Raises:
        FacetError: the file is missing, of no known format, or not as its format says.
    """
    head = bytes(mapped(path)[:_HEAD])
    for known in FORMATS:
        if known.looks_like(head):
            return known, known.reader()(path)
    if head.startswith(_GZIP):
        raise FacetError(f"{path}: an archive packed by gzip, expected the weights file inside: unpack it first")
    suffixes = ", ".join(known.suffixes for known in FORMATS)
    raise FacetError(f"{path}: no weights file that Facet knows, expected one of {suffixes}")
