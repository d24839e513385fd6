"""Options that are written as one word with several parts, and what they mean."""

from collections.abc import Sequence

from hdf5_helper.errors import FacetError


def parse_parts(text: str) -> tuple[float, float, float]:
    """Reads `0.64,0.16,0.2`.

    Raises:
        FacetError: not three numbers from 0 to 1 with the sum 1.
    """
    try:
        parts = tuple(float(part) for part in text.split(","))
    except ValueError:
        parts = ()
    if len(parts) != 3 or not all(0 <= part <= 1 for part in parts) or abs(sum(parts) - 1) > 1e-6:
        raise FacetError(f"--split {text!r}: expected `official`, or three parts with the sum 1 such as 0.64,0.16,0.2")
    return parts


def parse_columns(text: str | None) -> dict[str, str]:
    """Reads `path=file,age=AGE` as {"path": "file", "age": "AGE"}."""
    return {} if text is None else _pairs("--columns", text, text)


def parse_groups(text: str | None) -> tuple[str, ...]:
    """Reads `race,camera`."""
    return () if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def parse_maps(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Reads several `gender:W=female,M=male` as {"gender": {"W": "female", "M": "male"}}."""
    maps: dict[str, dict[str, str]] = {}
    for text in texts:
        label, colon, rest = text.partition(":")
        if not colon or not label.strip():
            raise FacetError(f"--map {text!r}: expected LABEL:WRITTEN=MEANT such as gender:W=female,M=male")
        maps.setdefault(label.strip(), {}).update(_pairs("--map", text, rest))
    return maps


def _pairs(option: str, whole: str, text: str) -> dict[str, str]:
    """Reads `a=b,c=d`."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(key.strip() and equals and value.strip() for key, equals, value in pairs):
        raise FacetError(f"{option} {whole!r}: expected pairs such as a=b,c=d")
    return {key.strip(): value.strip() for key, _equals, value in pairs}
