"""Ages as Adience's fold files write them: ranges, single years, nothing, and a few slips."""

import re
from collections.abc import Mapping

from hdf5_helper.labels import UNKNOWN_AGE_GROUP, age_group
from hdf5_helper.sources.records import LabelValue, RejectedError
from hdf5_helper.sources.values import age_labels, read_age

_RANGE = re.compile(r"\((\d{1,3}), ?(\d{1,3})\)")

#: What can only be meant otherwise: all 72 rows of (25, 23) are one face, and no group but 25-32 has these digits.
SLIPS = {"(25, 23)": "(25, 32)"}

#: How the fold files say that nobody knows.
_UNKNOWN = ("", "None")


def read_written_age(text: str) -> Mapping[str, LabelValue]:
    """Gives what an entry of the column `age` says.

    A range is the group that holds both its ends: (8, 12) is 8-13, (38, 42) is 38-43. One that spans two groups, such
    as (38, 48), says nothing. A single year is an age, and the group it lies in, if any: 35 lies between two.

    Returns:
        `age` in years where it is a single year, `age_group` as a number where it is known; nothing for `None`.

    Raises:
        RejectedError: it is none of these.
    """
    if text in _UNKNOWN:
        return {}
    if text.isdecimal():
        return age_labels(read_age(text))
    ends = _RANGE.fullmatch(SLIPS.get(text, text))
    if ends is None:
        raise RejectedError(f"age {text!r}: expected a range such as (25, 32), a year, or None")
    first, last = (age_group(int(end)) for end in ends.groups())
    return {"age_group": first} if first == last != UNKNOWN_AGE_GROUP else {}
