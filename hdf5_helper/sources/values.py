"""From what is written in folders and columns to label values."""

from collections.abc import Mapping

from hdf5_helper.labels import AGE_GROUP_NAMES, GENDER_WORDS, UNKNOWN_AGE_GROUP, age_group
from hdf5_helper.sources.records import LabelValue, RejectedError

#: Words for the three splits, in lower case.
SPLIT_WORDS = {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "test": 2, "testing": 2}

_OLDEST = 130  # years; beyond it a number is a mistake


def read_gender(text: str, value_map: Mapping[str, str]) -> int:
    """Gives 0 for male, 1 for female words; `value_map` says what other words mean."""
    word = value_map.get(text, text)
    if word.lower() not in GENDER_WORDS:
        raise RejectedError(f"gender {text!r}: expected a word such as male or female, or --map gender:{text}=female")
    return GENDER_WORDS[word.lower()]


def read_age(text: str) -> float:
    """Gives an age in years, 0 to 130."""
    try:
        age = float(text)
    except ValueError:
        age = -1.0
    if not 0 <= age <= _OLDEST:
        raise RejectedError(f"age {text!r}: expected years from 0 to {_OLDEST}")
    return age


def read_age_group(text: str) -> int:
    """Gives the number of one of Adience's eight groups, written as `25-32`."""
    name = text.strip().replace("–", "-")
    if name not in AGE_GROUP_NAMES:
        raise RejectedError(f"age_group {text!r}: expected one of {', '.join(AGE_GROUP_NAMES)}")
    return AGE_GROUP_NAMES.index(name)


def read_value(label: str, text: str, value_map: Mapping[str, str]) -> LabelValue:
    """Gives the value of any label but `attributes`; `value_map` says what words mean.

    Raises:
        RejectedError: no gender, no age or no age group.
    """
    if label == "gender":
        return read_gender(text, value_map)
    value = value_map.get(text, text)
    if label == "age":
        return read_age(value)
    return read_age_group(value) if label == "age_group" else value


def age_labels(age: float) -> dict[str, LabelValue]:
    """Gives the labels that follow from an age in years: the age, and Adience's group if it lies in one."""
    group = age_group(age)
    return {"age": age} if group == UNKNOWN_AGE_GROUP else {"age": age, "age_group": group}
