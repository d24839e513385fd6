"""A canvas in face coordinates: (0, 0) is the face's centre, y = -1 the top of the head, y = 1 the chin."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.sample.traits import Colour

UInt8Array = NDArray[np.uint8]
Shape = NDArray[np.float64]

_SHIFT = 4  # OpenCV takes coordinates as integers with this many binary places
_TURNS = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURNS), np.sin(_TURNS)], axis=1)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Gives `first` with `share` (0–1) of `second`."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def oval(centre: tuple[float, float], radii: tuple[float, float]) -> Shape:
    """Gives the outline of an oval, (28, 2)."""
    return np.asarray(_CIRCLE * radii + centre)


def mirrored(shape: Shape) -> list[Shape]:
    """Gives `shape` and its mirror image on the other half of the face."""
    return [shape, shape * (-1, 1)]


def points(*pairs: tuple[float, float]) -> Shape:
    """Gives the corners of a shape or the bends of a line, (n, 2)."""
    return np.array(pairs)


class Canvas:
    """An RGB image and the way from face coordinates to its pixels.

    Args:
        image: uint8 (side, side, 3), drawn upon.
        scale: pixels that are 1 in face coordinates.
        centre: the face's centre in pixels (x, y).
        turn: clockwise turn in degrees.
    """

    def __init__(self, image: UInt8Array, scale: float, centre: tuple[float, float], turn: float) -> None:
        self.image, self.scale, self._turn = image, scale, turn
        angle = np.deg2rad(turn)
        self._matrix = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self._centre = np.array(centre)

    def moved(self, right: float, down: float) -> "Canvas":
        """Gives a canvas on the same image whose centre lies elsewhere, in face coordinates: the turned features."""
        x, y = np.array([right, down]) @ self._matrix + self._centre
        return Canvas(self.image, self.scale, (float(x), float(y)), self._turn)

    def fill(self, shapes: Shape | list[Shape], colour: Colour) -> None:
        """Fills one or several shapes of (n, 2), which must not overlap: OpenCV leaves out what two of them share."""
        cv2.fillPoly(self.image, self._pixels(shapes), colour, cv2.LINE_AA, _SHIFT)

    def line(self, shapes: Shape | list[Shape], colour: Colour, width: float, *, closed: bool = False) -> None:
        """Draws one or several lines; `width` in face coordinates, at least one pixel on the image."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.image, self._pixels(shapes), closed, colour, thickness, cv2.LINE_AA, _SHIFT)

    def _pixels(self, shapes: Shape | list[Shape]) -> list[NDArray[np.int32]]:
        several = shapes if isinstance(shapes, list) else [shapes]
        return [((shape @ self._matrix + self._centre) * (1 << _SHIFT)).astype(np.int32) for shape in several]
