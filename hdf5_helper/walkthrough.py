"""`write_data_to_hdf5` and its split methods: the entry of the AFAD walk-through."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hdf5_helper.atomic import folder_made
from hdf5_helper.disk import failures_as_sentences
from hdf5_helper.errors import FacetError
from hdf5_helper.labels import FEMALE, MALE
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.packer import check_target, plan_survey, write_pack
from hdf5_helper.packing.survey import survey_listing
from hdf5_helper.sources import read_source
from hdf5_helper.sources.records import LabelValue, Listing, Record, RejectedError
from hdf5_helper.sources.source_options import check_name
from hdf5_helper.sources.values import age_labels, read_age, read_gender

#: From a folder to the paths of images and their labels, one a path.
SplitMethod = Callable[[str], tuple[Sequence[str], Sequence[Any]]]

_METHOD_PREFIX = "split_by_"
_SIZE = (150, 150)  # what the AFAD recipes train on: the size that readers give by default


def split_by_gender(data_dir: str | Path) -> tuple[list[str], list[int]]:
    """Gives the images of an AFAD tree and their genders, 0 = male (111), 1 = female (112)."""
    paths, records = _afad(data_dir)
    return paths, [int(record.labels["gender"]) for record in records]


def split_by_age(data_dir: str | Path) -> tuple[list[str], list[int]]:
    """Gives the images of an AFAD tree and their ages in years."""
    paths, records = _afad(data_dir)
    return paths, [int(record.labels["age"]) for record in records]


def write_data_to_hdf5(
    data_dir: str | Path,
    split_method: SplitMethod,
    output_dir: str | Path,
    set_split: float = 0.2,
    channels_first: bool = False,
) -> Path:
    """Packs the images of `data_dir` into `output_dir`/data.h5, which holds all three splits; replaces an older one.

    The images keep their own bytes (encoded storage: no pixel is lost to a resize, and the file is as small as the
    tree); readers give them at 150×150.

    Args:
        data_dir: the folder of images; an AFAD tree for `split_by_gender` and `split_by_age`, which both pack both
            labels and differ in the default label.
        split_method: one of these, or a function from the folder to (paths, labels). Labels of a function named
            `split_by_NAME` are called NAME: whole numbers or texts are classes, ages are years, genders are 0 (male),
            1 (female) or words.
        output_dir: made if it is not there, and not left behind if nothing can be packed.
        set_split: share of the images for test; validation is the same share of the rest.
        channels_first: readers give (B, 3, H, W).

    Returns:
        The path of the file.

    Raises:
        FacetError: no image, labels that are not as many as paths, a share outside (0, 1).
    """
    if not 0 < set_split < 1:
        raise FacetError(f"set_split {set_split}: expected a share between 0 and 1")
    root, target = Path(data_dir), Path(output_dir) / "data.h5"
    label, listing = _listing(root, split_method)
    rest = 1 - set_split
    options = PackOptions(
        image_size=_SIZE,
        split=f"{rest * rest!r},{rest * set_split!r},{set_split!r}",
        overwrite=True,
        attributes={"default_label": label, "channels_first": int(channels_first)},
    )
    survey = survey_listing(root, listing, options)
    with failures_as_sentences(target), folder_made(target.parent):
        check_target(target, overwrite=True)
        write_pack(plan_survey(survey, target, options))
    return target


def _afad(data_dir: str | Path) -> tuple[list[str], tuple[Record, ...]]:
    records = read_source(Path(data_dir), "afad").records
    return [os.path.join(data_dir, record.path) for record in records], records  # noqa: PTH118 - text, as the seed gives


def _listing(root: Path, split_method: SplitMethod) -> tuple[str, Listing]:
    """Gives the default label and the records."""
    if split_method in (split_by_gender, split_by_age):
        return split_method.__name__.removeprefix(_METHOD_PREFIX), read_source(root, "afad")
    paths, values = split_method(str(root))
    if len(paths) != len(values):
        raise FacetError(
            f"split_method: {len(paths):,} paths and {len(values):,} labels, expected as many labels as paths"
        )
    label = _label_name(split_method)
    relative = [Path(os.path.relpath(path, root)).as_posix() for path in paths]
    try:
        records = [Record(path, _labels(label, value)) for path, value in zip(relative, values, strict=True)]
    except RejectedError as reason:
        raise FacetError(f"split_method: {reason}") from None
    return label, Listing("function", tuple(sorted(records, key=lambda record: os.fsencode(record.path))))


def _label_name(split_method: SplitMethod) -> str:
    name = getattr(split_method, "__name__", "")
    label = name.removeprefix(_METHOD_PREFIX) if name.startswith(_METHOD_PREFIX) else "class"
    if label in ("age_group", "attributes"):
        raise FacetError(f"split_method {name}: {label} is a label of Facet's own, expected another name")
    check_name("split_method: label", label)
    return label


def _labels(label: str, value: Any) -> dict[str, LabelValue]:
    plain = value.item() if isinstance(value, np.generic) else value
    if label == "age":
        return age_labels(read_age(str(plain)))
    if label == "gender":
        return {label: plain if plain in (MALE, FEMALE) else read_gender(str(plain), {})}
    if not isinstance(plain, int | str):
        raise RejectedError(f"label {plain!r}: expected whole numbers or texts")
    return {label: plain}
