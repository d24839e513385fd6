"""Which activation files belong to a cut of a model: one a view, named by all that their values depend on."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from hdf5_helper.progress import Say
from models.training.activations.activation_file import ActivationFile
from models.training.activations.key import ActivationKey
from models.training.activations.model_parts import Cut, lower_part
from models.training.activations.place import activations_folder
from models.training.activations.views import Views
from models.training.chance import layers_of
from models.training.surroundings import surroundings

#: What last digits depend on beside the network and its images.
_VERSIONS = ("tensorflow", "keras", "oneDNN", "CPU")
#: What a layer's configuration says that changes no value.
_NAMES = ("name", "dtype", "trainable")


@dataclass(frozen=True)
class Pictures:
    """The images that activations are of.

    Attributes:
        images_digest: of the data file, hex.
        rows: examples in that file.
        image_size, fit: (height, width) that they are read in, and how they are brought there.
        window: (height, width) of what the backbone sees.
        preprocessing: in words.
    """

    images_digest: str
    rows: int
    image_size: tuple[int, int]
    fit: str
    window: tuple[int, int]
    preprocessing: str


@dataclass(frozen=True)
class Storage:
    """In what numbers activations are computed and kept.

    Attributes:
        precision: of what is below the cut, `float32` or `mixed_bfloat16`.
        dtype: of the files, `exact` for the precision's own.
        rows: that a replica computes at once: on processors the last digits depend on it.
    """

    precision: str
    dtype: str
    rows: int

    @property
    def number_format(self) -> str:
        """`float32`, `float16` or `bfloat16`."""
        own = "float32" if self.precision == "float32" else "bfloat16"
        return own if self.dtype == "exact" else self.dtype


class OpenFiles:
    """The activation files of one training, each opened once.

    Args:
        say: takes sentences for the user.
    """

    def __init__(self, say: Say) -> None:
        self._say, self._open = say, dict[str, ActivationFile]()

    def of(
        self, model: Any, cut: Cut, pictures: Pictures, views: Views, storage: Storage
    ) -> tuple[ActivationFile, ...]:
        """Gives the files of a cut, one a view in their order."""
        keys = _keys(model, cut, pictures, views, storage)
        return tuple(self._file(key) for key in keys)

    def _file(self, key: ActivationKey) -> ActivationFile:
        if key.digest not in self._open:
            self._open[key.digest] = ActivationFile.open(activations_folder(), key, self._say)
        return self._open[key.digest]

    def close(self) -> None:
        """Closes them all."""
        for file in self._open.values():
            file.close()
        self._open.clear()


def _keys(model: Any, cut: Cut, pictures: Pictures, views: Views, storage: Storage) -> list[ActivationKey]:
    part, now = lower_part(model, cut), surroundings()
    digest, shape = part_digest(part), tuple(part.output.shape[1:])
    return [
        ActivationKey(
            images_digest=pictures.images_digest,
            rows=pictures.rows,
            weights_digest=digest,
            cut=cut.layer,
            image_size=pictures.image_size,
            fit=pictures.fit,
            window=pictures.window,
            preprocessing=pictures.preprocessing,
            view=view,
            precision=storage.precision,
            dtype=storage.number_format,
            shape=shape,
            versions=(*(now[version] for version in _VERSIONS), f"{storage.rows} rows at once"),
        )
        for view in views.names
    ]


def part_digest(part: Any) -> str:
    """Gives the XXH3-128 (hex) of a model's layers and variables: equal ones give equal values."""
    hasher = xxhash.xxh3_128()
    for layer in layers_of(part):
        config = {name: value for name, value in layer.get_config().items() if name not in _NAMES}
        hasher.update(json.dumps([type(layer).__name__, config], sort_keys=True, default=str).encode())
    for variable in part.weights:
        hasher.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return hasher.hexdigest()
