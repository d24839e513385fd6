"""What every layout promises, on a drawn tree, on a messy one, and on a real one."""

import math
import os
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest
from trees import plant

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.survey import survey_sources
from hdf5_helper.sources import LAYOUTS, read_source
from hdf5_helper.sources.tree import list_tree

#: Layout -> set of real images; nobody's manifest is among them.
REAL = {
    "afad": "afad_layout",
    "agegender": "agegender_cleaned",
    "adience": "adience",
    "celeba": "celeba",
    "utkface": "utkface",
    "folders": "portraits",
}
EVERY_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)
EVERY_TREE = pytest.mark.parametrize(
    ("layout", "form"),
    [(name, form) for name in LAYOUTS for form in ("drawn", "messy", "real") if form != "real" or name in REAL],
)

#: Files that hold labels: read, and neither examples nor ignored.
LABEL_FILES = {
    *(f"fold_{number}_data.txt" for number in range(5)),
    *("list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt", "manifest.csv"),
}


@pytest.fixture
def tree(layout, form, sample_tree, real_data):
    return real_data(REAL[layout]) if form == "real" else sample_tree(layout, 60, mess=form == "messy")


@EVERY_TREE
def test_auto_recognises_the_tree_and_says_what_it_saw(tree, layout, form):
    listing = read_source(tree)
    assert listing.layout == layout
    assert listing.sentences[0].startswith(f"{tree}: layout {layout} (")
    named = read_source(tree, layout)
    assert named.sentences[0] == f"{tree}: layout {layout} (as asked for)"
    assert named.records == listing.records


@EVERY_TREE
def test_records_come_in_the_order_of_their_paths_each_path_once(tree, layout, form):
    paths = [os.fsencode(record.path) for record in read_source(tree).records]
    assert len(paths) >= 60
    assert paths == sorted(set(paths))


@EVERY_TREE
def test_paths_are_relative_and_lead_to_files(tree, layout, form):
    listing = read_source(tree)
    for path in (record.path for record in listing.records):
        assert not PurePosixPath(path).is_absolute()
        assert str(PurePosixPath(path)) == path
        assert not {"..", "."} & set(path.split("/"))
        assert "\\" not in path
    missing = [record.path for record in listing.records if not (tree / record.path).is_file()]
    assert len(missing) == (
        (layout, form) == ("manifest", "messy")
    )  # what a manifest lists is asked for when it is read
    rejects = survey_sources([tree], PackOptions()).rejects
    assert {path: reason for path, reason in rejects if path in missing} == dict.fromkeys(
        missing, "cannot be read: No such file or directory"
    )


@EVERY_TREE
def test_every_file_is_a_record_a_reject_ignored_or_a_label_file(tree, layout, form):
    files, listing = set(list_tree(tree).files), read_source(tree)
    records, rejects = ({path for path in paths if path in files} for paths in paths_of(listing))
    assert not records & rejects
    assert len(records) + len(rejects) + listing.ignored + len(LABEL_FILES & files) == len(files)
    assert len({path for path, _reason in listing.rejects}) == len(listing.rejects)
    assert all(reason for _path, reason in listing.rejects)


def paths_of(listing):
    return [record.path for record in listing.records], [path for path, _reason in listing.rejects]


@EVERY_TREE
def test_labels_have_their_types_and_ranges(tree, layout, form):
    listing = read_source(tree)
    checks = {
        "gender": lambda value: value in (0, 1) and isinstance(value, int),
        "age": lambda value: isinstance(value, float) and 0 <= value <= 130 and not math.isnan(value),
        "age_group": lambda value: isinstance(value, int) and 0 <= value <= 7,
        "attributes": lambda value: len(value) == len(listing.attribute_names) and set(value) <= {1, 0, 255},
    }
    for record in listing.records:
        assert record.labels
        for name, value in record.labels.items():
            assert checks.get(name, lambda text: isinstance(text, str) and text)(value), (record.path, name, value)
        assert all(isinstance(value, str) and value for value in record.groups.values())


@EVERY_TREE
def test_reading_twice_gives_the_same(tree, layout, form):
    assert read_source(tree) == read_source(tree)


#: Labels, whether persons are known, groups, official split, sides, folds.
AS_DESIGNED = {
    "afad": ({"gender", "age", "age_group"}, True, set(), False, {None}, {None}),
    "agegender": ({"gender", "age", "age_group"}, True, {"origin"}, True, {0, 2}, {None}),
    "adience": ({"gender", "age", "age_group"}, True, set(), True, {None}, {0, 1, 2, 3, 4}),
    "celeba": ({"gender", "attributes"}, True, set(), True, {0, 1, 2}, {None}),
    "utkface": ({"gender", "age", "age_group"}, False, {"race"}, False, {None}, {None}),
    "folders": ({"gender"}, False, set(), False, {None}, {None}),
    "manifest": ({"gender", "age", "age_group", "camera"}, True, set(), False, {None}, {None}),
}


@EVERY_LAYOUT
@pytest.mark.parametrize("mess", [False, True])
def test_labels_persons_groups_and_splits_are_as_designed(sample_tree, layout, mess):
    listing = read_source(sample_tree(layout, 60, mess=mess))
    records = listing.records
    assert (
        {name for record in records for name in record.labels},
        all(record.subject is not None for record in records),
        {name for record in records for name in record.groups},
        listing.official,
        {record.split for record in records},
        {record.fold for record in records},
    ) == AS_DESIGNED[layout]
    assert bool(listing.attribute_names) == (layout == "celeba")


@EVERY_LAYOUT
def test_an_empty_folder_is_refused_in_one_sentence(tmp_path, layout):
    for asked in (layout, "auto"):
        assert one_sentence(tmp_path, asked).startswith(f"{tmp_path}: ")


@EVERY_LAYOUT
def test_a_tree_of_another_kind_is_refused_in_one_sentence(tmp_path, layout):
    plant(tmp_path, ["a.jpg", "b.jpg"])
    assert one_sentence(tmp_path, layout).startswith(f"{tmp_path}: ")


def one_sentence(folder: Path, layout: str) -> str:
    with pytest.raises(FacetError) as refusal:
        survey_sources([folder], PackOptions(layout=layout))
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("layout", ["adience", "celeba", "utkface"])
def test_the_messy_trees_pack_with_their_bad_images_left_out(facet, sample_tree, tmp_path, layout):
    answer = facet("pack", sample_tree(layout, 60, mess=True), "a.h5", cwd=tmp_path)
    assert (answer.code, answer.stderr) == (0, "")
    rejects = (tmp_path / "a.h5.rejects.csv").read_text().splitlines()[1:]
    reasons = Counter(line.partition(",")[2].strip('"').partition(",")[0].partition(":")[0] for line in rejects)
    no_label = {"has no label": 1} if layout == "adience" else {}
    assert reasons == {"cannot be decoded": 1, "is no image": 1, "is empty": 1, "is GIF": 1, **no_label}
    if layout != "utkface":
        assert "1 without an image" in answer.stdout or "1 row without an image" in answer.stdout
