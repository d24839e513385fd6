"""Layouts: what is read from folders and file names."""

import errno
import os
import re

import pytest
from trees import plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.options import PackOptions, SourceOptions
from hdf5_helper.packing.survey import survey_sources
from hdf5_helper.sources import read_source, read_sources
from hdf5_helper.sources.records import Listing
from hdf5_helper.sources.tree import list_tree


def facts(listing: Listing) -> list[tuple[object, ...]]:
    return [(record.path, dict(record.labels), record.subject) for record in listing.records]


def test_afad_reads_age_and_gender_from_folders_and_the_subject_from_the_file_name(tmp_path):
    plant(tmp_path, ["25/111/400-1.jpg", "25/112/plain.jpg", "40/112/401-0.png"])
    listing = read_source(tmp_path)
    assert listing.layout == "afad"
    assert facts(listing) == [
        ("25/111/400-1.jpg", {"gender": 0, "age": 25.0, "age_group": 4}, "400"),
        ("25/112/plain.jpg", {"gender": 1, "age": 25.0, "age_group": 4}, None),
        ("40/112/401-0.png", {"gender": 1, "age": 40.0, "age_group": 5}, "401"),
    ]


def test_another_afad_code_is_a_reject_and_never_a_gender(tmp_path):
    plant(tmp_path, ["25/111/a.jpg", "25/113/b.jpg", "c.jpg", "999/112/d.jpg"])
    listing = read_source(tmp_path, "afad")
    assert [record.path for record in listing.records] == ["25/111/a.jpg"]
    assert dict(listing.rejects) == {
        "25/113/b.jpg": "gender code '113': expected 111 (male) or 112 (female)",
        "c.jpg": "lies in no folder AGE/111 or AGE/112",
        "999/112/d.jpg": "age '999': expected years from 0 to 130",
    }


AGEGENDER = [
    "combined/aligned/25_F/nm0000382_rm1948290560_1960-7-19_2009.jpg",
    "combined/aligned/03_M/531_1960-07-19_2009.jpg",
    "combined/valid/07_F/landmark_aligned_face.84.11438868715_c0_o.jpg",
    "combined/valid/07_F/somebody.jpg",
]


def test_agegender_reads_origin_and_person_from_the_file_name(tmp_path):
    listing = read_source(plant(tmp_path, AGEGENDER))
    assert listing.layout == "agegender"
    assert listing.official
    assert {record.path: (record.subject, dict(record.groups), record.split) for record in listing.records} == {
        AGEGENDER[0]: ("imdb/nm0000382", {"origin": "imdb"}, 0),
        AGEGENDER[1]: ("wiki/531", {"origin": "wiki"}, 0),
        AGEGENDER[2]: ("adience/84", {"origin": "adience"}, 2),
        AGEGENDER[3]: (None, {}, 2),
    }
    assert [dict(record.labels) for record in listing.records if record.path == AGEGENDER[2]] == [
        {"gender": 1, "age": 7.0}  # 7 lies between Adience's groups 4-6 and 8-13
    ]


@pytest.mark.parametrize(
    ("below", "count", "official"), [(".", 4, True), ("combined", 4, True), ("combined/valid", 2, False)]
)
def test_agegender_may_be_given_by_its_parent_or_by_one_child(tmp_path, below, count, official):
    listing = read_source(plant(tmp_path, AGEGENDER) / below)
    assert (listing.layout, len(listing.records), listing.official) == ("agegender", count, official)
    assert official or {record.split for record in listing.records} == {None}


@pytest.mark.parametrize("names", [("man", "woman"), ("MALE", "Female"), ("m", "F"), ("m", "w")])
def test_folders_with_words_for_gender_are_gender(tmp_path, names):
    listing = read_source(plant(tmp_path, [f"{names[0]}/a.jpg", f"{names[1]}/b.jpg"]))
    assert {record.path[-5:]: dict(record.labels) for record in listing.records} == {
        "a.jpg": {"gender": 0},
        "b.jpg": {"gender": 1},
    }


def test_folders_with_other_words_are_classes_of_the_named_label(tmp_path):
    plant(tmp_path, ["happy/deep/a.jpg", "sad/b.jpg", "stray.jpg"])
    listing = read_source(tmp_path, options=SourceOptions(label_name="mood"))
    assert [(record.path, dict(record.labels)) for record in listing.records] == [
        ("happy/deep/a.jpg", {"mood": "happy"}),
        ("sad/b.jpg", {"mood": "sad"}),
    ]
    assert listing.rejects == (("stray.jpg", "lies in no class folder"),)


def test_folder_words_can_be_mapped_to_gender(tmp_path):
    options = SourceOptions(value_map={"gender": {"Damen": "female", "Herren": "male"}})
    listing = read_source(plant(tmp_path, ["Damen/a.jpg", "Herren/b.jpg"]), options=options)
    assert [dict(record.labels) for record in listing.records] == [{"gender": 1}, {"gender": 0}]


def test_folders_train_and_test_above_the_classes_are_the_official_split(tmp_path):
    listing = read_source(plant(tmp_path, ["train/man/a.jpg", "val/man/b.jpg", "test/woman/c.jpg"]))
    assert listing.official
    assert [(record.split, dict(record.labels)) for record in listing.records] == [
        (2, {"gender": 1}),
        (0, {"gender": 0}),
        (1, {"gender": 0}),
    ]


@pytest.mark.parametrize("stray", ["train/stray.jpg", "stray.jpg", "others/stray.jpg"])
def test_a_stray_image_in_a_split_tree_is_a_reject_and_changes_no_label(tmp_path, stray):
    plant(tmp_path, ["train/man/a.jpg", "train/woman/b.jpg", "test/man/c.jpg", "test/woman/d.jpg", stray])
    listing = read_source(tmp_path)
    assert listing.official
    assert [(record.path, record.split, dict(record.labels)) for record in listing.records] == [
        ("test/man/c.jpg", 2, {"gender": 0}),
        ("test/woman/d.jpg", 2, {"gender": 1}),
        ("train/man/a.jpg", 0, {"gender": 0}),
        ("train/woman/b.jpg", 0, {"gender": 1}),
    ]
    assert listing.rejects == ((stray, "lies in no class folder"),)


def test_words_for_splits_are_never_classes(tmp_path):
    plant(tmp_path, ["happy/deep/a.jpg", "sad/b.jpg", "train/c.jpg", "test/happy/d.jpg"])
    listing = read_source(tmp_path)
    assert not listing.official
    assert [dict(record.labels) for record in listing.records] == [{"class": "happy"}, {"class": "sad"}]
    assert [path for path, _reason in listing.rejects] == ["test/happy/d.jpg", "train/c.jpg"]
    plant(tmp_path / "flat", ["valid/a.jpg", "invalid/b.jpg"])
    with pytest.raises(FacetError, match=r"one class folder \(invalid\), .* train, validation, test and their like"):
        read_source(tmp_path / "flat")


def test_a_named_label_counts_before_the_words_for_gender(tmp_path):
    plant(tmp_path, ["man/a.jpg", "woman/b.jpg"])
    listing = read_source(tmp_path, options=SourceOptions(label_name="pose", value_map={"pose": {"man": "standing"}}))
    assert [dict(record.labels) for record in listing.records] == [{"pose": "standing"}, {"pose": "woman"}]


@pytest.mark.parametrize(
    ("layout", "odd"), [("agegender", ["cat/a.jpg", "dog/b.jpg", "10_f/c.jpg"]), ("afad", ["x/1/a.jpg", "7/111/c.jpg"])]
)
def test_a_tree_of_which_only_a_part_looks_like_a_layout_is_asked_about(tmp_path, layout, odd):
    plant(tmp_path, odd)
    sentence = (
        f"{tmp_path}: 1 of {len(odd)} images look like layout {layout} ({odd[-1]}), the others do not,"
        f" expected --layout {layout} or --layout folders"
    )
    with pytest.raises(FacetError) as error:
        read_source(tmp_path)
    assert str(error.value) == sentence
    assert len(read_source(tmp_path, layout).records) == 1
    assert len(read_source(tmp_path, "folders").records) == len(odd)


@pytest.mark.parametrize(
    ("options", "layout", "others"),
    [
        (SourceOptions(groups=("race",)), "folders", "manifest"),
        (SourceOptions(columns={"age": "x"}), "folders", "manifest"),
        (SourceOptions(label_name="mood"), "manifest", "folders"),
        (SourceOptions(value_map={"gender": {"W": "f"}}), "afad", "manifest or folders"),
        (SourceOptions(label_name="mood"), "agegender", "folders"),
        (SourceOptions(faces="coarse"), "utkface", "adience"),
        (SourceOptions(groups=("race",)), "celeba", "manifest"),
    ],
)
def test_an_option_that_a_layout_has_no_use_for_is_refused(sample_tree, options, layout, others):
    [option] = options.given()
    with pytest.raises(FacetError) as error:
        read_source(sample_tree(layout, 40), layout, options)
    assert str(error.value) == f"{option}: layout {layout} has no use for it, expected layout {others}"


@pytest.mark.parametrize(
    ("options", "label"),
    [
        (SourceOptions(label_name="mood"), "mood"),
        (SourceOptions(value_map={"gender": {"Damen": "female", "Herren": "male"}}), "gender"),
        (SourceOptions(groups=("camera",)), "class"),
        (SourceOptions(faces="aligned"), "class"),
    ],
)
def test_an_option_holds_for_those_of_several_sources_that_have_a_use_for_it(sample_tree, tmp_path, options, label):
    classes = plant(tmp_path, ["Damen/a.jpg", "Herren/b.jpg"])
    trees = [classes, *(sample_tree(layout, 40) for layout in ("afad", "adience", "manifest"))]
    listings = read_sources(trees, "auto", options)
    assert [listing.layout for listing in listings] == ["folders", "afad", "adience", "manifest"]
    assert {name for record in listings[0].records for name in record.labels} == {label}
    assert listings[1] == read_source(trees[1])


def test_an_option_that_none_of_several_sources_has_a_use_for_is_refused(sample_tree):
    trees = [sample_tree(layout, 40) for layout in ("afad", "agegender", "afad")]
    with pytest.raises(FacetError) as error:
        read_sources(trees, "auto", SourceOptions(groups=("race",)))
    assert str(error.value) == "--groups: layout afad and agegender has no use for it, expected layout manifest"


def test_a_map_counts_where_any_of_several_sources_has_the_label(sample_tree, tmp_path):
    trees = [plant(tmp_path, ["cat/a.jpg", "dog/b.jpg"]), sample_tree("folders", 40)]
    mapped = SourceOptions(value_map={"gender": {"W": "female"}})
    cats, faces = read_sources(trees, "auto", mapped)
    assert [record.labels for record in cats.records] == [{"class": "cat"}, {"class": "dog"}]
    assert faces == read_source(trees[1])
    with pytest.raises(FacetError, match="--map mood: no image has this label, expected one of class, gender"):
        read_sources(trees, "auto", SourceOptions(value_map={"mood": {"W": "female"}}))


def test_a_map_for_a_label_that_no_image_has_is_refused(sample_tree):
    with pytest.raises(FacetError, match=r"--map gendr: no image has this label, .* \(did you mean 'gender'\?\)"):
        read_source(sample_tree("folders", 40), options=SourceOptions(value_map={"gendr": {"a": "b"}}))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"label_name": "."}, "--label-name '.': expected letters, digits, _ . - only, and no dot first"),
        ({"label_name": ".."}, "--label-name '..': expected letters"),
        ({"groups": ("a/b",)}, "--groups 'a/b': expected letters"),
        ({"columns": {".x": "y"}}, "--columns '.x': expected letters"),
        ({"columns": {"Attributes": "camera"}}, "--columns attributes: a manifest cannot give this label"),
    ],
)
def test_names_that_the_file_cannot_hold_are_refused(options, sentence):
    with pytest.raises(FacetError, match=re.escape(sentence)):
        SourceOptions(**options)


@pytest.mark.parametrize("layout", ["afad", "agegender", "folders"])
def test_images_of_one_folder_share_their_labels_and_groups(sample_tree, layout):
    records = read_source(sample_tree(layout, 60)).records
    folders = {record.path.rpartition("/")[0] for record in records}
    assert len({id(record.labels) for record in records}) <= len(folders) < len(records)
    assert len({id(record.groups) for record in records}) <= 4


def test_one_class_folder_is_refused(tmp_path):
    with pytest.raises(FacetError, match=r"one class folder \(happy\), expected one a class, at least two"):
        read_source(plant(tmp_path, ["happy/a.jpg"]))


def test_files_without_an_image_suffix_are_ignored_and_counted(tmp_path):
    plant(tmp_path, ["man/a.jpg", "woman/b.JPG"])
    write(tmp_path, "man/Thumbs.db", b"x")
    write(tmp_path, "README", b"x")
    listing = read_source(tmp_path)
    assert (len(listing.records), listing.rejects, listing.ignored) == (2, (), 2)


def test_a_loop_of_links_ends(tmp_path):
    plant(tmp_path, ["man/a.jpg", "woman/b.jpg"])
    (tmp_path / "man" / "loop").symlink_to(tmp_path)
    (tmp_path / "woman" / "self").symlink_to(".")
    assert [record.path for record in read_source(tmp_path).records] == ["man/a.jpg", "woman/b.jpg"]


def test_linked_class_folders_are_followed(tmp_path):
    plant(tmp_path / "far", ["x/a.jpg", "y/b.jpg"])
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "man").symlink_to(tmp_path / "far" / "x")
    (tmp_path / "tree" / "woman").symlink_to(tmp_path / "far" / "y")
    assert [record.path for record in read_source(tmp_path / "tree").records] == ["man/a.jpg", "woman/b.jpg"]


def test_a_folder_keeps_its_own_name_whatever_links_lead_to_it(tmp_path):
    plant(tmp_path, ["man/a.jpg", "woman/deep/b.jpg"])
    (tmp_path / "a-link").symlink_to("man")
    (tmp_path / "man" / "b-link").symlink_to("../woman/deep")
    assert list_tree(tmp_path).files == ("man/a.jpg", "woman/deep/b.jpg")


def test_folders_that_link_to_each_other_are_each_entered_once(tmp_path):
    plant(tmp_path, ["man/a.jpg", "woman/b.jpg"])
    (tmp_path / "man" / "woman").symlink_to("../woman")
    (tmp_path / "woman" / "man").symlink_to("../man")
    (tmp_path / "x").symlink_to("y")
    (tmp_path / "y").symlink_to("x")
    (tmp_path / "gone").symlink_to("nowhere")
    assert list_tree(tmp_path).files == ("gone", "man/a.jpg", "woman/b.jpg", "x", "y")


def test_a_link_upwards_brings_in_nothing_from_beside_the_tree(tmp_path):
    plant(tmp_path, ["tree/man/a.jpg", "tree/woman/b.jpg", "beside/c.jpg"])
    (tmp_path / "tree" / "up").symlink_to("..")
    (tmp_path / "tree" / "man" / "far-up").symlink_to("/")
    (tmp_path / "link").symlink_to("tree")
    for root in (tmp_path / "tree", tmp_path / "link"):
        assert list_tree(root).files == ("man/a.jpg", "woman/b.jpg")


class WithoutInode:
    """An entry of a folder as Windows gives it: its stat knows no inode and no device."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self.name, self.path = entry.name, entry.path
        self.is_dir, self.is_symlink = entry.is_dir, entry.is_symlink

    def stat(self) -> os.stat_result:
        return os.stat_result([0] * 10)


def test_all_folders_are_entered_where_entries_know_no_inode(tmp_path, monkeypatch):
    plant(tmp_path, ["man/a.jpg", "woman/b.jpg", "woman/deep/c.jpg"])
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: [WithoutInode(entry) for entry in scandir(folder)])
    assert list_tree(tmp_path).files == ("man/a.jpg", "woman/b.jpg", "woman/deep/c.jpg")


def test_a_link_to_itself_is_a_file_that_cannot_be_read(tmp_path):
    plant(tmp_path, ["man/a.jpg", "woman/b.jpg"])
    (tmp_path / "man" / "x.png").symlink_to("x.png")
    assert list_tree(tmp_path).images == ("man/a.jpg", "man/x.png", "woman/b.jpg")
    rejects = survey_sources([tmp_path], PackOptions()).rejects
    assert rejects == (("man/x.png", f"cannot be read: {os.strerror(errno.ELOOP)}"),)


def test_paths_that_are_no_utf_8_are_kept(tmp_path):
    folder = os.fsencode(tmp_path) + b"/man"
    (tmp_path / "man").mkdir()
    plant(tmp_path, ["woman/b.jpg"])
    with open(folder + b"/caf\xe9.jpg", "wb") as file:
        file.write((tmp_path / "woman" / "b.jpg").read_bytes())
    assert [os.fsencode(record.path) for record in read_source(tmp_path).records] == [
        b"man/caf\xe9.jpg",
        b"woman/b.jpg",
    ]


def test_a_folder_of_many_sets_is_asked_about_and_not_taken_for_one_of_them(sample_tree, tmp_path):
    for layout in ("afad", "agegender", "adience", "celeba", "utkface"):
        (tmp_path / layout).symlink_to(sample_tree(layout, 40))
    with pytest.raises(FacetError, match=r"40 of 200 images look like layout agegender .* the others do not"):
        read_source(tmp_path)


@pytest.mark.parametrize("name", ["a.jpg", "notes.md", "noname"])
def test_a_file_that_is_no_table_is_refused_by_its_own_name(tmp_path, name):
    file = write(tmp_path, name, b"x")
    sentence = f"{file}: is one file, expected a folder of labelled images, or a table of them (.csv, .tsv, .txt)"
    with pytest.raises(FacetError, match=re.escape(sentence)):
        read_source(file)


@pytest.mark.parametrize("name", ["faces.h5", "faces.csv"])
def test_a_packed_file_is_refused_with_the_command_that_takes_it(packed, tmp_path, name):
    file = write(tmp_path, name, packed("folders", count=40).read_bytes())
    with pytest.raises(FacetError) as error:
        read_source(file)
    sentence = "is an HDF5 file, expected images; `facet repack` makes new packed files of packed ones"
    assert str(error.value) == f"{file}: {sentence}"


def test_a_tree_that_nobody_knows_is_one_sentence(tmp_path):
    with pytest.raises(FacetError, match="no such folder, expected a tree of labelled images"):
        read_source(tmp_path / "missing")
    with pytest.raises(FacetError, match="holds no image among 0 files"):
        read_source(tmp_path)
    plant(tmp_path, ["a.jpg"])
    with pytest.raises(FacetError, match=r"layout not recognised, expected one of .*folders named by --layout"):
        read_source(tmp_path)
    with pytest.raises(FacetError, match=r"--layout 'afda': expected one of .* \(did you mean 'afad'\?\)"):
        read_source(tmp_path, "afda")


def test_the_real_trees_give_what_their_folders_say(real_data):
    listing = read_source(real_data("agegender_cleaned"))
    assert (listing.layout, len(listing.records), listing.rejects) == ("agegender", 4000, ())
    assert [record.split for record in listing.records].count(2) == 800
    afad = read_source(real_data("afad_layout"))
    genders = [record.labels["gender"] for record in afad.records]
    ages = [record.labels["age"] for record in afad.records]
    assert (afad.layout, genders.count(0), genders.count(1), min(ages), max(ages)) == ("afad", 639, 861, 15, 72)
    portraits = read_source(real_data("portraits"))
    assert {(record.path.split("/")[0], record.labels["gender"]) for record in portraits.records} == {
        ("man", 0),
        ("woman", 1),
    }
