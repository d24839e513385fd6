"""UTKFace: everything in the file name, AGE_GENDER_RACE_DATE.jpg or AGE_GENDER_RACE_DATE.jpg.chip.jpg."""

import re
from collections.abc import Mapping

from hdf5_helper.labels import FEMALE, MALE
from hdf5_helper.sources.records import LabelValue, Listing, Record, RejectedError, collect
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tree import Tree, file_name
from hdf5_helper.sources.values import age_labels, read_age
from hdf5_helper.wording import count_text

_PROPER = re.compile(r"\d{1,3}_[01]_[0-4]_20\d{6,}(?!\d).*", re.DOTALL)

#: Names may lack the race or the gender, and what follows the date may be ` .jpg.chip.jpg` or `jpg.chip.jpg`.
_NAME = re.compile(r"(?P<age>\d{1,3})_(?P<gender>\d?)_(?:(?P<race>\d)_)?\d{8,}(?!\d).*", re.DOTALL)

_GENDERS = {"0": MALE, "1": FEMALE}

#: The number in the name -> the word of the set's own documentation.
RACES = {"0": "White", "1": "Black", "2": "Asian", "3": "Indian", "4": "Others"}
_GROUPS = {number: {"race": race} for number, race in RACES.items()}


def matching(tree: Tree) -> list[str]:
    """Gives the images that are named AGE_GENDER_RACE_DATE."""
    return [path for path in tree.images if _PROPER.fullmatch(file_name(path))]


def recognise(tree: Tree) -> str | None:
    """Says what makes the tree UTKFace's, or None: most images are named as its are."""
    return "files AGE_GENDER_RACE_DATE" if 2 * len(matching(tree)) > len(tree.images) else None


def read(tree: Tree, _options: SourceOptions) -> Listing:
    """Gives age, gender and the group `race` from the file names.

    A name that lacks the race is an example whose race is unknown. Where folders hold files of the same name, as the
    set's parts and their union do, the first one counts.
    """
    first = {file_name(path): path for path in reversed(tree.images)}
    paths = [path for path in tree.images if first[file_name(path)] == path]
    records, rejects = collect(paths, _record)
    raceless = sum(not record.groups for record in records)
    repeated = len(tree.images) - len(paths)
    sentences = (
        *([f"{count_text(raceless, 'name')} without a race: it is unknown there"] if raceless else ()),
        *([f"{count_text(repeated, 'image')} with the name of one in another folder left out"] if repeated else ()),
    )
    return Listing("utkface", records, rejects, tree.ignored + repeated, sentences)


def _record(path: str) -> Record:
    parts = _NAME.fullmatch(file_name(path))
    if parts is None:
        raise RejectedError("is not named AGE_GENDER_RACE_DATE")
    labels = {**_gender(parts["gender"]), **age_labels(read_age(parts["age"]))}
    race = parts["race"]
    if race is not None and race not in RACES:
        raise RejectedError(f"race {race!r} in its name: expected 0 to 4")
    return Record(path, labels) if race is None else Record(path, labels, groups=_GROUPS[race])


def _gender(written: str) -> Mapping[str, LabelValue]:
    if written and written not in _GENDERS:
        raise RejectedError(f"gender {written!r} in its name: expected 0 (male) or 1 (female)")
    return {"gender": _GENDERS[written]} if written else {}
