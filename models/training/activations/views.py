"""Views: the few forms in which an example's pixels come, so that what the network makes of each can be kept."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.reading.order import Indices
from models.augmentation.applying import augmented
from models.augmentation.draws import Draws
from models.augmentation.geometry import flip, mirrored
from models.augmentation.recipe import Augmentation

_NOTHING = Augmentation()

#: Gives the images of any rows in any views, uint8 (n, H, W, 3), that may be written to.
Pixels = Callable[[Indices, Indices], NDArray[np.uint8]]


@dataclass(frozen=True)
class Views:
    """The views of a training's images, and which of them an example has in an epoch.

    Attributes:
        augmentation: what is done to the images.
        seed: of the run.
        margin: pixels, (down, across), by which `crop` moves an image at most to either side.
        drawn: number of seeded views that stand for all that the augmentation could give; 0 where it only mirrors, or
            does nothing, and its views are all that there is.
    """

    augmentation: Augmentation = _NOTHING
    seed: int = 0
    margin: tuple[int, int] = (0, 0)
    drawn: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What each view's pixels depend on besides the image itself, in words; different for different pixels."""
        if self.drawn:
            how = _text(self.augmentation, self.margin)
            return tuple(f"{how} seed {self.seed} view {number}" for number in range(self.drawn))
        return ("plain", "mirror") if self.augmentation.mirror else ("plain",)

    def of(self, epoch: int, indices: Indices) -> Indices:
        """Gives which view each example has in an epoch, from 1: int64 (b,), places in `names`."""
        draws = Draws(self.seed, epoch, indices)
        if self.drawn:
            return (draws.hashes("view") % np.uint64(self.drawn)).astype(np.int64)
        return (mirrored(draws) & self.augmentation.mirror).astype(np.int64)

    def pixels(self, images: NDArray[np.uint8], views: Indices, indices: Indices) -> NDArray[np.uint8]:
        """Makes views of images in place.

        Where no views are drawn this is, in the views `of` an epoch, what `augmented` makes of the images in it.

        Args:
            images: uint8 (b, H, W, 3), RGB, overwritten.
            views: int64 (b,), which view of each.
            indices: int64 (b,), example indices.

        Returns:
            `images`.
        """
        for view in np.unique(views).tolist():
            if self.drawn:
                which = views == view
                how = self.augmentation, self.seed, 1 + view, indices[which], self.margin
                images[which] = augmented(images[which], *how)
            elif view:
                for place in np.flatnonzero(views == view).tolist():
                    flip(images[place])
        return images


#: One view: the images as they are.
PLAIN = Views()


def views_of(augmentation: Augmentation, cache_views: str, seed: int, margin: tuple[int, int]) -> Views | None:
    """Gives the views that a training's activations are kept in.

    Args:
        augmentation: what is done to the training images.
        cache_views: `auto` for views that change nothing, `off` for none, or a number of seeded views. An augmentation
            that has one or two views has them all, whatever number is asked for.
        seed: of the run.
        margin: pixels, (down, across), by which `crop` moves an image at most to either side.

    Returns:
        None for `off`, and for `auto` where the augmentation gives more than an image and its mirror image.

    Raises:
        FacetError: another `cache_views`, or seeded views of an augmentation that mixes images.
    """
    number = _number(cache_views)
    if cache_views == "off":
        return None
    if _exact(augmentation, margin):
        return Views(Augmentation(mirror=augmentation.mirror), seed)
    if number and augmentation.mixup:
        mixing = f"augmentation mixup={augmentation.mixup:g} mixes other images in every epoch"
        raise FacetError(f"cache views {cache_views}: {mixing}, expected auto or off, or no mixup")
    return Views(augmentation, seed, margin, number) if number else None


def _number(cache_views: str) -> int:
    """Gives how many views are asked for, 0 where no number is."""
    if cache_views in ("auto", "off"):
        return 0
    if not (cache_views.isascii() and cache_views.isdigit() and int(cache_views) >= 1):
        raise FacetError(f"cache views {cache_views!r}: expected auto, off, or a whole number of at least 1")
    return int(cache_views)


def _exact(augmentation: Augmentation, margin: tuple[int, int]) -> bool:
    """Says whether all that happens to an image is that it is mirrored."""
    moved = augmentation.crop and margin != (0, 0)  # a window without a margin stays where it is
    quiet: dict[str, Any] = {"mirror": False, "crop": False, "fill": _NOTHING.fill}
    return not moved and replace(augmentation, **quiet) == _NOTHING


def _text(augmentation: Augmentation, margin: tuple[int, int]) -> str:
    """Writes an augmentation as `--augment` takes it, without what it leaves as it is; behind it the margin of crop."""
    values = {name: value for name, value in asdict(augmentation).items() if value != getattr(_NOTHING, name)}
    fields = ",".join(f"{name}={str(value).lower()}" for name, value in values.items())
    return f"{fields} margin {margin[0]}x{margin[1]}" if augmentation.crop else fields
