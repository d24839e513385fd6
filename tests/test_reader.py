"""Reading: the right pixels and labels, from any thread and any process."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import xxhash
from trees import agegender_paths, encoded, picture, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.images.fit import fit
from hdf5_helper.labels import FEMALE
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.storage import opening, positional

SIZE = (24, 20)
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("tree"), agegender_paths(60))


@pytest.fixture(scope="module", params=["encoded", "raw"])
def file(request, tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / f"{request.param}.h5"
    pack([tree], path, PackOptions(storage=request.param, image_size=SIZE, fit="crop"))
    return path


@pytest.fixture(scope="module")
def encoded_file(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "plain.h5"
    pack([tree], path)
    return path


def expected(tree: Path, paths: list[str], size: tuple[int, int] = SIZE, how: str = "crop") -> np.ndarray:
    """Gives what OpenCV makes of the tree's own files."""
    return np.stack([fit(cv2.imread(str(tree / path))[..., ::-1].copy(), size, how) for path in paths])


def test_it_gives_the_pixels_of_the_trees_files_in_the_order_asked_for(file, tree):
    with HDF5Reader(file) as reader:
        rows = np.array([119, 3, 3, 0, 77, 42])
        images = reader.read(rows)
        assert (images.dtype, images.shape) == (np.uint8, (6, *SIZE, 3))
        assert np.array_equal(images, expected(tree, [reader.paths[row] for row in rows]))


def test_an_empty_batch_is_an_empty_array(file):
    with HDF5Reader(file) as reader:
        assert reader.read([]).shape == (0, *SIZE, 3)


def test_the_index_is_what_the_tree_says(file, tree):
    with HDF5Reader(file) as reader:
        assert (len(reader), reader.storage, reader.fit, reader.image_size) == (120, file.stem, "crop", SIZE)
        assert (reader.label_names, reader.groups) == (("age", "age_group", "gender"), ("origin",))
        assert sorted(reader.paths) == sorted(agegender_paths(60))
        assert (reader.labels("gender") == FEMALE).tolist() == ["_F/" in path for path in reader.paths]
        assert reader.labels("age").tolist() == [int(path.split("/")[2][:2]) for path in reader.paths]
        assert [reader.subject_names[number] for number in reader.subjects] == [
            f"imdb/{path.split('/')[3][:9]}" for path in reader.paths
        ]
        assert reader.class_names("gender") == ("male", "female")
        assert (reader.class_names("age"), reader.group_names("origin")) == ((), ("imdb",))
        assert set(reader.group("origin")) == {0}
        assert set(reader.folds) == {-1}
        means = reader.channel_means
    assert (means.shape, means.dtype) == ((120, 3), np.float32)


def test_splits_share_the_rows_out(file):
    with HDF5Reader(file) as reader:
        parts = [reader.split(name) for name in ("train", "validation", "test")]
        assert np.array_equal(np.concatenate(parts), np.arange(120))
        assert parts[2].dtype == np.int64
        assert all("/valid/" in reader.paths[row] for row in parts[2])
        assert reader.splits == ("train", "validation", "test")


def test_splits_without_rows_are_empty_and_not_named(tree, tmp_path):
    pack([tree], tmp_path / "a.h5", PackOptions(split="1,0,0"))
    with HDF5Reader(tmp_path / "a.h5") as reader:
        assert (reader.splits, reader.split("test").tolist()) == (("train",), [])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda reader: reader.labels("gendre"), r"has no label 'gendre', expected .* \(did you mean 'gender'\?\)"),
        (lambda reader: reader.class_names("x"), "has no label 'x', expected one of age, age_group, gender"),
        (lambda reader: reader.group("race"), "has no group 'race', expected one of origin"),
        (lambda reader: reader.split("valid"), r"has no split 'valid', .* \(did you mean 'validation'\?\)"),
    ],
)
def test_a_name_the_file_does_not_have_is_one_sentence(file, call, sentence):
    with HDF5Reader(file) as reader, pytest.raises(FacetError, match=sentence):
        call(reader)


@pytest.mark.parametrize("indices", [[120], [-1], [0.5], [[1]], ["a"]])
def test_wrong_indices_are_refused(file, indices):
    with HDF5Reader(file) as reader, pytest.raises(IndexError, match="indices must be"):
        reader.read(indices)


def test_encoded_files_give_any_size_and_raw_files_their_own(file, tree):
    if file.stem == "encoded":
        with HDF5Reader(file, image_size=(15, 17), fit="pad") as reader:
            assert np.array_equal(reader.read([5]), expected(tree, [reader.paths[5]], (15, 17), "pad"))
    else:
        with pytest.raises(FacetError, match="holds raw images of 24×20 pixels, found image_size 10×12, expected"):
            HDF5Reader(file, image_size=(10, 12))
        with pytest.raises(FacetError, match="brought to size by crop, expected no fit 'pad'"):
            HDF5Reader(file, fit="pad")


def test_images_of_one_size_need_no_image_size(encoded_file):
    with HDF5Reader(encoded_file) as reader:
        assert reader.image_size == (40, 32)
        assert reader.image_sizes().tolist() == [[40, 32]] * 120


def test_images_of_many_sizes_ask_for_one(tmp_path):
    write(tmp_path / "t", "man/a.png", encoded(picture(1, 30, 20), ".png"))
    write(tmp_path / "t", "woman/b.png", encoded(picture(2, 40, 20), ".png"))
    pack([tmp_path / "t"], tmp_path / "a.h5")
    with HDF5Reader(tmp_path / "a.h5") as reader:
        assert reader.image_size is None
        with pytest.raises(FacetError, match=r"holds images of many sizes, expected image_size=\(height, width\)"):
            reader.read([0])
    with HDF5Reader(tmp_path / "a.h5", image_size=(10, 10)) as reader:
        assert reader.read([0, 1]).shape == (2, 10, 10, 3)


def test_turned_images_are_read_upright(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "t" / "man").mkdir(parents=True)
    Image.fromarray(picture(1, 30, 20)).save(tmp_path / "t" / "man" / "a.png", exif=exif)
    plant(tmp_path / "t", ["woman/b.png"], 20, 30)
    pack([tmp_path / "t"], tmp_path / "a.h5")
    with HDF5Reader(tmp_path / "a.h5") as reader:
        assert reader.image_size == (20, 30)
        assert np.array_equal(reader.read([reader.paths.index("man/a.png")])[0], np.rot90(picture(1, 30, 20), -1))


def test_positional_reads_give_what_the_memory_map_gives(file, monkeypatch):
    with HDF5Reader(file) as reader:
        mapped = reader.read(np.arange(120))
    monkeypatch.setattr(opening, "open_bytes", positional.PositionalBytes)
    with HDF5Reader(file) as reader:
        assert isinstance(reader._file.data, positional.PositionalBytes)
        assert np.array_equal(reader.read(np.arange(120)), mapped)


@pytest.mark.parametrize("missing", [("preadv",), ("preadv", "pread")], ids=" ".join)
def test_reads_work_where_the_system_has_no_positional_calls(file, monkeypatch, missing):
    with HDF5Reader(file) as reader:
        mapped = reader.read(np.arange(120))
    monkeypatch.setattr(opening, "open_bytes", positional.PositionalBytes)
    for call in missing:
        monkeypatch.delattr(os, call)
    with HDF5Reader(file, workers=4) as reader:
        assert np.array_equal(reader.read(np.arange(120)), mapped)


def test_many_threads_may_share_a_reader(file):
    rows = np.arange(120)
    with HDF5Reader(file, verify="always") as reader, ThreadPoolExecutor(8) as pool:
        whole = reader.read(rows)
        batches = list(pool.map(lambda n: reader.read(np.roll(rows, n)), range(24)))
    assert all(np.array_equal(batch, np.roll(whole, n, axis=0)) for n, batch in enumerate(batches))


def test_a_reader_that_was_used_works_after_a_fork(file):
    with HDF5Reader(file, workers=2) as reader:
        whole = reader.read(np.arange(120)).tobytes()
        reader._threads.team(2).run(lambda: None)  # all threads there are belong to the parent
        receiver, sender = multiprocessing.Pipe(duplex=False)
        child = os.fork()
        if child == 0:
            try:
                sender.send_bytes(reader.read(np.arange(120)).tobytes())
            finally:
                os._exit(0)
        try:
            assert receiver.poll(30)
            assert receiver.recv_bytes() == whole
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def read_digests(reader: HDF5Reader, seeds: range) -> list[int]:
    rows = np.arange(len(reader))
    return [xxhash.xxh3_64_intdigest(reader.read(np.roll(rows, seed))) for seed in seeds]


def test_a_process_forked_while_threads_read_reads_right(file):
    with HDF5Reader(file, verify="always", workers=2) as reader, ThreadPoolExecutor(3) as pool:
        whole = read_digests(reader, range(4))
        busy = [pool.submit(read_digests, reader, range(40)) for _ in range(3)]
        context = multiprocessing.get_context("fork")
        for _ in range(4):
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(target=lambda out: out.send(read_digests(reader, range(4))), args=(sender,))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork beside threads
                child.start()
            assert receiver.poll(60)
            assert receiver.recv() == whole
            child.join()
        assert all(task.result()[:4] == whole for task in busy)


def test_a_spawned_process_gets_a_reader_of_its_own(file):
    with HDF5Reader(file, workers=2) as reader:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            elsewhere = pool.apply(read_digests, (reader, range(2)))
        assert elsewhere == read_digests(reader, range(2))


MEMORY = """
import sys
import numpy as np
from hdf5_helper.reading.reader import HDF5Reader
def anonymous():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1000
with HDF5Reader(sys.argv[1], image_size=None if sys.argv[2] == "raw" else (150, 150)) as reader:
    for epoch in range(10):
        for rows in np.random.default_rng(epoch).permutation(len(reader))[:960].reshape(-1, 64):
            batch = reader.read(rows)
        print(anonymous())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("storage", ["encoded", "raw"])
def test_its_own_memory_is_small_and_the_same_in_every_epoch(packed, storage):
    options = {"storage": "raw", "image_size": (150, 150)} if storage == "raw" else {}
    file = packed("agegender", count=1000, **options)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(file), storage], capture_output=True, text=True, check=True, cwd=ROOT
    )
    used = [float(line) for line in done.stdout.split()]
    assert len(used) == 10
    assert max(used) <= 128
    assert max(used[1:]) - used[1] <= 4  # MB; one batch


def test_stored_bytes_are_the_trees_files_or_the_pixels(file, tree):
    with HDF5Reader(file) as reader:
        stored = reader.stored([7, 0])
        if file.stem == "encoded":
            assert stored == [(tree / reader.paths[row]).read_bytes() for row in (7, 0)]
        else:
            assert stored == [image.tobytes() for image in reader.read([7, 0])]


def test_images_that_cross_chunks_come_out_whole(tmp_path):
    for number in range(60):
        noise = np.random.default_rng(number).integers(0, 256, (120, 110, 3), dtype=np.uint8)
        write(tmp_path / "t", f"{('man', 'woman')[number % 2]}/{number:02d}.png", encoded(noise, ".png"))
    pack([tmp_path / "t"], tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as plain:
        starts, lengths, (chunk,) = (
            plain["encoded/offset"][:],
            plain["encoded/length"][:],
            plain["encoded/bytes"].chunks,
        )
    crossing = np.flatnonzero(starts // chunk != (starts + lengths - 1) // chunk)
    assert len(crossing) == 2
    with HDF5Reader(tmp_path / "a.h5", verify="always") as reader:
        assert reader.stored(crossing) == [(tmp_path / "t" / reader.paths[row]).read_bytes() for row in crossing]
        assert np.array_equal(
            reader.read(crossing), expected(tmp_path / "t", [reader.paths[row] for row in crossing], (120, 110))
        )
        assert reader.damaged(np.arange(60)).tolist() == []


def test_asking_for_images_ahead_changes_nothing(file):
    with HDF5Reader(file) as reader:
        whole = reader.read(np.arange(120))
        for rows in ([], [5], [3, 4, 5, 90, 91], np.arange(120)):
            reader.prefetch(rows)
        assert np.array_equal(reader.read(np.arange(120)), whole)


def test_many_images_of_different_sizes_come_out_in_their_places(tmp_path):
    for number in range(60):
        write(tmp_path / "t", f"{('man', 'woman')[number % 2]}/{number:02d}.jpg", encoded(picture(number, 20 + number)))
    pack([tmp_path / "t"], tmp_path / "a.h5")
    for workers in (1, 2, 5):
        with HDF5Reader(tmp_path / "a.h5", image_size=(32, 32), workers=workers) as reader:
            rows = np.random.default_rng(workers).permutation(60)
            assert np.array_equal(
                reader.read(rows), expected(tmp_path / "t", [reader.paths[row] for row in rows], (32, 32), "stretch")
            )


def test_a_reader_pickles_as_its_arguments(file):
    with HDF5Reader(file, verify="always", workers=2) as reader, pickle.loads(pickle.dumps(reader)) as other:  # noqa: S301
        assert other._arguments == reader._arguments
        assert np.array_equal(other.read([7]), reader.read([7]))


def test_h5py_is_closed_after_opening(file):
    with HDF5Reader(file), h5py.File(file, "r+") as again:  # would fail while the reader holds it
        assert "seal" in again


@pytest.mark.parametrize("locking", [None, True, False, "best-effort"])
def test_a_file_that_this_process_has_open_in_h5py_is_read(file, locking):
    with h5py.File(file, "r", locking=locking) as plain, HDF5Reader(file) as reader:
        assert reader.labels("gender").tolist() == plain["labels/gender"][:].tolist()
        assert len(reader.read([0, 1])) == 2


def test_a_block_is_a_run_of_at_least_4_mb(tmp_path):
    plant(tmp_path / "t", [f"{kind}/{number}.png" for kind in ("man", "woman") for number in range(40)])
    pack([tmp_path / "t"], tmp_path / "raw.h5", PackOptions(storage="raw", image_size=(200, 200)))
    with HDF5Reader(tmp_path / "raw.h5") as reader:
        assert (reader.block_rows - 1) * 120_000 < 4_000_000 <= reader.block_rows * 120_000


def test_a_file_that_says_channels_first_is_read_so(tree, tmp_path, file):
    pack([tree], tmp_path / "a.h5", PackOptions(storage="raw", image_size=SIZE, attributes={"channels_first": 1}))
    pack([tree], tmp_path / "b.h5", PackOptions(storage="raw", image_size=SIZE))
    with HDF5Reader(tmp_path / "a.h5") as first, HDF5Reader(tmp_path / "b.h5") as last:
        assert np.array_equal(first.read([1, 2]), last.read([1, 2]).transpose(0, 3, 1, 2))


def test_another_label_keeps_the_images_digest_and_changes_the_index_digest(tmp_path):
    plant(tmp_path / "t", ["i/a.png", "i/b.png"])
    digests = []
    for gender in ("f", "m"):
        write(tmp_path / "t", "m.csv", f"path,gender,split\ni/a.png,{gender},train\ni/b.png,m,test\n".encode())
        pack([tmp_path / "t"], tmp_path / "a.h5", PackOptions(overwrite=True))
        with HDF5Reader(tmp_path / "a.h5") as reader:
            digests.append((reader.images_digest, reader.index_digest))
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] != digests[1][1]
    assert {len(digest) for pair in digests for digest in pair} == {32}
