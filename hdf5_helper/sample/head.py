"""The painted head: neck, ears, face and the lines of age."""

import numpy as np

from hdf5_helper.sample.canvas import Canvas, Shape, mirrored, mix, oval, points
from hdf5_helper.sample.traits import Colour, Traits

_DARK: Colour = (40, 20, 16)
_HEIGHTS = np.linspace(-1, 1, 25)


def half_widths(traits: Traits, heights: Shape) -> Shape:
    """Gives the face's half width at `heights` (-1 = top, 1 = chin), in half heights of the face.

    The lower half is |x/w|² + |y|^p = 1: p = 1.7 is a pointed chin, 3.2 a square jaw.
    """
    power = np.where(heights < 0, 2.2, 1.7 + 1.5 * traits.face.jaw)
    return np.asarray(traits.face.width * np.sqrt(np.maximum(0, 1 - np.abs(heights) ** power)))


def face_outline(traits: Traits) -> Shape:
    """Gives the face's outline, (50, 2)."""
    widths = half_widths(traits, _HEIGHTS)
    right = np.stack([widths, _HEIGHTS], axis=1)
    return np.concatenate([right, (right * (-1, 1))[::-1]])


def lined(traits: Traits, depth: float) -> Colour:
    """Gives the colour of a line in the skin, the darker the deeper (0–1)."""
    return mix(traits.skin, _DARK, min(1.0, depth))


def paint_body(canvas: Canvas, traits: Traits) -> None:
    """Paints shoulders and neck."""
    width = 0.36 + 0.12 * traits.face.jaw
    shoulders = points((-2.2, 3), (-1.9, 1.75), (-1.2, 1.45), (-width, 1.25), (width, 1.25), (1.2, 1.45), (1.9, 1.75))
    canvas.fill(np.concatenate([shoulders, points((2.2, 3))]), traits.worn.clothes)
    neck = points((-width, 0.4), (width, 0.4), (width, 1.28), (0, 1.55), (-width, 1.28))
    canvas.fill(neck, mix(traits.skin, _DARK, 0.2))


def paint_face(canvas: Canvas, traits: Traits) -> None:
    """Paints ears and face."""
    canvas.fill(mirrored(oval((traits.face.width, 0.05), (0.11, 0.2))), mix(traits.skin, _DARK, 0.1))
    canvas.fill(face_outline(traits), traits.skin)
    if traits.worn.makeup:
        canvas.fill(mirrored(oval((0.42, 0.36), (0.16, 0.1))), mix(traits.skin, (214, 80, 90), 0.3))


def paint_wrinkles(canvas: Canvas, traits: Traits) -> None:
    """Paints the lines of age: beside the mouth first, then forehead, eyes and cheeks."""
    depth = traits.face.wrinkles
    if depth < 0.06:
        return
    colour, width = lined(traits, 0.15 + 0.35 * depth), 0.016 + 0.012 * depth
    lines = mirrored(points((0.17, 0.3), (0.28, 0.42), (0.33, 0.62 + 0.1 * depth)))
    for number in range(int(depth * 4.5)):
        height = -0.42 - 0.1 * number
        lines.append(points((-0.36, height), (-0.12, height - 0.03), (0.12, height - 0.03), (0.36, height)))
    if depth > 0.25:
        lines += mirrored(points((0.5, -0.06), (0.6, -0.13))) + mirrored(points((0.5, -0.02), (0.62, 0.0)))
    if depth > 0.4:
        lines += mirrored(points((0.2, 0.14), (0.32, 0.19), (0.44, 0.13)))
    if depth > 0.65:
        lines += [*mirrored(points((0.44, 0.3), (0.47, 0.5), (0.4, 0.7))), points((-0.2, 0.82), (0, 0.86), (0.2, 0.82))]
    canvas.line(lines, colour, width)
