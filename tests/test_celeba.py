"""CelebA: what is read from its label files, in the trees in which people have it."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from trees import plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.survey import survey_sources
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.sources import read_source
from hdf5_helper.sources.records import Listing, Record

NAMES = "Bald Male Smiling"
ROWS = ["000001.jpg -1  1 -1", "000002.jpg -1 -1  1"]


def tables(root: Path, rows: list[str] = ROWS, names: str = NAMES, count: int | None = None) -> Path:
    text = "\n".join([str(len(rows) if count is None else count), f"{names} ", *rows, ""])
    write(root, "list_attr_celeba.txt", text.encode())
    return root


def images(root: Path, *paths: str) -> Path:
    return plant(root, [f"img_align_celeba/{path}" for path in paths])


def facts(listing: Listing) -> list[tuple[object, ...]]:
    """What must be the same in every tree of the same images."""
    return [
        (record.path.rpartition("/")[2], dict(record.labels), record.subject, record.split)
        for record in listing.records
    ]


def test_attributes_are_int8_in_the_order_of_their_names_and_male_is_gender(tmp_path):
    listing = read_source(images(tables(tmp_path), "000001.jpg", "000002.jpg"))
    assert listing.attribute_names == ("Bald", "Male", "Smiling")
    assert listing.records == (
        Record("img_align_celeba/000001.jpg", {"attributes": b"\xff\x01\xff", "gender": 0}),
        Record("img_align_celeba/000002.jpg", {"attributes": b"\xff\xff\x01", "gender": 1}),
    )
    assert not listing.official
    assert listing.sentences[1:] == (
        "3 attributes from list_attr_celeba.txt; split: no official one; persons: unknown",
    )


def test_partition_and_identity_count_where_they_are_there(tmp_path):
    images(tables(tmp_path, [*ROWS, "000003.jpg 1 1 1"]), "000001.jpg", "000002.jpg", "000003.jpg")
    write(tmp_path, "list_eval_partition.txt", b"000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    write(tmp_path, "identity_CelebA.txt", b"000001.jpg 2880\r\n000003.jpg 17\r\n")
    listing = read_source(tmp_path)
    assert listing.official
    assert [(record.split, record.subject) for record in listing.records] == [(0, "2880"), (1, None), (2, "17")]
    assert listing.sentences[1].endswith("; split: list_eval_partition.txt; persons: identity_CelebA.txt")
    assert survey_sources([tmp_path], PackOptions()).counts() == {"train": 1, "validation": 1, "test": 1}


def official_tree(flat: Path, root: Path) -> None:
    """Anno, Eval and Img, with the two other kinds of images beside the aligned ones."""
    for name, folder in (
        ("list_attr_celeba.txt", "Anno"),
        ("identity_CelebA.txt", "Anno"),
        ("list_eval_partition.txt", "Eval"),
    ):
        write(root, f"{folder}/{name}", (flat / name).read_bytes())
    shutil.copytree(flat / "img_align_celeba", root / "Img" / "img_align_celeba")
    shutil.copytree(flat / "img_align_celeba", root / "Img" / "img_celeba")
    plant(root, ["Img/img_align_celeba_png/000001.png", "Img/img_align_celeba_png/000002.png"])


def csv_tree(flat: Path, root: Path) -> None:
    """The tree of the CSV files, whose images lie in a folder within a folder."""
    _count, names, *rows = (flat / "list_attr_celeba.txt").read_text().splitlines()
    lines = [",".join(["image_id", *names.split()]), *(",".join(row.split()) for row in rows)]
    write(root, "list_attr_celeba.csv", "\r\n".join(lines).encode())
    pairs = [line.split() for line in (flat / "list_eval_partition.txt").read_text().splitlines()]
    write(root, "list_eval_partition.csv", "\n".join(["image_id,partition", *map(",".join, pairs)]).encode())
    write(root, "list_bbox_celeba.csv", b"image_id,x_1,y_1,width,height\n000001.jpg,95,71,226,313\n")
    write(root, "identity_CelebA.txt", (flat / "identity_CelebA.txt").read_bytes())
    shutil.copytree(flat / "img_align_celeba", root / "img_align_celeba" / "img_align_celeba")


@pytest.mark.parametrize(("rebuild", "left_out"), [(official_tree, 62), (csv_tree, 0)])
def test_the_official_tree_and_the_csv_tree_say_the_same_as_the_flat_one(sample_tree, tmp_path, rebuild, left_out):
    flat = sample_tree("celeba", 60)
    rebuild(flat, tmp_path / "tree")
    listing = read_source(tmp_path / "tree")
    assert facts(listing) == facts(read_source(flat))
    assert len(listing.records) == 60
    assert {record.path.split("/")[-2] for record in listing.records} == {"img_align_celeba"}
    assert listing.ignored == (left_out or 1)
    said = f"{left_out} images without a row, or not of img_align_celeba, left out"
    assert listing.sentences[2:] == ((said,) if left_out else ())


def test_png_files_have_the_rows_of_the_jpeg_names(tmp_path):
    plant(tables(tmp_path), ["img_align_celeba_png/000001.png", "img_align_celeba_png/000002.png"])
    write(tmp_path, "list_eval_partition.txt", b"000001.jpg 0\n000002.jpg 2\n")
    assert facts(read_source(tmp_path)) == [
        ("000001.png", {"attributes": b"\xff\x01\xff", "gender": 0}, None, 0),
        ("000002.png", {"attributes": b"\xff\xff\x01", "gender": 1}, None, 2),
    ]


def test_rows_without_an_image_and_images_without_a_row_are_counted_in_a_line_each(tmp_path):
    rows = [*ROWS, *(f"{number:06d}.jpg 1 1 1" for number in range(3, 2003))]
    listing = read_source(images(tables(tmp_path, rows), "000001.jpg", "009999.jpg", "unknown.jpg"))
    assert [record.path for record in listing.records] == ["img_align_celeba/000001.jpg"]
    assert (listing.rejects, listing.ignored) == ((), 2)
    assert listing.sentences[2:] == (
        "2,001 rows without an image",
        "2 images without a row, or not of img_align_celeba, left out",
    )


def test_odd_rows_are_rejects_with_their_lines(tmp_path):
    rows = ["000001.jpg 1 1", "000002.jpg 1 0 1", "000003.jpg 1 1 1", "000003.jpg -1 -1 -1", "000004.jpg 1 1 1"]
    images(tables(tmp_path, rows), *(f"00000{number}.jpg" for number in range(1, 5)), "000003.png")
    write(tmp_path, "list_eval_partition.txt", b"000001.jpg 0\n000002.jpg 0\n000003.jpg 0\n000004.jpg 3\n")
    listing = read_source(tmp_path)
    assert [dict(record.labels) for record in listing.records] == [{"attributes": b"\1\1\1", "gender": 0}]
    assert dict(listing.rejects) == {
        "img_align_celeba/000001.jpg": "has 2 values in line 3 of the attributes, expected 3",
        "img_align_celeba/000002.jpg": "has the value '0' in line 4 of the attributes, expected 1 or -1",
        "img_align_celeba/000003.png": "has the same row as img_align_celeba/000003.jpg",
        "img_align_celeba/000004.jpg": "is in partition '3', expected 0 (train), 1 (validation) or 2 (test)",
    }
    assert listing.sentences[2:] == (f"{tmp_path}/list_attr_celeba.txt: 1 repeated row not used",)


def test_an_image_that_the_partition_does_not_name_is_a_reject(tmp_path):
    images(tables(tmp_path), "000001.jpg", "000002.jpg")
    write(tmp_path, "list_eval_partition.csv", b"image_id,partition\n000002.jpg,1\n")
    listing = read_source(tmp_path)
    assert [record.split for record in listing.records] == [1]
    assert listing.rejects == (
        ("img_align_celeba/000001.jpg", "is in no partition, expected 0 (train), 1 (validation) or 2 (test)"),
    )


def test_a_count_that_does_not_fit_is_a_warning(tmp_path):
    listing = read_source(images(tables(tmp_path, count=202599), "000001.jpg"))
    assert f"warning: {tmp_path}/list_attr_celeba.txt: says 202599 images, and has 2 rows" in listing.sentences


def test_without_male_there_is_no_gender(tmp_path):
    listing = read_source(images(tables(tmp_path, names="Bald Young Smiling"), "000001.jpg"))
    assert dict(listing.records[0].labels) == {"attributes": b"\xff\x01\xff"}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("list_attr_celeba.txt", "\n".join(ROWS), "begins with '000001.jpg -1 1 -1', expected the number of images"),
        ("list_attr_celeba.txt", f"2\n{ROWS[0]}\n", "begins with '2', expected the number of images, then a line of"),
        ("list_attr_celeba.txt", "", "begins with '', expected the number of images, then a line of names"),
        ("list_attr_celeba.txt", "1\nMale Male\n000001.jpg 1 1\n", "line 2 has a name twice, expected each attribute"),
        ("list_attr_celeba.csv", "000001.jpg,1,-1\n", "begins with '000001.jpg 1 -1', expected a line of names"),
        ("list_attr_celeba.csv", f'image_id,Male\n"{"x" * 200_000}', "line 2 is no row of a table: field larger than"),
    ],
)
def test_an_attribute_file_of_another_form_is_refused(tmp_path, name, text, sentence):
    images(tmp_path, "000001.jpg")
    file = write(tmp_path, name, text.encode())
    with pytest.raises(FacetError, match=re.escape(f"{file}: {sentence}")):
        read_source(tmp_path)


def test_a_partition_of_another_form_is_refused(tmp_path):
    images(tables(tmp_path), "000001.jpg")
    file = write(tmp_path, "list_eval_partition.txt", b"000001.jpg 0\n000002.jpg\n")
    with pytest.raises(FacetError, match=re.escape(f"{file}: line 2 has 1 value, expected an image and a number")):
        read_source(tmp_path)


def test_trees_that_lack_a_half_say_which(tmp_path):
    with pytest.raises(FacetError, match=r"has no list_attr_celeba\.txt or \.csv, expected it beside CelebA's images"):
        read_source(images(tmp_path / "a", "000001.jpg"), "celeba")
    tables(plant(tmp_path / "b", ["000009.jpg"]))
    with pytest.raises(
        FacetError, match=r"none of its 1 images is in list_attr_celeba\.txt, expected img_align_celeba/"
    ):
        read_source(tmp_path / "b")


def test_the_attribute_file_alone_makes_no_celeba_of_class_folders(tmp_path):
    tables(plant(tmp_path, ["man/a.jpg", "woman/b.jpg"]))
    assert read_source(tmp_path).layout == "folders"


def test_the_real_cut_says_what_its_file_says(real_data):
    root = real_data("celeba")
    listing = read_source(root)
    names = (root / "list_attr_celeba.txt").read_text().splitlines()[1].split()
    table = np.loadtxt(root / "list_attr_celeba.txt", dtype=np.int8, skiprows=2, usecols=range(1, 41))
    found = np.frombuffer(b"".join(record.labels["attributes"] for record in listing.records), np.int8)
    assert listing.attribute_names == tuple(names)
    assert np.array_equal(found.reshape(-1, 40), table)
    male = np.array([record.labels["gender"] == 0 for record in listing.records])
    assert np.array_equal(male, table[:, names.index("Male")] == 1)
    assert (len(listing.records), listing.rejects, listing.official, listing.ignored) == (3000, (), False, 0)


def test_a_packed_file_holds_the_attributes_as_int8_with_their_names(sample_tree, packed):
    lines = (sample_tree("celeba", 60) / "list_attr_celeba.txt").read_text().splitlines()
    rows = {name: [int(value) for value in values] for name, *values in map(str.split, lines[2:])}
    with h5py.File(packed("celeba", count=60)) as file:
        dset, paths = file["labels/attributes"], file["path"][...]
        assert (dset.dtype, dset.shape) == (np.dtype(np.int8), (60, 40))
        assert list(dset.attrs) == ["names"]
        assert [name.decode() for name in dset.attrs["names"]] == lines[1].split()
        assert {
            path.decode().rpartition("/")[2]: values for path, values in zip(paths, dset[...].tolist(), strict=True)
        } == rows
        male = dset[:, lines[1].split().index("Male")] == 1
        assert np.array_equal(file["labels/gender"][...], np.where(male, 0, 1))


def test_the_reader_names_the_attributes(sample_tree, packed):
    names = (sample_tree("celeba", 60) / "list_attr_celeba.txt").read_text().splitlines()[1].split()
    with HDF5Reader(packed("celeba", count=60)) as reader:
        assert reader.class_names("attributes") == tuple(names)
        assert reader.class_names("gender") == ("male", "female")


def test_inspect_counts_what_the_attribute_file_says(facet, sample_tree, packed):
    _count, names, *rows = (sample_tree("celeba", 60) / "list_attr_celeba.txt").read_text().splitlines()
    yes = np.array([row.split()[1:] for row in rows]) == "1"
    answer = facet("inspect", packed("celeba", count=60), "--json")
    assert (answer.code, answer.stderr) == (0, "")
    found = json.loads(answer.stdout)["labels"]["attributes"]
    assert {name: counts["yes"] for name, counts in found.items()} == dict(
        zip(names.split(), yes.sum(axis=0), strict=True)
    )
    assert facet("inspect", packed("celeba", count=60)).code == 0
