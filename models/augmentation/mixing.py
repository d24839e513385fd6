"""Mixup: images and labels as weighted means of two examples (Zhang et al., ICLR 2018)."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.augmentation.draws import Draws


def partners(seed: int, epoch: int, indices: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Chooses for each example the one that it is mixed with, by hash, so that every replica chooses the same.

    Args:
        seed: of the run.
        epoch: from 1.
        indices: int64 (B,), example indices.
        rows: int64 (n,), example indices to choose from.

    Returns:
        int64 (B,), of `rows`, each equally likely; an example may be mixed with itself.
    """
    places = np.floor(Draws(seed, epoch, indices).shares("partner") * len(rows)).astype(np.int64)
    return np.asarray(rows[places])


def shares(alpha: float, seed: int, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Gives each example's own share of its mixture, the larger one of Beta(alpha, alpha) and what is left of 1.

    Devroye, "Random variate generation in one line of code" (1996), for symmetric Beta distributions: with u and v
    even in (0, 1], 1/2 + S / (2 √(1 + 1 / ((u^(-1/alpha) - 1) cos²(2πv)))), where S is 1 or -1; here always 1.

    Args:
        alpha: above 0; 0 mixes nothing.
        seed: of the run.
        epoch: from 1.
        indices: int64 (B,), example indices.

    Returns:
        float32 (B,), 0.5 to 1.
    """
    if alpha == 0:
        return np.ones(len(indices), np.float32)
    draws = Draws(seed, epoch, indices)
    distance, angle = 1 - draws.shares("distance"), 2 * np.pi * draws.shares("angle")
    with np.errstate(over="ignore", divide="ignore"):  # an infinite distance is a share of 1, none a share of 1/2
        apart = (distance ** (-1 / alpha) - 1) * np.cos(angle) ** 2
        return np.asarray(0.5 + 0.5 / np.sqrt(1 + 1 / apart), np.float32)


def mixed(images: NDArray[np.uint8], others: NDArray[np.uint8], own: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Mixes images in place: own · image + (1 - own) · other, to the nearest integer, halves to the even one.

    Args:
        images: uint8 (B, H, W, 3), overwritten.
        others: uint8 (B, H, W, 3).
        own: float32 (B,), shares of `images`.

    Returns:
        `images`.
    """
    for image, other, share in zip(images, others, own.tolist(), strict=True):
        if share < 1:
            cv2.addWeighted(image, share, other, 1 - share, 0, image)
    return images
