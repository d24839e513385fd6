"""What the values in an activation file depend on: two runs share a file if and only if all of it is equal."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import xxhash

from models.training.activations.number_formats import NUMBER_FORMATS

#: Enters every digest, so that files of another layout or meaning are never looked at.
KEY_VERSION = 1

_PRECISIONS = ("float32", "mixed_bfloat16")


@dataclass(frozen=True)
class ActivationKey:
    """Names one activation file: the activations of every image of a data file at one cut, in one view.

    Attributes:
        images_digest: of the data file's images, as its seal has it, in hexadecimal digits.
        rows: examples in that file.
        weights_digest: XXH3-128 over all variables at or below the cut, preprocessing included, in hexadecimal digits.
        cut: name of the layer whose output is kept.
        image_size: (height, width) of the images that are read.
        fit: how images are brought to that size: `stretch`, `crop` or `pad`.
        window: (height, width) of the middle that the backbone sees; `image_size` for all of it.
        preprocessing: colour order, mean and scale as text.
        view: what is done to the images: `plain`, `mirror`, or `AUGMENTATION seed S view K`.
        precision: what the part below the cut computes in: `float32` or `mixed_bfloat16`.
        dtype: what is stored: `float32`, `float16` or `bfloat16`.
        shape: of one example's activation.
        versions: of what computes, TensorFlow's and Keras's first.

    Raises:
        ValueError: one of them can be no such thing.
    """

    images_digest: str
    rows: int
    weights_digest: str
    cut: str
    image_size: tuple[int, int]
    fit: str
    window: tuple[int, int]
    preprocessing: str
    view: str
    precision: str
    dtype: str
    shape: tuple[int, ...]
    versions: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuses what names no file."""
        for name in ("images_digest", "weights_digest"):
            _check(name, getattr(self, name), bool(getattr(self, name)) and _is_hexadecimal(getattr(self, name)))
        _check("rows", self.rows, self.rows > 0)
        _check("precision", self.precision, self.precision in _PRECISIONS)
        _check("dtype", self.dtype, self.dtype in NUMBER_FORMATS)
        for name in ("image_size", "window", "shape"):
            sizes = getattr(self, name)
            # a list would give the same digest and an unequal key
            _check(name, sizes, isinstance(sizes, tuple) and len(sizes) > 0 and min(sizes) > 0)
        _check("versions", self.versions, isinstance(self.versions, tuple))

    @property
    def digest(self) -> str:
        """XXH3-128 of all fields, 32 hexadecimal digits: the stem of the file's name."""
        return xxhash.xxh3_128_hexdigest(f"{KEY_VERSION} {self.text}".encode("utf-8", "surrogateescape"))

    @property
    def text(self) -> str:
        """All fields as JSON in one fixed form: equal keys have equal texts."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))

    def to_json(self) -> dict[str, Any]:
        """Gives all fields by name, as JSON has them: lists for tuples."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ActivationKey":
        """Gives the key that `to_json` wrote.

        Raises:
            ValueError: `values` are no such key.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or values.keys() != names:
            raise ValueError(f"{values!r}: expected {', '.join(sorted(names))}")
        given: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        try:
            return cls(**given)
        except TypeError as error:  # such as a text in place of a number
            raise ValueError(f"{values!r}: {error}") from None


def _is_hexadecimal(text: object) -> bool:
    return isinstance(text, str) and set(text) <= set("0123456789abcdef")


def _check(name: str, value: object, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{name} {value!r}: names no activation file")
