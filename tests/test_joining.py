"""Several sources in one file."""

from pathlib import Path

import numpy as np
import pytest
from trees import agegender_paths, left_in, manifest, plant

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.joining import joined
from hdf5_helper.packing.packer import PackOptions, pack, write_pack
from hdf5_helper.packing.repack import RepackOptions, repack_plan
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.sources.records import Listing, Record
from hdf5_helper.wording import own_names

AFAD = [f"{18 + person % 20}/{111 + person % 2}/{person:05d}-{number}.jpg" for person in range(40) for number in (0, 1)]


@pytest.fixture
def sources(tmp_path):
    faces = plant(tmp_path / "faces", agegender_paths(30))
    return faces, plant(tmp_path / "AFAD", AFAD)


def test_paths_begin_with_the_name_of_their_source_which_is_a_group(sources, tmp_path):
    report = pack(sources, tmp_path / "both.h5")
    assert (report.examples, report.layout) == (140, "agegender+afad")
    with HDF5Reader(tmp_path / "both.h5") as both:
        assert sorted(both.paths) == sorted(
            [f"faces/{path}" for path in agegender_paths(30)] + [f"AFAD/{path}" for path in AFAD]
        )
        named = np.array(both.group_names("source"))[both.group("source")]
        assert [path.split("/")[0] for path in both.paths] == named.tolist()


def test_a_source_with_a_split_of_its_own_keeps_it_and_the_others_are_dealt(sources, tmp_path):
    pack(sources, tmp_path / "both.h5")
    pack(sources[:1], tmp_path / "one.h5")
    with HDF5Reader(tmp_path / "both.h5") as both:
        assert both.attributes["split"] == "official and 0.64,0.16,0.2 by subject"
        with HDF5Reader(tmp_path / "one.h5") as one:
            tested = {f"faces/{one.paths[row]}" for row in one.split("test")}
        found = {both.paths[row] for row in both.split("test")}
        assert {path for path in found if path.startswith("faces/")} == tested
        assert 12 <= sum(both.paths[row].startswith("AFAD/") for row in both.split("test")) <= 20


def test_persons_of_two_parts_of_one_collection_are_the_same_and_stay_on_one_side(tmp_path):
    parts = [plant(tmp_path / name, [path for path in AFAD if path.endswith(f"-{name}.jpg")]) for name in "01"]
    pack(parts, tmp_path / "both.h5")
    with HDF5Reader(tmp_path / "both.h5") as both:
        assert len(both.subject_names) == 40
        sides = [set(both.subjects[both.split(name)].tolist()) for name in ("train", "validation", "test")]
        assert sum(map(len, sides)) == 40


def test_persons_of_two_tables_are_not_the_same_whatever_their_names(tmp_path):
    rows = [{"path": f"{number}.png", "age": number, "subject": number} for number in range(10)]
    parts = [manifest(tmp_path / name, rows) for name in ("a", "b")]
    pack(parts, tmp_path / "both.h5")
    with HDF5Reader(tmp_path / "both.h5") as both:
        assert len(both.subject_names) == 20


def test_an_option_of_one_source_holds_for_it_alone(sources, tmp_path):
    rows = [{"path": f"{number}.png", "age": number, "camera": "xy"[number % 2]} for number in range(10)]
    pack([sources[0], manifest(tmp_path / "t", rows)], tmp_path / "both.h5", PackOptions(groups=("camera",)))
    with HDF5Reader(tmp_path / "both.h5") as both:
        assert both.groups == ("camera", "origin", "source")


def test_images_that_are_in_several_sources_are_told(sources, tmp_path):
    copy = plant(tmp_path / "copy", AFAD[:10])
    report = pack([sources[1], copy], tmp_path / "both.h5")
    different = len({path[-7:] for path in AFAD[:10]})
    assert report.in_several_sources == different
    assert f"warning: {different} images are byte for byte in more than one source; all copies are kept" in (
        report.sentences()
    )


def test_the_order_of_workers_and_a_second_time_change_nothing(sources, tmp_path):
    pack(sources, tmp_path / "a.h5")
    pack(sources, tmp_path / "b.h5", PackOptions(workers=3))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_rejects_are_listed_under_the_name_of_their_source(sources, tmp_path):
    (sources[1] / "20/111/bad-0.jpg").write_bytes(b"x")
    report = pack(sources, tmp_path / "both.h5")
    assert [path for path, _reason in report.rejects] == ["AFAD/20/111/bad-0.jpg"]
    assert left_in(tmp_path) == ["both.h5", "both.h5.rejects.csv"]


def test_a_source_that_cannot_be_read_is_named(sources, tmp_path):
    with pytest.raises(FacetError, match="nowhere: no such folder, expected a tree of labelled images"):
        pack([sources[0], tmp_path / "nowhere"], tmp_path / "both.h5")


def test_the_source_whose_attributes_differ_is_named():
    places = [Path("a.h5"), Path("b.h5"), Path("c.h5"), Path("d.h5")]
    attributes = [(), ("Bald", "Smiling"), ("Smiling", "Bald"), ()]
    listings = [Listing("celeba", (), attribute_names=names) for names in attributes]
    with pytest.raises(FacetError) as error:
        joined(places, listings)
    assert str(error.value) == "c.h5: has other attributes than b.h5, expected the same, in the same order"


def test_records_of_the_same_groups_and_persons_share_them():
    records = tuple(Record(f"{number}.png", {"age": 3}, f"p{number % 2}", {"race": "x"}) for number in range(6))
    (part, prefix), _other = joined([Path("a"), Path("b")], [Listing("manifest", records), Listing("manifest", ())])
    assert (prefix, part.records[3].path, part.records[3].subject) == ("a/", "a/3.png", "a/p1")
    assert part.records[3].groups == {"source": "a", "race": "x"}
    assert len({id(record.groups) for record in part.records}) == 1
    assert len({id(record.subject) for record in part.records}) == 2


def test_equal_names_of_sources_get_numbers():
    assert own_names(["faces", "more", "faces", "faces", "faces-2"]) == [
        "faces",
        "more",
        "faces-2",
        "faces-3",
        "faces-2-2",
    ]


def test_two_packed_parts_of_one_collection_that_keep_their_sides_say_who_is_on_two(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        part = [path for path in AFAD if path.endswith(f"-{'01'['ab'.index(name)]}.jpg")]
        pack([plant(tmp_path / name, part)], tmp_path / f"{name}.h5", PackOptions(seed=seed))
    with repack_plan([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5", RepackOptions()) as plan:
        assert any(line.endswith("to deal all sources together") for line in plan.sentences())
    dealt = RepackOptions(split="0.5,0.2,0.3")
    with repack_plan([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5", dealt) as plan:
        assert not any("two sides" in line for line in plan.sentences())


def test_a_fold_of_sources_without_folds_is_refused(sources, tmp_path):
    with pytest.raises(FacetError, match=r"--fold 1: layout agegender and afad has no folds here, expected no --fold"):
        pack(sources, tmp_path / "both.h5", PackOptions(fold=1))


def test_persons_of_one_collection_stay_the_same_when_a_file_of_several_parts_is_merged_again(tmp_path):
    parts = [plant(tmp_path / name, [path for path in AFAD if path.endswith(f"-{name}.jpg")]) for name in "01"]
    pack(parts, tmp_path / "both.h5")
    pack(parts[:1], tmp_path / "first.h5")
    with repack_plan([tmp_path / "both.h5", tmp_path / "first.h5"], tmp_path / "all.h5", RepackOptions()) as plan:
        write_pack(plan)
    with HDF5Reader(tmp_path / "both.h5") as both, HDF5Reader(tmp_path / "all.h5") as everything:
        assert everything.subject_names == both.subject_names
