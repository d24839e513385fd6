"""Bad images: left out, listed with a reason, and otherwise without a trace."""

import os
from pathlib import Path

import h5py
import pytest
from trees import Meddler, agegender_paths, encoded, left_in, picture, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent

RAW = PackOptions(storage="raw", image_size=(24, 20))


BAD = {
    "combined/aligned/30_F/nm1_rm1_1980-1-1_2010.jpg": encoded(picture(1, 200, 200))[:2000],
    "combined/aligned/30_F/nm1_rm2_1980-1-1_2010.jpg": b"<html></html>",
    "combined/valid/99_M/landmark_aligned_face.77.1_a_o.jpg": b"\xff\xd8\xff",
    "combined/valid/99_M/nm2_rm1_1980-1-1_2010_with_the_longest_name_of_all.gif": b"GIF89a",
}


@pytest.fixture
def tree(tmp_path):
    return plant(tmp_path / "tree", agegender_paths(60))


@pytest.mark.parametrize(
    "options",
    [
        PackOptions(),
        RAW,
        PackOptions(split="0.5,0.2,0.3"),
        PackOptions(split="0.5,0.2,0.3", split_by="image", seed=5),
        PackOptions(max_size=20),
    ],
    ids=["encoded", "raw", "a random split", "a random split by image", "shrunk images"],
)
def test_a_tree_with_bad_images_packs_to_the_bytes_of_the_tree_without_them(tree, tmp_path, options):
    pack([tree], tmp_path / "good.h5", options)
    for path, data in BAD.items():
        write(tree, path, data)
    report = pack([tree], tmp_path / "bad.h5", options)
    assert (tmp_path / "bad.h5").read_bytes() == (tmp_path / "good.h5").read_bytes()
    assert [path for path, _reason in report.rejects] == sorted(BAD)
    assert left_in(tmp_path) == ["bad.h5", "bad.h5.rejects.csv", "good.h5"]


@pytest.mark.parametrize("missing", ["copy_file_range", "pwrite", "pread", "preadv", "O_DIRECTORY"])
def test_a_pack_is_the_same_where_the_system_lacks_a_call(tree, tmp_path, monkeypatch, missing):
    for path, data in BAD.items():
        write(tree, path, data)
    pack([tree], tmp_path / "whole.h5")
    monkeypatch.delattr(os, missing)
    pack([tree], tmp_path / "lacking.h5", PackOptions(workers=4))
    assert (tmp_path / "lacking.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_a_pack_is_the_same_where_the_system_lacks_every_call(tree, tmp_path, monkeypatch):
    for path, data in BAD.items():
        write(tree, path, data)
    pack([tree], tmp_path / "whole.h5")
    for call in ("copy_file_range", "pwrite", "pwritev", "pread", "preadv", "O_DIRECTORY", "sched_getaffinity"):
        monkeypatch.delattr(os, call)
    pack([tree], tmp_path / "lacking.h5", PackOptions(workers=4))
    assert (tmp_path / "lacking.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def open_files() -> set[str]:
    """Gives the paths of the files that this process has open."""
    return {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}  # noqa: PTH208


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's /proc")  # noqa: PTH112
def test_no_file_is_replaced_while_it_is_open(tree, tmp_path, monkeypatch):
    """Windows refuses that."""
    replaced: list[str] = []
    replace_file = Path.replace

    def as_on_windows(self: Path, target: Path) -> Path:
        if open_files() & {str(self), str(target)}:
            raise PermissionError(13, "used by another process", str(target))
        replaced.append(target.name)
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", as_on_windows)
    for path, data in BAD.items():
        write(tree, path, data)
    assert pack([tree], tmp_path / "a.h5").examples == 120
    assert replaced == ["a.h5.rejects.csv", "a.h5"]


@pytest.mark.parametrize("earlier", [False, True], ids=["a new file", "an older file"])
def test_an_interrupt_at_the_last_moment_leaves_file_and_list_as_they_were(tree, tmp_path, monkeypatch, earlier):
    if earlier:
        write(tree, "combined/aligned/nobody/a.jpg", encoded(picture(3)))
        pack([tree], tmp_path / "a.h5")
    before = {name: (tmp_path / name).read_bytes() for name in left_in(tmp_path)}
    assert list(before) == (["a.h5", "a.h5.rejects.csv"] if earlier else [])
    for path, data in BAD.items():
        write(tree, path, data)
    synchronize = os.fsync

    def sealed() -> bool:
        with h5py.File(tmp_path / ".a.part.kept.h5") as file:
            return bool(file["seal"][:].any())

    def interrupted(handle: int) -> None:
        if os.path.realpath(f"/proc/self/fd/{handle}").endswith("/.a.part.kept.h5") and sealed():
            raise KeyboardInterrupt
        synchronize(handle)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack([tree], tmp_path / "a.h5", PackOptions(overwrite=True))
    visible = [name for name in left_in(tmp_path) if not name.startswith(".")]
    assert {name: (tmp_path / name).read_bytes() for name in visible} == before


def test_the_stages_of_a_pack_are_told(tree, tmp_path):
    class Told(Silent):
        def __init__(self):
            self.stages, self.done = [], []

        def start(self, what, total, *, done=0):  # noqa: ARG002
            self.stages.append((what, total))
            self.done.append(0)

        def advance(self, count, note=""):  # noqa: ARG002
            self.done[-1] += count

    good, bad = Told(), Told()
    pack([tree], tmp_path / "good.h5", progress=good)
    for path, data in BAD.items():
        write(tree, path, data)
    pack([tree], tmp_path / "bad.h5", progress=bad)
    looking = f"looking at {tree}"
    assert good.stages == [(looking, 120), ("packing", 120), ("sealing", 1)]
    assert bad.stages == [(looking, 124), ("packing", 124), ("leaving bad images out", 120), ("sealing", 1)]
    assert [good.done, bad.done] == [[120, 120, 1], [124, 124, 120, 1]]


def test_rejects_are_listed_with_their_reasons(tree, tmp_path):
    for path, data in BAD.items():
        write(tree, path, data)
    write(tree, "combined/aligned/nobody/a,b.jpg", encoded(picture(3)))
    pack([tree], tmp_path / "a.h5")
    cut = "cannot be decoded: Corrupt JPEG data: premature end of data segment"
    formats = "expected JPEG, PNG, WebP, BMP (or --storage raw)"
    assert (tmp_path / "a.h5.rejects.csv").read_text().splitlines() == [
        "path,reason",
        f"combined/aligned/30_F/nm1_rm1_1980-1-1_2010.jpg,{cut}",
        f'combined/aligned/30_F/nm1_rm2_1980-1-1_2010.jpg,"is no image, {formats}"',
        '"combined/aligned/nobody/a,b.jpg",lies in no folder AGE_F or AGE_M such as 25_F',
        "combined/valid/99_M/landmark_aligned_face.77.1_a_o.jpg,cannot be decoded: damaged or truncated image data",
        f'combined/valid/99_M/nm2_rm1_1980-1-1_2010_with_the_longest_name_of_all.gif,"is GIF, {formats}"',
    ]


def test_a_later_pack_without_rejects_removes_the_old_list(tree, tmp_path):
    bad = write(tree, next(iter(BAD)), b"x")
    pack([tree], tmp_path / "a.h5")
    bad.unlink()
    pack([tree], tmp_path / "a.h5", PackOptions(overwrite=True))
    assert left_in(tmp_path) == ["a.h5"]


def test_raw_storage_takes_formats_that_encoded_storage_does_not_keep(tmp_path):
    plant(tmp_path / "t", ["man/a.tiff", "woman/b.png"])
    assert pack([tmp_path / "t"], tmp_path / "raw.h5", RAW).examples == 2
    report = pack([tmp_path / "t"], tmp_path / "encoded.h5")
    assert [path for path, reason in report.rejects if reason.startswith("is TIFF, expected")] == ["man/a.tiff"]


def test_no_good_image_at_all_is_an_error_that_leaves_nothing(tmp_path):
    write(tmp_path / "t", "man/a.jpg", b"x")
    write(tmp_path / "t", "woman/b.jpg", b"y")
    with pytest.raises(
        FacetError, match="holds no image that can be packed with a label; the first of 2 rejects, man/a"
    ):
        pack([tmp_path / "t"], tmp_path / "a.h5")
    assert left_in(tmp_path) == []


def test_images_that_change_after_the_survey_are_rejects(tree, tmp_path):
    grown, gone, touched, *_ = (tree / path for path in agegender_paths(60))

    def meddle():
        grown.write_bytes(grown.read_bytes() + b"x")
        gone.unlink()
        os.utime(touched, ns=(0, 0))

    report = pack([tree], tmp_path / "a.h5", progress=Meddler(meddle))
    assert sorted(reason for _path, reason in report.rejects) == [
        "cannot be read: No such file or directory",
        "has changed since the tree was listed",
        "has changed since the tree was listed",
    ]
    assert report.examples == 117
