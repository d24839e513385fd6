"""What reader and generator are asked for: whatever cannot be is one sentence, said before a file is opened."""

from collections.abc import Iterable, Sequence

import numpy as np

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.images.fit import FITS
from hdf5_helper.reading.order import SHUFFLES
from hdf5_helper.reading.stored_images import VERIFY


def check_reading(
    *,
    image_size: object = None,
    fit: object = None,
    verify: object = "first",
    workers: object = None,
    fold: object = None,
) -> None:
    """Refuses arguments that HDF5Reader could take for no file at all.

    Raises:
        FacetError: names the argument, what was found and what was expected.
    """
    pair = list(image_size) if isinstance(image_size, (Sequence, np.ndarray)) and np.ndim(image_size) == 1 else []
    if image_size is not None and not (len(pair) == 2 and all(_is_integer(side, 1) for side in pair)):
        raise FacetError(f"image_size {image_size!r}: expected (height, width), two positive integers")
    if fit is not None:
        check_choice("fit", fit, FITS)
    check_choice("verify", verify, VERIFY)
    if workers is not None:
        integer("workers", workers, 1)
    if fold is not None:
        integer("fold", fold, 0)


def check_choice(name: str, found: object, choices: Sequence[str], also: str = "") -> None:
    """Refuses what is none of `choices`; the sentence ends with `also`."""
    if not (isinstance(found, str) and found in choices):
        raise FacetError(f"{name} {found!r}: {did_you_mean(str(found), choices)}{also}")


def integer(name: str, found: object, least: int) -> int:
    """Gives an integer, Python's or NumPy's; refuses everything else (True and False too), and one below `least`."""
    if not _is_integer(found, least):
        raise FacetError(f"{name} {found!r}: expected an integer of at least {least}")
    return int(found)  # type: ignore[call-overload,no-any-return]


def _is_integer(found: object, least: int) -> bool:
    return isinstance(found, (int, np.integer)) and not isinstance(found, bool) and int(found) >= least


def label_names(labels: object) -> tuple[str, ...]:
    """Gives the names of labels as a tuple, of a single name too.

    Raises:
        FacetError: there is none, or something that is no name.
    """
    found = (labels,) if isinstance(labels, str) else tuple(labels) if isinstance(labels, Iterable) else ()
    names = tuple(name for name in found if isinstance(name, str))
    if not names or len(names) < len(found):
        raise FacetError(f"labels {labels!r}: expected a name, or a tuple of at least one name")
    return names


def counted_names(unknown_counts: object, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Gives the names of those of `labels` of which an unknown one counts as a tuple, of a single name too.

    Raises:
        FacetError: something that is none of `labels`.
    """
    given = (unknown_counts,) if isinstance(unknown_counts, str) else unknown_counts
    found = tuple(given) if isinstance(given, Iterable) else (given,)
    names = tuple(name for name in found if isinstance(name, str) and name in labels)
    if len(names) < len(found):
        raise FacetError(f"unknown_counts {unknown_counts!r}: expected some of the labels {', '.join(labels)}")
    return names


def check_share(batch_size: object, replica: object, replicas: object) -> None:
    """Refuses a global batch that cannot be shared evenly among `replicas`, and a replica that is none of them."""
    batch_size, replicas = integer("batch_size", batch_size, 1), integer("replicas", replicas, 1)
    if integer("replica", replica, 0) >= replicas or batch_size % replicas:
        raise FacetError(
            f"batch_size {batch_size} for replica {replica} of {replicas}: expected a global batch divisible by"
            " the replicas, and a replica in [0, replicas)"
        )


def check_order(shuffle: object, seed: object, epochs: object) -> None:
    """Refuses a shuffle that there is not, a seed that is no integer, and a number of epochs that is none."""
    if shuffle is not None:
        check_choice("shuffle", shuffle, SHUFFLES, ", or None")
    if not isinstance(seed, (int, np.integer)):
        raise FacetError(f"seed {seed!r}: expected an integer")
    if epochs is not None:
        integer("epochs", epochs, 0)
