"""Packed files into one new one."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from trees import agegender_paths, encoded, left_in, manifest, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.executors import WorkersLostError
from hdf5_helper.packing.leftovers import held_journal, refuse_other
from hdf5_helper.packing.packed_origin import list_packed
from hdf5_helper.packing.packer import PackOptions, PackReport, pack, write_pack
from hdf5_helper.packing.repack import RepackOptions, repack_plan
from hdf5_helper.reading.reader import HDF5Reader
from scripts.console import Console
from scripts.packing import carry_out


def repack(sources, target, **options) -> PackReport:
    with repack_plan(sources, target, RepackOptions(**options)) as plan:
        return write_pack(plan)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    pack([plant(folder / "tree", agegender_paths(60))], folder / "faces.h5", PackOptions(seed=7))
    return folder / "faces.h5"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Three classes, one of them unknown somewhere, a group, folds, persons."""
    folder = tmp_path_factory.mktemp("table")
    rows = [
        {
            "path": f"{number}.png",
            "mood": ["zany", "calm", ""][number % 3],
            "age": 10 + number,
            "race": ["b", "a", ""][number % 3],
            "subject": number // 2,
            "fold": number % 5,
        }
        for number in range(30)
    ]
    pack([manifest(folder / "tree", rows)], folder / "table.h5")
    return folder / "table.h5"


@pytest.mark.parametrize("storage", ["encoded", "raw"])
def test_a_repack_that_changes_nothing_gives_the_same_bytes(faces, tmp_path, storage):
    pack([faces.parent / "tree"], tmp_path / "a.h5", PackOptions(storage=storage, fraction=0.9, seed=3, fit="crop"))
    repack([tmp_path / "a.h5"], tmp_path / "b.h5")
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "a.h5").read_bytes()
    assert left_in(tmp_path) == ["a.h5", "b.h5"]


def test_a_repack_of_a_manifest_keeps_classes_groups_folds_and_persons(table, tmp_path):
    repack([table], tmp_path / "b.h5")
    assert (tmp_path / "b.h5").read_bytes() == table.read_bytes()


def test_a_filter_gives_the_pack_of_the_tree_without_the_others(faces, tmp_path):
    paths = [path for path in agegender_paths(60) if "_F/" in path]
    pack([plant(tmp_path / "women", paths)], tmp_path / "women.h5", PackOptions(seed=7))
    repack([faces], tmp_path / "filtered.h5", where="gender == female", split="official")
    assert (tmp_path / "filtered.h5").read_bytes() == (tmp_path / "women.h5").read_bytes()


def test_a_new_split_is_that_of_packing_with_it(table, tmp_path):
    pack([table.parent / "tree"], tmp_path / "a.h5", PackOptions(split="0.5,0.2,0.3"))
    repack([table], tmp_path / "b.h5", split="0.5,0.2,0.3")
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "a.h5").read_bytes()


@pytest.mark.parametrize("options", [{"storage": "raw", "image_size": (24, 20)}, {"max_size": 20}], ids=repr)
def test_another_storage_is_that_of_packing_with_it(faces, tmp_path, options):
    pack([faces.parent / "tree"], tmp_path / "a.h5", PackOptions(seed=7, **options))
    repack([faces], tmp_path / "b.h5", **options)
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "a.h5").read_bytes()


def test_pixels_become_png_files_that_hold_them(faces, tmp_path):
    repack([faces], tmp_path / "raw.h5", storage="raw", image_size=(24, 20))
    repack([tmp_path / "raw.h5"], tmp_path / "png.h5", storage="encoded")
    with HDF5Reader(tmp_path / "raw.h5") as raw, HDF5Reader(tmp_path / "png.h5") as png:
        assert png.storage == "encoded"
        np.testing.assert_array_equal(png.read(range(len(png))), raw.read(range(len(raw))))


def test_corrected_labels_are_taken_and_others_stay(table, tmp_path):
    write(tmp_path, "fixes.csv", b"path,age,mood\n3.png,11,\n4.png,,zany\n")
    repack([table], tmp_path / "b.h5", labels=tmp_path / "fixes.csv")
    with HDF5Reader(table) as old, HDF5Reader(tmp_path / "b.h5") as new:
        rows = [new.paths.index(path) for path in old.paths]
        ages, moods = old.labels("age").copy(), old.labels("mood").copy()
        ages[old.paths.index("3.png")] = 11
        moods[old.paths.index("4.png")] = old.class_names("mood").index("zany")
        np.testing.assert_array_equal(new.labels("age")[rows], ages)
        np.testing.assert_array_equal(new.labels("mood")[rows], moods)
        assert new.labels("age_group")[rows][old.paths.index("3.png")] == 2
        assert new.images_digest == old.images_digest


def test_several_files_become_one(faces, table, tmp_path):
    report = repack([faces, table], tmp_path / "both.h5")
    with HDF5Reader(tmp_path / "both.h5", image_size=(40, 32)) as both, HDF5Reader(faces) as first:
        assert report.examples == len(both) == 150
        assert both.attributes["layout"] == "agegender+manifest"
        assert both.group_names("source") == ("faces", "table")
        assert both.class_names("mood") == ("calm", "zany")
        where = both.paths.index(f"faces/{first.paths[5]}")
        np.testing.assert_array_equal(both.read([where]), first.read([5]))
        assert both.labels("gender")[both.paths.index("table/3.png")] == 255


def test_copies_in_several_files_are_told(table, tmp_path):
    repack([table], tmp_path / "some.h5", limit=10)
    report = repack([table, tmp_path / "some.h5"], tmp_path / "both.h5")
    assert report.in_several_sources == 10
    assert "warning: 10 images are byte for byte in more than one source; all copies are kept" in report.sentences()


def test_damaged_examples_are_left_out_and_listed(faces, tmp_path):
    damaged = tmp_path / "damaged.h5"
    data = bytearray(faces.read_bytes())
    with HDF5Reader(faces) as reader, h5py.File(faces) as file:
        path = reader.paths[8]
        offset = file["encoded/bytes"].id.get_chunk_info(0).byte_offset + int(file["encoded/offset"][8])
    data[offset + 300] ^= 1
    damaged.write_bytes(data)
    report = repack([damaged], tmp_path / "mended.h5")
    assert report.rejects == ((path, "its bytes do not match their checksum"),)
    (tmp_path / "tree").mkdir()
    plant(tmp_path / "tree", [other for other in agegender_paths(60) if other != path])
    pack([tmp_path / "tree"], tmp_path / "without.h5", PackOptions(seed=7))
    assert (tmp_path / "mended.h5").read_bytes() == (tmp_path / "without.h5").read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"where": "agee > 3"}, "--where 'agee > 3': agee is no column, expected one of age, age_group, fold, gender"),
        ({"where": "age >"}, "--where 'age >': is no condition, expected one such as age >= 16 and gender == female"),
        ({"where": "age > 200"}, "faces.h5 meets it"),
        ({"labels": "nothing.csv"}, "--labels nothing.csv: no such file, expected a CSV file with a column path"),
        ({"storage": "rar"}, "--storage 'rar': expected one of encoded, raw"),
        ({"split": "official", "fold": 1}, "--fold 1: layout agegender has no folds here, expected no --fold"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(faces, tmp_path, options, sentence):
    given = {name: Path(value) if name == "labels" else value for name, value in options.items()}
    with pytest.raises(FacetError) as error:
        repack([faces], tmp_path / "b.h5", **given)
    assert sentence in str(error.value)
    assert left_in(tmp_path) == []


def test_a_fix_of_an_image_that_is_not_there_is_refused(faces, tmp_path):
    write(tmp_path, "fixes.csv", b"path,age\nnobody.jpg,11\n")
    with pytest.raises(FacetError, match=r"fixes.csv: line 2: no example has the path 'nobody.jpg', expected one such"):
        repack([faces], tmp_path / "b.h5", labels=tmp_path / "fixes.csv")


def test_the_files_that_are_read_are_never_written(faces):
    with pytest.raises(FacetError, match="is one of the files to read, expected a new name"):
        repack([faces], faces, overwrite=True)


def test_files_of_different_storage_need_a_word(faces, tmp_path):
    repack([faces], tmp_path / "raw.h5", storage="raw", image_size=(24, 20))
    with pytest.raises(FacetError, match="--storage: the files have encoded and raw, expected --storage to say"):
        repack([faces, tmp_path / "raw.h5"], tmp_path / "b.h5")


def test_the_command_makes_the_file_and_says_so(facet, faces, tmp_path):
    done = facet("repack", faces, "women.h5", "--where", "gender == female", cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == f"{faces}: 120 examples, encoded storage; 60 meet --where 'gender == female'"
    assert done.stdout.splitlines()[-1] == "next: facet inspect women.h5"
    assert left_in(tmp_path) == ["women.h5"]


def test_with_json_the_corrected_examples_are_counted(facet, table, tmp_path):
    write(tmp_path, "fixes.csv", b"path,age\n3.png,11\n4.png,14\n")
    done = facet("repack", table, "b.h5", "--labels", "fixes.csv", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["corrected"] == 1
    assert "fixes.csv: 1 example corrected, 1 had these labels already" in done.stderr.splitlines()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "b.h5: is not written, and the same command begins anew"),
        ({"storage": "raw"}, "b.h5: what is written so far is kept, and the same command goes on with it"),
    ],
    ids=["copied", "decoded"],
)
def test_an_interrupted_repack_says_whether_it_goes_on(faces, tmp_path, options, sentence, capsys):
    class Interrupted(Console):
        def start(self, *_stage: object, **_done: object) -> None:
            raise KeyboardInterrupt

    target = tmp_path / "b.h5"
    with (
        pytest.raises(KeyboardInterrupt),
        repack_plan([faces], target, RepackOptions(**options)) as plan,
        Interrupted() as console,
    ):
        carry_out(console, plan, dry_run=False)
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path}/{sentence}"


@pytest.mark.parametrize(
    ("options", "then"),
    [({}, "begins anew"), ({"storage": "raw"}, "goes on where it stopped")],
    ids=["copied", "decoded"],
)
def test_a_repack_that_lost_its_workers_says_whether_it_goes_on(faces, tmp_path, options, then):
    given = RepackOptions(**options)
    with (
        repack_plan([faces], tmp_path / "b.h5", given) as plan,
        pytest.raises(FacetError, match=f"the cluster is gone; the same command {then}$"),
        held_journal(plan),
    ):
        raise WorkersLostError("the cluster is gone")


def test_an_interrupted_pack_that_differs_in_no_option_may_be_of_another_version(tmp_path):
    was, now = ({"options": {"seed": 0}, "survey": digest} for digest in ("12", "34"))
    with pytest.raises(FacetError) as error:
        refuse_other(tmp_path / "b.h5", now, was)
    assert str(error.value) == (
        f"{tmp_path / 'b.h5'}: an interrupted pack of it was begun with images or labels that have changed since,"
        " or by another version of Facet; expected the same as then, or --overwrite to begin anew"
    )


def test_pixels_keep_the_fit_that_made_them(faces, tmp_path):
    repack([faces], tmp_path / "raw.h5", storage="raw", image_size=(24, 20), fit="crop")
    with pytest.raises(FacetError, match="--fit pad: pixels were brought to size by crop already, expected no --fit"):
        repack([tmp_path / "raw.h5"], tmp_path / "b.h5", fit="pad")
    repack([faces], tmp_path / "other.h5", storage="raw", image_size=(24, 20), fit="pad")
    with pytest.raises(FacetError, match="--fit: the files have crop and pad, expected"):
        repack([tmp_path / "raw.h5", tmp_path / "other.h5"], tmp_path / "b.h5")


def fixed(source, folder, text, **options):
    """Repacks with fixes; gives the report, and labels, groups and subject by path."""
    write(folder, "fixes.csv", text)
    with repack_plan([source], folder / "fixed.h5", RepackOptions(labels=folder / "fixes.csv", **options)) as plan:
        write_pack(plan)
        said = plan.sentences()
    with HDF5Reader(folder / "fixed.h5") as reader:
        records = {record.path: record for record in list_packed(reader).records}
    return records, said


@pytest.mark.parametrize("separator", [";", "\t", ","], ids=["semicolon", "tab", "comma"])
def test_fixes_may_be_separated_and_written_as_manifests_may(faces, tmp_path, separator):
    path = agegender_paths(60)[0]
    lines = ["Path", "AGE", "subject"], [f" {path} ".replace("/", "\\"), "11", ""]
    text = "\ufeff" + "\r\n".join(separator.join(line) for line in lines)
    records, _said = fixed(faces, tmp_path, text.encode())
    assert records[path].labels == {"age": 11.0, "age_group": 2, "gender": 1}


def test_a_fix_of_subject_and_group_alone_needs_no_label(table, tmp_path):
    records, _said = fixed(table, tmp_path, b"path,subject,race\n3.png,ann,c\n")
    assert (records["3.png"].subject, records["3.png"].groups["race"]) == ("ann", "c")
    assert records["3.png"].labels == {"age": 13.0, "age_group": 2, "mood": "zany"}


def test_the_word_unknown_makes_unknown(table, tmp_path):
    text = b"path,age,mood,race,subject\n3.png,unknown,,Unknown,\n4.png,,unknown,,unknown\n"
    records, _said = fixed(table, tmp_path, text)
    third, fourth = records["3.png"], records["4.png"]
    assert (third.labels, third.groups, third.subject) == ({"mood": "zany"}, {}, "1")
    assert (fourth.labels, fourth.groups, fourth.subject) == ({"age": 14.0}, {"race": "a"}, None)


def test_a_class_that_is_called_unknown_is_taken_for_itself(tmp_path):
    rows = [{"path": f"{number}.png", "kind": ["cat", "dog", "unknown"][number % 3]} for number in range(9)]
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "a.h5")
    records, _said = fixed(tmp_path / "a.h5", tmp_path, b"path,kind\n0.png,unknown\n")
    assert records["0.png"].labels == {"kind": "unknown"}


def test_gender_age_and_age_group_may_be_added_where_there_were_none(tmp_path):
    rows = [{"path": f"{number}.png", "mood": ["zany", "calm"][number % 2]} for number in range(9)]
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "a.h5")
    records, _said = fixed(tmp_path / "a.h5", tmp_path, b"path,gender,age,age_group\n3.png,f,30,\n4.png,,,25-32\n")
    assert records["3.png"].labels == {"mood": "calm", "gender": 1, "age": 30.0, "age_group": 4}
    assert records["4.png"].labels == {"mood": "zany", "age_group": 4}
    assert records["5.png"].labels == {"mood": "calm"}


def test_what_was_corrected_is_counted(table, tmp_path):
    text = b"path,age,race\n3.png,11,\n4.png,14,a\n5.png,15,b\n20.png,9,\n"
    _records, said = fixed(table, tmp_path, text, where="age < 30")
    assert f"{tmp_path / 'fixes.csv'}: 2 examples corrected, 1 had these labels already, 1 not kept" in said


def test_a_fix_of_empty_values_alone_is_not_counted(table, tmp_path):
    text = b"path,age,race\n3.png,11,\n6.png,,\n9.png,,\n25.png,,\n"
    _records, said = fixed(table, tmp_path, text, where="age < 30")
    assert f"{tmp_path / 'fixes.csv'}: 1 example corrected" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            b"path,age,split,fold,note\n3.png,1,test,1,x\n",
            "cannot correct split, fold, note, expected a column path and",
        ),
        (b"path,attributes\n3.png,1\n", "cannot correct attributes, expected a column path and any of age, age_group,"),
        (b"file,age\n3.png,1\n", "has no column 'path', expected one beside the labels to correct"),
        (b"path,age,Age\n3.png,1,2\n", "has two columns 'age', expected one"),
        (b"path,age\n3.png,old\n", "line 2: age 'old': expected years from 0 to 130"),
        (b"path,gender\n4.png,\n3.png,W?\n", "line 3: gender 'W?': expected male, female or unknown"),
        (b"path,age\n3.png,3\n3.png,4\n", "line 3: the path '3.png' is there more than once, expected one line each"),
        (b"", "has no column 'path', expected one beside the labels to correct"),
    ],
)
def test_fixes_that_cannot_be_taken_are_one_sentence(table, tmp_path, text, sentence):
    write(tmp_path, "fixes.csv", text)
    with pytest.raises(FacetError) as error:
        repack([table], tmp_path / "b.h5", labels=tmp_path / "fixes.csv")
    assert str(error.value).startswith(f"--labels {tmp_path / 'fixes.csv'}: {sentence}")
    assert left_in(tmp_path) == ["fixes.csv"]


def test_a_random_split_is_not_called_official(faces, table, tmp_path):
    repack([faces], tmp_path / "dealt.h5", split="0.5,0.2,0.3")
    with pytest.raises(FacetError) as error:
        repack([tmp_path / "dealt.h5"], tmp_path / "b.h5", split="official")
    assert str(error.value) == (
        f"--split official: {tmp_path / 'dealt.h5'} has the split 0.5,0.2,0.3 by subject,"
        " expected no --split, which keeps it, or parts such as 0.64,0.16,0.2"
    )
    repack([table], tmp_path / "folds.h5", split="official")
    assert (tmp_path / "folds.h5").read_bytes() == table.read_bytes()


def test_examples_with_the_same_labels_share_them(faces):
    with HDF5Reader(faces) as reader:
        records = list_packed(reader).records
    assert len({id(record.labels) for record in records}) == len({tuple(record.labels.items()) for record in records})
    assert len({id(record.groups) for record in records}) == len({tuple(record.groups.items()) for record in records})


def test_a_fix_of_a_path_that_is_in_two_files_is_refused(faces, table, tmp_path):
    write(tmp_path, "fixes.csv", b"path,age\n3.png,11\n")
    repack([table], tmp_path / "copy.h5")
    with pytest.raises(FacetError, match=r"the path '3.png' is in several of the files, expected each by itself"):
        repack([table, tmp_path / "copy.h5"], tmp_path / "b.h5", labels=tmp_path / "fixes.csv")


def test_tall_and_narrow_noise_has_room_as_png(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6000, 3, 3), dtype=np.uint8)
    tree = manifest(tmp_path / "t", [{"path": f"{n}.png", "age": n} for n in range(3)])
    for number in range(3):
        write(tree, f"{number}.png", encoded(image, ".png"))
    pack([tree], tmp_path / "raw.h5", PackOptions(storage="raw", image_size=(6000, 3)))
    repack([tmp_path / "raw.h5"], tmp_path / "png.h5", storage="encoded")
    with HDF5Reader(tmp_path / "png.h5") as png:
        np.testing.assert_array_equal(png.read([0])[0], image)


def test_a_file_in_another_order_is_not_synchronized_image_by_image(faces, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("hdf5_helper.packing.relayout.os.fsync", calls.append)
    repack([faces], tmp_path / "b.h5", seed=9, split="0.5,0.25,0.25")
    assert len(calls) <= 4
