import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from trees import left_in, manifest, picture, write

from hdf5_helper.errors import FacetError
from hdf5_helper.inspecting import near_duplicates
from hdf5_helper.inspecting.grid import write_pairs
from hdf5_helper.inspecting.leaks import name_leaks
from hdf5_helper.inspecting.near_duplicates import find_near_duplicates
from hdf5_helper.inspecting.perceptual import print_images
from hdf5_helper.inspecting.sentences import sentences
from hdf5_helper.inspecting.summary import summarize
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
from hdf5_helper.reading.reader import HDF5Reader


class Watcher(Silent):
    """Keeps what it is told: [stage, total, done]."""

    def __init__(self):
        self.stages = []

    def start(self, what, total, *, done=0):
        self.stages.append([what, total, done])

    def advance(self, count, note=""):  # noqa: ARG002
        self.stages[-1][2] += count


def planted(folder, storage="encoded"):
    """Twelve pictures: 10 is 0 saved again, in test; 11 is 1 made smaller, in validation; 8, in test, is 2."""
    splits = ["train"] * 7 + ["validation", "test", "test", "test", "validation"]
    manifest(folder, [{"path": f"{n}.jpg", "age": 20 + n, "split": split} for n, split in enumerate(splits)])
    faces = [cv2.resize(picture(n, 7, 7), (96, 96), interpolation=cv2.INTER_CUBIC)[..., ::-1] for n in range(10)]
    faces = [cv2.add(face, texture(n)) for n, face in enumerate(faces)]
    for number, face in enumerate(faces):
        write(folder, f"{number}.jpg", cv2.imencode(".jpg", face)[1].tobytes())
    write(folder, "10.jpg", cv2.imencode(".jpg", faces[0], [cv2.IMWRITE_JPEG_QUALITY, 25])[1].tobytes())
    write(folder, "11.jpg", cv2.imencode(".jpg", cv2.resize(faces[1], (48, 48)))[1].tobytes())
    shutil.copy(folder / "2.jpg", folder / "8.jpg")
    size = (64, 64) if storage == "raw" else None
    pack([folder], folder / "f.h5", PackOptions(storage=storage, image_size=size))
    return folder / "f.h5"


def texture(number):
    return cv2.resize(np.random.default_rng(number).integers(0, 120, (8, 8, 3), dtype=np.uint8), (96, 96))


@pytest.mark.parametrize("storage", ["encoded", "raw"])
def test_what_was_saved_again_or_made_smaller_is_found_across_splits_and_the_rest_is_not(storage, tmp_path):
    file = planted(tmp_path, storage)
    watcher = Watcher()
    with HDF5Reader(file) as reader:
        near = find_near_duplicates(reader, watcher)
        pairs = [{reader.paths[row] for row in pair.rows} for pair in near.pairs]
    assert (near.pairs_left_out, near.images_left_out) == (0, 0)
    assert sorted(map(sorted, pairs)) == [["0.jpg", "10.jpg"], ["1.jpg", "11.jpg"]]
    assert watcher.stages[0] == ["looking at images", 12, 12]
    assert watcher.stages[1][0] == "comparing images across splits"
    assert watcher.stages[1][1] == watcher.stages[1][2] > 0


@pytest.mark.parametrize("storage", ["encoded", "raw"])
def test_a_file_that_asks_for_channels_first_is_looked_at_and_drawn_like_any_other(storage, packed, tmp_path):
    options = {"count": 60, "storage": storage, "image_size": (48, 48)}
    files = [packed("agegender", **options), packed("agegender", **options, attributes={"channels_first": 1})]
    prints = [print_images(file, Silent()) for file in files]
    assert np.array_equal(prints[0].hashes, prints[1].hashes)
    assert np.array_equal(prints[0].thumbnails, prints[1].thumbnails)
    for number, file in enumerate(files):
        write_pairs(file, tmp_path / f"{number}.png", [(0, 1), (2, 3)])
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()


def test_the_index_over_hashes_finds_what_comparing_all_finds(tmp_path, monkeypatch):
    file = planted(tmp_path)
    with HDF5Reader(file) as reader:
        compared = find_near_duplicates(reader, Silent())
        monkeypatch.setattr(near_duplicates, "MOST_COMPARED", 0)
        assert find_near_duplicates(reader, Silent()) == compared
    assert len(compared.pairs) == 2


def test_prints_do_not_depend_on_how_many_threads_look(packed, monkeypatch):
    file = packed("agegender", count=300)
    many = print_images(file, Silent())
    monkeypatch.setattr("hdf5_helper.inspecting.perceptual.available_cores", lambda: 1)
    one = print_images(file, Silent())
    assert np.array_equal(many.hashes, one.hashes)
    assert np.array_equal(many.thumbnails, one.thumbnails)


def test_leaks_are_named_with_their_splits_and_drawn_and_the_file_stays_as_it_is(tmp_path):
    file = planted(tmp_path)
    before = file.read_bytes()
    with HDF5Reader(file) as reader:
        values = summarize(reader)
        name_leaks(reader, values, tmp_path / "pairs.png", Silent())
    assert file.read_bytes() == before
    assert values["duplicates"]["listed"] == [[{"path": "2.jpg", "split": "train"}, {"path": "8.jpg", "split": "test"}]]
    near = values["near_duplicates"]
    assert (near["distance"], near["likeness"]) == (6, 0.84)
    assert sorted([example["path"], example["split"]] for pair in near["pairs"] for example in pair["examples"]) == [
        ["0.jpg", "train"],
        ["1.jpg", "train"],
        ["10.jpg", "test"],
        ["11.jpg", "validation"],
    ]
    assert all(pair["likeness"] >= 0.84 and pair["distance"] <= 6 for pair in near["pairs"])
    assert values["pairs_picture"] == {"path": str(tmp_path / "pairs.png"), "pairs": 3}
    assert left_in(tmp_path)[-3:] == ["f.h5", "manifest.csv", "pairs.png"]


def test_a_pair_is_drawn_side_by_side_the_identical_ones_first(tmp_path):
    file = planted(tmp_path)
    with HDF5Reader(file) as reader:
        name_leaks(reader, summarize(reader), tmp_path / "pairs.png", Silent())
    sheet = np.asarray(Image.open(tmp_path / "pairs.png"), float)
    assert sheet.shape == (162, 6 * 128 + 2 * 12, 3)
    cells = [sheet[:128, left : left + 128] for left in (0, 128, 268, 396, 536, 664)]
    original = np.asarray(Image.open(tmp_path / "2.jpg").resize((128, 128)), float)
    assert np.array_equal(cells[0], cells[1])
    assert np.abs(cells[0] - original).mean() < 5
    assert max(np.abs(cells[2] - cells[3]).mean(), np.abs(cells[4] - cells[5]).mean()) < 8


def test_where_nothing_leaks_no_picture_is_made(tmp_path):
    rows = [{"path": f"{n}.png", "age": n, "split": split} for n, split in enumerate(["train", "test"])]
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "f.h5")
    with HDF5Reader(tmp_path / "f.h5") as reader:
        values = summarize(reader)
        name_leaks(reader, values, tmp_path / "pairs.png", Silent())
    assert values["pairs_picture"] is None
    assert values["near_duplicates"]["pairs"] == []
    assert left_in(tmp_path) == ["f.h5"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pairs.jpg", "expected a name that ends in .png"),
        (
            "nowhere/pairs.png",
            r"--pairs .*pairs\.png: cannot be written there, expected a name in a folder that can be",
        ),
        ("folder.png", "is a folder, expected the name of a picture"),
    ],
)
def test_a_picture_that_cannot_be_is_refused_before_any_image_is_read(name, sentence, tmp_path):
    watcher = Watcher()
    (tmp_path / "folder.png").mkdir()
    with HDF5Reader(planted(tmp_path)) as reader, pytest.raises(FacetError, match=sentence):
        name_leaks(reader, summarize(reader), tmp_path / name, watcher)
    assert watcher.stages == []


def test_a_picture_that_nobody_named_and_that_cannot_be_written_is_left_out_and_the_pairs_are_named(facet, tmp_path):
    file = planted(tmp_path)
    taken = tmp_path / "f.h5.duplicates.png"
    taken.mkdir()
    answer = facet("inspect", file, "--duplicates")
    lines = answer.stdout.splitlines()
    assert (answer.code, answer.stderr) == (0, "")
    assert "2 near-duplicate pairs across splits" in lines
    assert lines[-2] == (
        f"{taken}: cannot be written, so the picture of 3 pairs across splits is left out;"
        " --pairs PAIRS.png draws it elsewhere"
    )
    assert list(taken.iterdir()) == []


def test_a_picture_that_cannot_be_written_is_no_word_where_there_is_nothing_to_draw(facet, tmp_path):
    rows = [{"path": f"{n}.png", "age": n, "split": split} for n, split in enumerate(["train", "test"])]
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "f.h5")
    (tmp_path / "f.h5.duplicates.png").mkdir()
    answer = facet("inspect", "f.h5", "--duplicates", cwd=tmp_path)
    assert (answer.code, answer.stderr) == (0, "")
    assert "duplicates.png" not in answer.stdout


def crowd(folder, count, draw):
    """A raw file of `count` pictures of 16×16, every second one in test; `draw` gives the grey pixels of each."""
    rows = [{"path": f"{n}.png", "age": n % 90, "split": ("train", "test")[n % 2]} for n in range(count)]
    lines = ["path,age,split", *(",".join(map(str, row.values())) for row in rows)]
    write(folder, "manifest.csv", "\n".join(lines).encode())
    for n in range(count):
        write(folder, f"{n}.png", cv2.imencode(".png", draw(n))[1].tobytes())
    pack([folder], folder / "f.h5", PackOptions(storage="raw", image_size=(16, 16)))
    return folder / "f.h5"


_WATCHED = """
import resource, sys, tempfile, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_duplicates import blank, card, crowd
from hdf5_helper.inspecting import near_duplicates
from hdf5_helper.progress import Silent
from hdf5_helper.reading.reader import HDF5Reader

near_duplicates.MOST_COMPARED = int(sys.argv[3])
with tempfile.TemporaryDirectory() as folder:
    with HDF5Reader(crowd(Path(folder), 6000, {"blank": blank, "card": card}[sys.argv[2]])) as reader:
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        found = near_duplicates.find_near_duplicates(reader, Silent())
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(len(found.pairs), found.pairs_left_out, found.images_left_out, taken, time.perf_counter() - started)
"""


def blank(number):
    """One of many pictures in one colour each."""
    return np.full((16, 16, 3), (number % 256, number // 256, 100), np.uint8)


def card(number):
    """One of many title cards with the same hash, told apart by their colour."""
    shade = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    return np.stack([shade, shade, np.full((16, 16), number % 256, np.uint8)], axis=2) + np.uint8(number // 256)


@pytest.mark.parametrize("most_compared", [300_000, 0], ids=["compared", "looked up"])
@pytest.mark.parametrize(("kind", "pairs", "left_out"), [("blank", 0, 0), ("card", 64 * 64, 6000 - 2 * 64)])
def test_thousands_of_pictures_with_one_hash_take_little_memory_and_time(kind, pairs, left_out, most_compared):
    run = [sys.executable, "-c", _WATCHED, str(Path(__file__).parent), kind, str(most_compared)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT)
    found, pairs_left_out, images_left_out, kilobytes, seconds = map(float, done.stdout.split())
    assert (found, pairs_left_out, images_left_out) == (pairs, 0, left_out)
    assert kilobytes < 100_000
    assert seconds < 20


@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_likest_pairs_are_kept_and_the_others_counted(tmp_path, monkeypatch, most):
    with HDF5Reader(crowd(tmp_path, 12, card)) as reader:
        every = find_near_duplicates(reader, Silent())
        monkeypatch.setattr(near_duplicates, "MOST_PAIRS", most)
        some = find_near_duplicates(reader, Silent())
    assert (len(every.pairs), every.pairs_left_out) == (36, 0)
    assert some.pairs == every.pairs[:most]
    assert some.pairs_left_out == 36 - most


def test_the_first_pictures_with_a_hash_are_compared_and_the_others_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(near_duplicates, "MOST_ALIKE", 2)
    with HDF5Reader(crowd(tmp_path, 12, card)) as reader:
        near = find_near_duplicates(reader, Silent())
        first = {tuple(reader.split(name)[:2].tolist()) for name in ("train", "test")}
    assert {tuple(sorted({pair.rows[side] for pair in near.pairs})) for side in (0, 1)} == first
    assert (len(near.pairs), near.images_left_out) == (4, 8)


def test_what_was_left_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(near_duplicates, "MOST_ALIKE", 2)
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 3)
    with HDF5Reader(crowd(tmp_path, 12, card)) as reader:
        values = summarize(reader)
        name_leaks(reader, values, tmp_path / "pairs.png", Silent())
    near = values["near_duplicates"]
    assert (len(near["pairs"]), near["pairs_left_out"], near["images_left_out"]) == (3, 1, 8)
    lines = sentences(values)
    assert "4 near-duplicate pairs across splits" in lines
    assert "the likest 3 of the near-duplicate pairs are in --json" in lines
    assert "8 images were not compared: too many others look the same" in lines


def test_a_damaged_image_is_named(tmp_path):
    file = planted(tmp_path)
    with h5py.File(file) as h5:
        place = h5["encoded/bytes"].id.get_chunk_info(0).byte_offset + int(h5["encoded/offset"][3]) + 100
    data = bytearray(file.read_bytes())
    data[place] ^= 255
    file.write_bytes(data)
    with HDF5Reader(file) as reader, pytest.raises(FacetError, match=r"example 3 \(.*\) is damaged"):
        find_near_duplicates(reader, Silent())


@pytest.fixture(scope="module")
def real_cut(real_data, tmp_path_factory):
    file = tmp_path_factory.mktemp("cut") / "ag.h5"
    pack([real_data("agegender_cleaned")], file)
    return file


def test_inspect_says_exactly_what_leaks_in_the_real_cut(facet, real_cut):
    values = json.loads(facet("inspect", real_cut, "--json").stdout)
    assert values["duplicates"]["pairs_across_splits"] == 2
    assert values["duplicates"]["in_several_splits"] == 2
    assert values["subjects"]["in_several_splits"] == 259
    assert values["subjects"]["seen_before"] == {
        "validation": {"persons": 0, "examples": 0, "of": 347},
        "test": {"persons": 259, "examples": 349, "of": 800},
    }


def test_the_near_duplicates_of_the_real_cut_are_those_seen_in_its_picture(facet, real_cut):
    answer = facet("inspect", real_cut, "--duplicates", "--json")
    values = json.loads(answer.stdout)
    pairs = values["near_duplicates"]["pairs"]
    assert [[example["path"].split("/")[-1][22:34] for example in pair["examples"]] for pair in pairs] == [
        ["333.11760532", "333.11760536"],
        ["911.11813092", "911.11813382"],
    ]
    assert values["pairs_picture"] == {"path": f"{real_cut}.duplicates.png", "pairs": 4}
    assert len(values["subjects"]["names_in_several_splits"]) == 259
    assert answer.code == 0
