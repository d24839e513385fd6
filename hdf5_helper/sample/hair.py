"""Hair behind and above the face, and beards."""

import numpy as np

from hdf5_helper.sample.canvas import Canvas, Shape, mirrored, mix, oval, points
from hdf5_helper.sample.head import half_widths
from hdf5_helper.sample.traits import HAIRS, Colour, Hair, Traits

_GREY: Colour = (196, 194, 192)
_ARCH = np.linspace(-1, 1, 21)


def hair_colour(hair: Hair) -> Colour:
    """Gives the colour of the hair with its share of grey."""
    return mix(HAIRS[hair.colour], _GREY, hair.grey)


def paint_back_hair(canvas: Canvas, traits: Traits) -> None:
    """Paints hair that falls behind the face."""
    hair = traits.hair
    if hair.length < 0.5 or hair.bald:
        return
    end = 0.55 + 1.1 * hair.length
    heights = np.linspace(-0.5, end, 12)
    wave = 0.05 * np.sin(heights * 9) if hair.wavy else 0.0
    side = np.stack([traits.face.width + 0.17 + wave + 0.06 * heights, heights], axis=1)
    crown = np.stack([(traits.face.width + 0.14) * _ARCH, -0.5 - 0.68 * np.sqrt(1 - _ARCH**2)], axis=1)
    canvas.fill(np.concatenate([crown, side, (side * (-1, 1))[::-1]]), mix(hair_colour(hair), (0, 0, 0), 0.2))


def paint_hair(canvas: Canvas, traits: Traits) -> None:
    """Paints the hair above the face, with its bangs; at the sides alone on a bald head."""
    hair, width = traits.hair, traits.face.width
    colour = hair_colour(hair)
    strands = mirrored(_strand(traits))
    if hair.bald:
        canvas.fill(strands, colour)
        return
    thick = 0.07 + 0.1 * hair.length + (0.04 if hair.wavy else 0.0)
    over = np.stack([(width + thick * 0.7) * _ARCH, -0.3 - (0.7 + thick) * np.sqrt(1 - _ARCH**2)], axis=1)
    line = (
        -0.62 - 0.3 * hair.receding + 0.28 * np.abs(_ARCH) ** 3 - 0.25 * hair.receding * np.sin(np.abs(_ARCH) * np.pi)
    )
    if hair.fringe:
        line = -0.34 + 0.05 * np.cos(_ARCH * 14)
    under = np.stack([width * 0.96 * _ARCH, np.minimum(line, -0.28)], axis=1)
    canvas.fill(np.concatenate([over, under[::-1]]), colour)
    canvas.fill(strands, colour)
    if hair.wavy:
        locks = [oval((float(x), float(y)), (0.09, 0.07)) for x, y in over[1:-1:2]]
        canvas.fill(locks[::2], mix(colour, (255, 255, 255), 0.08))
        canvas.fill(locks[1::2], mix(colour, (255, 255, 255), 0.08))


def _strand(traits: Traits) -> Shape:
    """Hair before one ear: a sideburn, or down to the shoulder."""
    width, length = traits.face.width, traits.hair.length
    end = 1.0 + 0.5 * length if length > 0.5 else -0.05 + 0.5 * length
    inner = width * (0.93 if length <= 0.5 else 0.9)
    return points(
        (inner, -0.45), (width + 0.1, -0.45), (width + 0.13, (end - 0.3) / 2), (width + 0.03, end), (inner, end - 0.15)
    )


def paint_beard(canvas: Canvas, traits: Traits) -> None:
    """Paints the beard; stubble is a shadow on the skin."""
    beard = traits.hair.beard
    colour = mix(hair_colour(traits.hair), traits.skin, 0.1)
    if beard in ("stubble", "full"):
        canvas.fill(_jaw(traits), mix(traits.skin, colour, 0.3 if beard == "stubble" else 0.9))
    if beard == "goatee":
        canvas.fill(oval((0, 0.82), (0.2, 0.2)), colour)
    if beard in ("mustache", "goatee", "full"):
        canvas.fill(mirrored(points((0, 0.4), (0.22, 0.43), (0.32, 0.56), (0.2, 0.51), (0, 0.5))), colour)


def _jaw(traits: Traits) -> Shape:
    heights = np.linspace(0.15, 1.0, 12)
    right = np.stack([half_widths(traits, heights), heights], axis=1)
    upper = points((-0.45, 0.42), (-0.2, 0.4), (0, 0.42), (0.2, 0.4), (0.45, 0.42))
    return np.concatenate([right, (right * (-1, 1))[::-1], upper])
