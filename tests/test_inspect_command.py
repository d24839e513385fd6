import json
import shutil

import pytest
from rich.cells import cell_len
from trees import manifest

from hdf5_helper.inspecting.sentences import sentences
from hdf5_helper.inspecting.summary import summarize
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.reader import HDF5Reader


def test_inspect_prints_counts_by_split_and_label(packed, facet):
    file = packed("agegender", count=300, mess=True)
    answer = facet("inspect", file)
    lines = answer.stdout.splitlines()
    with HDF5Reader(file) as reader:
        values = summarize(reader)
    columns = [*values["splits"].values(), values]
    counts = "".join(f"{column['labels']['gender']['female']:>14,}" for column in columns)
    weights = values["balanced_weights"]["gender"]
    origins = "".join(f"{column['groups']['origin']['imdb']:>14,}" for column in columns)
    assert (answer.code, answer.stderr) == (0, "")
    assert lines[0].startswith(f"{file}: {values['examples']} examples, encoded storage, ")
    assert f"{'':<24}{'train':>14}{'validation':>14}{'test':>14}{'all':>14}" in lines
    assert f"{'gender female':<24}{counts}" in lines
    assert f"balanced weights of gender: male {weights['male']:.3f}, female {weights['female']:.3f}" in lines
    assert f"{'group origin imdb':<24}{origins}" in lines
    assert "1 byte-identical copy; 1 image in several splits (1 pair)" in lines
    assert f"{values['subjects']['persons']} persons; 1 in several splits" in lines
    seen = values["subjects"]["seen_before"]["test"]
    assert (
        f"warning: 1 person of test is in train or validation too: {seen['examples']} of its {seen['of']} examples"
        " show that person, so figures on test look too good"
    ) in lines
    assert lines[-1] == f"next: facet train {file} --run NAME --backbone mobilenet --weights imagenet"


def test_of_many_classes_and_groups_the_twenty_largest_are_printed(facet, tmp_path):
    sizes = {f"c{number:02d}": 1 + number % 5 for number in range(30)}
    names = [name for name, size in sizes.items() for _ in range(size)]
    rows = [{"path": f"{n}.png", "mood": name, "camera": f"k{name}"} for n, name in enumerate(names)]
    options = PackOptions(groups=("camera",), columns={"mood": "mood"}, split="1,0,0")
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "my file.h5", options)
    lines = facet("inspect", "my file.h5", cwd=tmp_path).stdout.splitlines()
    largest = sorted(sizes, key=lambda name: -sizes[name])[:20]
    assert [line.split() for line in lines if line.startswith("mood ")] == [
        ["mood", name, str(sizes[name]), str(sizes[name])] for name in largest
    ]
    assert "mood: … 10 more" in lines
    assert [line.split()[2] for line in lines if line.startswith("group camera k")] == [f"k{name}" for name in largest]
    assert "group camera: … 10 more" in lines
    rarest = sorted(sizes, key=lambda name: sizes[name])[:20]
    weights = [f"{name} {90 / (30 * sizes[name]):.3f}" for name in sizes if name in rarest]
    assert f"balanced weights of mood: {', '.join(weights)}, … 10 more" in lines
    assert lines[-1] == "next: facet train 'my file.h5' --run NAME --backbone mobilenet --weights imagenet"


def test_inspect_names_and_draws_what_is_on_two_sides_when_asked(packed, facet, tmp_path):
    file = packed("agegender", count=300, mess=True)
    answer = facet("inspect", file, "--duplicates", "--pairs", "pairs.png", cwd=tmp_path)
    lines = answer.stdout.splitlines()
    [copies] = [line for line in lines if " = " in line]
    assert [part.split("/")[1].split()[0] for part in copies.split(" = ")] == ["aligned", "valid"]
    assert copies.endswith(" (test)")
    assert len([line for line in lines if line.startswith("in several splits: ")]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.png"]
    assert "pairs.png: " in lines[-2]


def test_pairs_are_drawn_beside_the_file_where_no_other_place_is_given(packed, facet, tmp_path):
    shutil.copy(packed("agegender", count=300, mess=True), tmp_path / "f.h5")
    before = (tmp_path / "f.h5").read_bytes()
    assert facet("inspect", "f.h5", "--duplicates", cwd=tmp_path).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.h5", "f.h5.duplicates.png"]
    assert (tmp_path / "f.h5").read_bytes() == before


def test_json_is_the_summary_and_nothing_else(packed, facet, tmp_path):
    file = packed("manifest", groups=("camera",))
    answer = facet("inspect", file, "--json", "--grid", "grid.png", cwd=tmp_path)
    with HDF5Reader(file) as reader:
        expected = {**summarize(reader), "grid": {"path": "grid.png", "examples": 48}}
    assert json.loads(answer.stdout) == json.loads(json.dumps(expected))
    assert sorted(expected["groups"]["camera"]) == ["phone", "studio", "unknown", "webcam"]
    assert answer.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--grid", "faces.jpg"), "--grid faces.jpg: expected a name that ends in .png"),
        (("--pairs", "pairs"), "--pairs pairs: expected a name that ends in .png"),
        (("--grid", "no/a.png"), "--grid no/a.png: cannot be written there, expected a name in a folder that can be"),
    ],
)
def test_a_picture_that_cannot_be_is_refused_before_anything_is_looked_at(packed, facet, tmp_path, options, sentence):
    shutil.copy(packed("agegender", count=300, mess=True), tmp_path / "f.h5")
    answer = facet("inspect", "f.h5", "--duplicates", *options, cwd=tmp_path)
    assert (answer.code, answer.stdout, answer.stderr) == (1, "", f"facet: {sentence}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


@pytest.mark.parametrize("name", ["Wearing_" + 5 * "Very_" + "Long_Necklace", "日本語の属性の名前です", "Cafe\u0301"])
def test_columns_are_as_wide_as_their_widest_cell_whatever_classes_are_called(packed, name):
    with HDF5Reader(packed("agegender")) as reader:
        values = summarize(reader)
    for column in (*values["splits"].values(), values):
        column["labels"]["attributes"] = {name: {"yes": 12_345_678_901, "no": 1, "unknown": 0}}
    lines = sentences(values)
    table = [line for line in lines if line.startswith((" ", "examples", "gender", "attributes"))]
    assert len(table) == 5
    assert {cell_len(line) for line in table} == {cell_len(table[0])}
    assert len({cell_len(line[: line.index("12,")]) for line in table if "12," in line}) == 1


def test_cells_of_wide_letters_end_where_their_columns_end(packed):
    with HDF5Reader(packed("agegender")) as reader:
        values = summarize(reader)
    values["splits"] = {"日本語の属性" + name: found for name, found in values["splits"].items()}
    head, *rows = [line for line in sentences(values) if line.startswith((" ", "examples", "gender"))]
    ends = {cell_len(line[: line.rindex(line.split()[-2]) + len(line.split()[-2])]) for line in (head, *rows)}
    assert "日本語の属性train" in head
    assert len(ends) == 1
    assert {cell_len(head)} == {cell_len(row) for row in rows}


def test_what_is_no_packed_file_is_one_sentence(facet, tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5 here")
    for name in ("text.h5", "missing.h5"):
        answer = facet("inspect", name, "--grid", "grid.png", cwd=tmp_path)
        assert (answer.code, answer.stdout) == (1, "")
        assert answer.stderr.startswith(f"facet: {name}: ")
        assert answer.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["text.h5"]
