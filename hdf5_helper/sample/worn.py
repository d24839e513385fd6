"""Glasses, hat and earrings."""

import numpy as np

from hdf5_helper.sample.canvas import Canvas, mirrored, mix, oval, points
from hdf5_helper.sample.features import eye_height
from hdf5_helper.sample.traits import Colour, Traits

_FRAME: Colour = (36, 32, 40)
_GOLD: Colour = (226, 190, 70)


def paint_earrings(canvas: Canvas, traits: Traits) -> None:
    """Paints a ring below each ear."""
    if traits.worn.earrings:
        canvas.fill(mirrored(oval((traits.face.width + 0.03, 0.34), (0.06, 0.08))), _GOLD)


def paint_glasses(canvas: Canvas, traits: Traits) -> None:
    """Paints the frame of the glasses."""
    if not traits.worn.glasses:
        return
    height = eye_height(traits)
    canvas.line(mirrored(oval((0.32, height), (0.25, 0.19))), _FRAME, 0.045, closed=True)
    bars = mirrored(points((0.57, height - 0.04), (traits.face.width, height - 0.08)))
    canvas.line([points((-0.08, height - 0.04), (0.08, height - 0.04)), *bars], _FRAME, 0.045)


def paint_hat(canvas: Canvas, traits: Traits) -> None:
    """Paints a hat in the colour that the clothes have not."""
    red, green, blue = traits.worn.clothes
    colour: Colour = (255 - red, 255 - green, 255 - blue)
    width = traits.face.width
    crown = points(
        (-width - 0.05, -0.5), (-width, -1.2), (-0.3, -1.42), (0.3, -1.42), (width, -1.2), (width + 0.05, -0.5)
    )
    canvas.fill(crown, colour)
    brim = np.concatenate([oval((0, -0.52), (width + 0.3, 0.11))])
    canvas.fill(brim, mix(colour, (0, 0, 0), 0.3))
