"""Numbers and names as users read them."""

import re
from collections.abc import Iterable, Mapping

from hdf5_helper.errors import FacetError

_UNITS = ("b", "kb", "mb", "gb", "tb")
_SIZE = re.compile(rf"(?P<number>\d+(\.\d+)?) ?(?P<unit>{'|'.join(_UNITS)})?")


def bytes_text(count: int) -> str:
    """Gives `33.4 MB`, `1.2 GB`, `812 bytes`."""
    if count < 1000:
        return f"{count} bytes"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.3g} {unit}" if size < 100 else f"{size:.0f} {unit}"
    return f"{size / 1000:,.3g} TB"


def parse_bytes(text: str, what: str) -> int:
    """Reads `20GB`, `500 MB`, `1.5 TB` or a plain number of bytes; units are powers of 1000.

    Raises:
        FacetError: anything else; `what` names the option.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None:
        raise FacetError(f"{what} {text!r}: expected a size such as 20GB")
    return int(float(found["number"]) * 1000 ** _UNITS.index(found["unit"] or "b"))


def count_text(count: int, singular: str, plural: str | None = None) -> str:
    """Gives `1 image`, `4,000 images`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def counts_text(counts: Mapping[str, int]) -> str:
    """Gives `2,880 train, 320 validation, 800 test`."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def own_names(names: Iterable[str], between: str = "-") -> list[str]:
    """Gives each name, with a number where an earlier one is the same: `faces`, `faces-2`.

    Args:
        names: in their order.
        between: stands before the number.
    """
    own: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in own:
            number += 1
            candidate = f"{name}{between}{number}"
        own.append(candidate)
    return own
