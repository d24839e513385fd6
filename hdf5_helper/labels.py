"""What labels mean: the polarity of gender, AFAD's codes, the age groups, and how "unknown" is stored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Class names of `labels/gender` by number: 0 = male, 1 = female. A sigmoid output is P(female).
GENDER_NAMES = ("male", "female")
MALE, FEMALE, UNKNOWN_GENDER = 0, 1, 255

#: AFAD's folder codes (the dataset's own documentation; some texts print them reversed).
AFAD_GENDERS = {"111": MALE, "112": FEMALE}

#: Folder and column words that mean a gender, in lower case.
GENDER_WORDS = {"f": FEMALE, "female": FEMALE, "woman": FEMALE, "w": FEMALE, "m": MALE, "male": MALE, "man": MALE}

#: Adience's eight groups, both ends included, in years (Eidinger, Enbar and Hassner, 2014).
AGE_GROUPS = ((0, 2), (4, 6), (8, 13), (15, 20), (25, 32), (38, 43), (48, 53), (60, 200))
AGE_GROUP_NAMES = ("0-2", "4-6", "8-13", "15-20", "25-32", "38-43", "48-53", "60-")
UNKNOWN_AGE_GROUP = 255

#: Unknown class of `labels/NAME` and `groups/NAME`.
UNKNOWN_CLASS = 65535


@dataclass(frozen=True)
class LabelKind:
    """How one label is stored.

    Attributes:
        dtype: NumPy dtype of `labels/NAME`.
        unknown: stored value of an unknown label (NaN for age).
    """

    dtype: np.dtype[np.generic]
    unknown: float


_KINDS = {
    "gender": LabelKind(np.dtype(np.uint8), UNKNOWN_GENDER),
    "age": LabelKind(np.dtype(np.float32), float("nan")),
    "age_group": LabelKind(np.dtype(np.uint8), UNKNOWN_AGE_GROUP),
    "attributes": LabelKind(np.dtype(np.int8), 0),
}
#: Names with a meaning of their own, which no class label may take.
RESERVED_LABELS = tuple(_KINDS)

_CLASS_KIND = LabelKind(np.dtype(np.uint16), UNKNOWN_CLASS)


def label_kind(name: str) -> LabelKind:
    """Gives how the label `name` is stored; a name that Facet does not know is a class label."""
    return _KINDS.get(name, _CLASS_KIND)


def known(name: str, values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Gives bool (N,): which rows of the label `name` are known; for attributes, rows with any known one."""
    if name == "age":
        return np.asarray(~np.isnan(np.asarray(values, np.float32)))
    if name == "attributes":
        return np.asarray((values != 0).any(axis=1))
    return np.asarray(values != label_kind(name).unknown)


def age_group(age: float) -> int:
    """Gives the number of Adience's group that holds `age` in years, or 255 between two groups and for NaN."""
    for number, (low, high) in enumerate(AGE_GROUPS):
        if low <= age < high + 1:
            return number
    return UNKNOWN_AGE_GROUP
