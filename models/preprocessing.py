"""What a backbone wants to see: colour order, mean and scale, as numbers and as one fixed 1×1 convolution."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError


@dataclass(frozen=True)
class Preprocessing:
    """`(x - mean) / scale` on pixels of 0–255 in the channel order `color`.

    Attributes:
        color: `RGB` or `BGR`.
        mean: one value a channel, 0–255, in the order that `color` names.
        scale: what the difference is divided by, greater than 0; one number, or three in the order that `color` names.
            Three equal ones become one.
    """

    color: str = "RGB"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float | tuple[float, float, float] = 1.0

    def __post_init__(self) -> None:
        """Refuses what no backbone can want."""
        if self.color not in ("RGB", "BGR"):
            raise FacetError(f"preprocessing color must be RGB or BGR, found {self.color!r}")
        if len(self.mean) != 3 or len(self.scales) != 3 or not min(self.scales) > 0:
            raise FacetError(
                f"preprocessing needs 3 means and 1 or 3 scales above 0, found {self.mean} and {self.scale}"
            )
        if not np.isfinite([*self.mean, *self.scales]).all():
            raise FacetError(f"preprocessing needs finite numbers, found {self.mean} and {self.scale}")
        if len(set(self.scales)) == 1:
            object.__setattr__(self, "scale", self.scales[0])

    @property
    def scales(self) -> tuple[float, float, float]:
        """What each channel is divided by, in the order that `color` names."""
        return self.scale if isinstance(self.scale, tuple) else (self.scale, self.scale, self.scale)

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form, the same as in a weights file's sidecar; `scale` is a number or a list of three."""
        scale = list(self.scale) if isinstance(self.scale, tuple) else self.scale
        return {"color": self.color, "mean": list(self.mean), "scale": scale}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """Reads the JSON form."""
        red, green, blue = (float(value) for value in values["mean"])
        scale = values["scale"]
        if not isinstance(scale, list):
            return cls(values["color"], (red, green, blue), float(scale))
        first, second, third = (float(value) for value in scale)
        return cls(values["color"], (red, green, blue), (first, second, third))

    def in_words(self) -> str:
        """Gives `RGB 0-255` or `RGB, (x - [127.5, 127.5, 127.5]) / 127.5`."""
        if not any(self.mean) and self.scale == 1.0:
            return f"{self.color} 0-255"
        scale = list(self.scale) if isinstance(self.scale, tuple) else f"{self.scale:g}"
        return f"{self.color}, (x - {list(self.mean)}) / {scale}"

    def kernel_and_bias(self, given: "Preprocessing | None" = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gives the 1×1 convolution that maps RGB 0–255, or what `given` made of it, to what the backbone wants.

        One convolution does colour order, mean and scale in an operation that every runtime knows; OpenCV 4.14
        imports Keras's Rescaling and Normalization layers and is silently wrong by 1e-2.

        Args:
            given: what has been done to the images already; nothing by default.

        Returns:
            kernel float32 (1, 1, 3, 3) as (height, width, colours in, colours out), bias float32 (3,).
        """
        given = given or Preprocessing()
        order = np.eye(3) if self.color == given.color else np.eye(3)[::-1]
        scales = np.asarray(self.scales)
        kernel = (order * np.reshape(given.scales, (3, 1)) / scales).reshape(1, 1, 3, 3).astype(np.float32)
        return kernel, ((given.mean @ order - np.asarray(self.mean)) / scales).astype(np.float32)

    @property
    def rgb_mean(self) -> tuple[float, float, float]:
        """The mean in the order red, green, blue."""
        return self.mean if self.color == "RGB" else (self.mean[2], self.mean[1], self.mean[0])
