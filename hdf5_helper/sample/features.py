"""Eyes, brows, nose and mouth."""

import numpy as np

from hdf5_helper.sample.canvas import Canvas, Shape, mirrored, mix, oval, points
from hdf5_helper.sample.head import lined
from hdf5_helper.sample.pictures import Shot
from hdf5_helper.sample.traits import HAIRS, Colour, Traits

_WHITE: Colour = (240, 238, 234)
_BLACK: Colour = (20, 16, 16)
_ARC = np.linspace(-1, 1, 9)


def eye_height(traits: Traits) -> float:
    """Gives where the eyes lie: lower in a child's face."""
    return -0.1 + 0.16 * max(0.0, 1 - traits.age / 16)


def paint_eyes(canvas: Canvas, traits: Traits, shot: Shot) -> None:
    """Paints both eyes; a broad smile narrows them."""
    height, size = eye_height(traits), traits.face.eye
    wide, tall = 0.16 * size, 0.085 * size * (1 - 0.2 * max(0.0, shot.smile))
    if traits.worn.makeup:
        canvas.fill(mirrored(oval((0.32, height - 0.05), (wide * 1.15, tall * 1.3))), (116, 84, 128))
    canvas.fill(mirrored(oval((0.32, height), (wide, tall))), _WHITE)
    canvas.fill(mirrored(oval((0.32 + 0.02 * shot.yaw, height), (tall * 0.85, tall * 0.85))), traits.face.eye_colour)
    canvas.fill(mirrored(oval((0.32 + 0.02 * shot.yaw, height), (tall * 0.4, tall * 0.4))), _BLACK)
    lid = np.stack([0.32 + wide * _ARC, height - tall * (1 - _ARC**2)], axis=1)
    canvas.line(mirrored(lid), _BLACK, 0.045 if traits.worn.makeup else 0.025)


def paint_brows(canvas: Canvas, traits: Traits) -> None:
    """Paints both eyebrows."""
    height = eye_height(traits) - 0.2
    colour = mix(mix(HAIRS[traits.hair.colour], _BLACK, 0.3), (170, 168, 166), 0.7 * traits.hair.grey)
    thick = 0.02 + 0.05 * traits.face.brow
    upper = np.stack([0.33 + 0.19 * _ARC, height - 0.05 * (1 - _ARC**2) - thick], axis=1)
    lower = np.stack([0.33 + 0.19 * _ARC, height - 0.05 * (1 - _ARC**2) + thick * (0.6 - 0.4 * _ARC)], axis=1)
    canvas.fill(mirrored(np.concatenate([upper, lower[::-1]])), colour)


def paint_nose(canvas: Canvas, traits: Traits, shot: Shot) -> None:
    """Paints the nose: its shaded side and the nostrils."""
    width, tip = 0.08 + 0.12 * traits.face.nose, 0.08 * shot.yaw
    side = 1.0 if shot.yaw >= 0 else -1.0
    ridge = points((0.05 * side, -0.05), (tip + width * 0.6 * side, 0.22), (tip + width * side, 0.3), (tip, 0.34))
    canvas.line(ridge, lined(traits, 0.3), 0.03)
    canvas.fill([oval((tip + way * width * 0.55, 0.31), (0.035, 0.02)) for way in (-1, 1)], lined(traits, 0.6))


def paint_mouth(canvas: Canvas, traits: Traits, shot: Shot) -> None:
    """Paints the mouth: its corners rise with the smile, teeth show when it is open."""
    half = 0.25 + 0.07 * max(0.0, shot.smile)
    middle = 0.58 + 0.11 * shot.smile * (1 - _ARC**2) - 0.05 * shot.smile
    full = (0.035 + 0.06 * traits.face.lips) * (1 - _ARC**2)
    opened = (0.09 if shot.open_mouth else 0.0) * (1 - _ARC**2)
    natural = mix(traits.skin, (150, 62, 62), 0.4)
    lips: Colour = (186, 30, 58) if traits.worn.lipstick else natural
    canvas.fill([_band(half, middle - full, middle + opened + 1.3 * full)], lips)
    if shot.open_mouth:
        canvas.fill([_band(half * 0.85, middle, middle + opened)], _WHITE)
    else:
        canvas.line(np.stack([half * _ARC, middle], axis=1), lined(traits, 0.65), 0.025)


def _band(half: float, upper: Shape, lower: Shape) -> Shape:
    there = np.stack([half * _ARC, upper], axis=1)
    back = np.stack([half * _ARC, lower], axis=1)
    return np.concatenate([there, back[::-1]])
