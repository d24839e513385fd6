"""From a Picture to its pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.hashing import splitmix64
from hdf5_helper.sample.canvas import Canvas
from hdf5_helper.sample.chance import Stream
from hdf5_helper.sample.features import paint_brows, paint_eyes, paint_mouth, paint_nose
from hdf5_helper.sample.hair import paint_back_hair, paint_beard, paint_hair
from hdf5_helper.sample.head import paint_body, paint_face, paint_wrinkles
from hdf5_helper.sample.pictures import Picture, Shot
from hdf5_helper.sample.worn import paint_earrings, paint_glasses, paint_hat

UInt8Array = NDArray[np.uint8]

#: Grey levels of noise (half of its width), as each camera adds it.
_NOISE = {"studio": 6, "phone": 12, "webcam": 22}


def draw(picture: Picture, side: int) -> UInt8Array:
    """Gives the drawing of `picture`, uint8 (side, side, 3), RGB: a function of the picture and the side alone."""
    shot = picture.shot
    image = _background(shot, side)
    centre = (side * (0.5 + shot.shift[0]), side * (0.5 + shot.shift[1]))
    _paint(Canvas(image, shot.scale * side, centre, shot.turn), picture)
    return _photograph(image, picture)


def _background(shot: Shot, side: int) -> UInt8Array:
    upper, lower = (np.array(colour) for colour in shot.background)
    rows = np.linspace(0, 1, side)[:, None]
    image = np.repeat((upper * (1 - rows) + lower * rows).astype(np.uint8)[:, None], side, axis=1)
    colour, place = shot.prop
    left = int(side * (0.5 + place / 2))
    cv2.rectangle(image, (left - side // 6, side // 8), (left + side // 6, side), colour, cv2.FILLED)
    return image


def _paint(canvas: Canvas, picture: Picture) -> None:
    """Paints from back to front; a turned head shows its features and hair moved to one side."""
    traits, shot = picture.person, picture.shot
    features = canvas.moved(0.14 * shot.yaw, 0)
    paint_back_hair(canvas, traits)
    paint_body(canvas, traits)
    paint_face(canvas, traits)
    paint_earrings(canvas, traits)
    paint_beard(canvas, traits)
    paint_wrinkles(features, traits)
    paint_nose(features, traits, shot)
    paint_mouth(features, traits, shot)
    paint_eyes(features, traits, shot)
    paint_brows(features, traits)
    paint_hair(canvas, traits)
    paint_glasses(features, traits)
    if shot.hat:
        paint_hat(canvas, traits)


def _photograph(image: UInt8Array, picture: Picture) -> UInt8Array:
    """Gives the image as the camera sees it: light, blur, noise."""
    shot, side = picture.shot, image.shape[0]
    if shot.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), shot.blur * side), np.uint8)
    light = np.linspace(shot.light * (1 - shot.side_light / 2), shot.light * (1 + shot.side_light / 2), side)
    gains = np.repeat(light.astype(np.float32), 3)[None].repeat(side, axis=0).reshape(image.shape)
    noise = _noise(picture, side) * np.float32(_NOISE[shot.camera] / 128)
    lit = cv2.multiply(image, gains, dtype=cv2.CV_32F)
    return np.asarray(cv2.convertScaleAbs(np.maximum(lit + noise[..., None], 0)), np.uint8)


def _noise(picture: Picture, side: int) -> NDArray[np.float32]:
    """Gives float32 (side, side) in -128–127: bytes of hashes, eight pixels a hash."""
    key = np.uint64(picture.draw(Stream.NOISE, 1 << 62))
    count = -(-side * side // 8)
    hashes = splitmix64(np.arange(key, key + np.uint64(count), dtype=np.uint64))
    return hashes.astype("<u8").view(np.int8)[: side * side].reshape(side, side).astype(np.float32)
