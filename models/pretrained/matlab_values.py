"""MATLAB's values in Python, as far as a network needs them, and the bounds for reading them from a file."""

from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError

#: What the readers look for; other variables and fields, such as class names and training's state, are left unread.
VARIABLES = frozenset({"net", "layers", "params", "meta", "normalization"})
FIELDS = frozenset(
    {"layers", "params", "name", "type", "weights", "filters", "biases", "value"}
    | {"meta", "normalization", "averageImage"}
)
#: Structs and cells in one another: net, layers, a layer, its weights, an array.
DEEPEST = 8
#: Values and skipped fields in one file; the largest published networks have some 10,000.
MOST_VALUES = 200_000
#: Bytes of unpacked arrays beyond the file's size.
SPARE_BYTES = 512 << 20

#: A numeric array (Array, in MATLAB's index order), text (str), a cell array (list, column by column), a struct (dict
#: of its wanted fields), an array of structs (list of dict), or something that is no data (Opaque).
Value = Any


@dataclass(frozen=True)
class Opaque:
    """An object, a function handle, a sparse or a complex array: known to be there, and not read.

    Attributes:
        kind: in words, such as `an object`.
    """

    kind: str


class Budget:
    """What is left of the values and bytes that reading one file may take."""

    def __init__(self, file_bytes: int) -> None:
        self._bytes = file_bytes + SPARE_BYTES
        self._values = MOST_VALUES

    def value(self) -> None:
        """Takes one value; refuses more than MOST_VALUES."""
        self._values -= 1
        if self._values < 0:
            raise FacetError(f"more than {MOST_VALUES} values, expected fewer")

    def memory(self, count: int) -> None:
        """Takes bytes of memory before they are asked for; refuses more than the file's size and SPARE_BYTES."""
        if count > self._bytes:
            raise FacetError(
                f"arrays of {count} bytes, expected at most the file's size and {SPARE_BYTES >> 20} MB in all"
            )
        self._bytes -= count


def enter(depth: int) -> int:
    """Gives the depth one level further in; refuses more than DEEPEST."""
    if depth >= DEEPEST:
        raise FacetError(f"values nested deeper than {DEEPEST}, expected a network")
    return depth + 1
