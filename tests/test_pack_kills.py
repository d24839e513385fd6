"""Packs killed with SIGKILL at every call that changes a file, and at random moments: whole or not at all, and resumed.

`kills.py` does the killing; it says what each kill left and what the same pack made of it. A kill before a call finds
what one after the call before it found, so the tests that are no `long` ones leave it out.
"""

import shutil
import sys
from pathlib import Path

import pytest
from kills import AFTER, BEFORE, TORN, Job, Kill, build_shim, calls_of, digest_of, killed, pack_or_repack
from trees import agegender_paths, encoded, left_in, picture, plant, write

from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
from hdf5_helper.reading.reader import HDF5Reader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills by a library that Linux preloads")

BAD = {
    "combined/aligned/30_F/nm1_rm1_1980-1-1_2010.jpg": b"<html></html>",
    "combined/aligned/nobody/a,b.jpg": encoded(picture(1)),
    "combined/valid/99_M/nm2_rm1_1980-1-1_2010.jpg": b"\xff\xd8\xff",
}
RAW = {"storage": "raw", "image_size": (20, 20)}


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to build kill_shim.c with")
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Gives a tree of ten images: with rows of blocks limited to four, they are three blocks, as with bad ones."""
    return plant(tmp_path_factory.mktemp("good"), agegender_paths(5), 16, 16)


@pytest.fixture(scope="module")
def mixed(good, tmp_path_factory):
    """Gives the same tree with bad images in it."""
    return with_bad(good, tmp_path_factory.mktemp("mixed") / "tree")


def with_bad(tree: Path, copy: Path) -> Path:
    shutil.copytree(tree, copy)
    for path, data in BAD.items():
        write(copy, path, data)
    return copy


class Unbroken:
    """What a pack that nobody kills makes of a tree; three ways to it have to agree."""

    def __init__(self, folder: Path, tree: Path, clean: Path, options: dict[str, object]):
        for name, source, workers in (("one", tree, 1), ("three", tree, 3), ("clean", clean, 2)):
            pack_or_repack(source, folder / f"{name}.h5", workers=workers, **options)
            with HDF5Reader(folder / f"{name}.h5", verify="always") as reader:
                reader.read(range(len(reader)))
        self.digest = digest_of(folder / "one.h5")
        assert {digest_of(folder / f"{name}.h5") for name in ("three", "clean")} == {self.digest}
        rejects = folder / "one.h5.rejects.csv"
        self.rejects = rejects.read_text() if rejects.exists() else None
        self.names = ["a.h5", "a.h5.rejects.csv"] if self.rejects else ["a.h5"]

    def faults(self, kills: list[Kill], target: Path, older: str | None = None) -> list[Kill]:
        """Gives the kills after which something was not as it has to be."""
        return [kill for kill in kills if not self._is_right(kill, target, older)]

    def _is_right(self, kill: Kill, target: Path, older: str | None) -> bool:
        finished = f"{target}: exists already, expected a new name or --overwrite"
        if kill.said is not None and (kill.said, kill.found) != (finished, self.digest):
            return False
        after = (kill.digest, kill.names, kill.rejects)
        return kill.found in (older, self.digest) and after == (self.digest, self.names, self.rejects)


def test_a_kill_at_any_call_of_a_pack_with_bad_images_loses_nothing(good, mixed, shim, tmp_path):
    target = tmp_path / "out" / "a.h5"
    kills = killed(Job(str(mixed), str(target), {"workers": 1}, block_rows=4, moments=(TORN, AFTER)), shim)
    assert all(kill.died for kill in kills)
    assert Unbroken(tmp_path, mixed, good, {}).faults(kills, target) == []
    assert_every_state_was_seen(kills)


def assert_every_state_was_seen(kills: list[Kill]) -> None:
    """Else the kills were not where they have to be."""
    journal, part, kept, listing = ".a.part.journal", ".a.part.h5", ".a.part.kept.h5", "a.h5.rejects.csv"
    hidden = ".a.h5.rejects.part.csv"
    seen = {tuple(kill.left) for kill in kills}
    assert seen == {
        (journal,),
        (part, journal),
        (part, journal, kept),
        (hidden, part, journal, kept),
        (part, journal, kept, listing),
        (part, journal, "a.h5", listing),
        (journal, "a.h5", listing),
        ("a.h5", listing),
    }


def test_a_kill_at_any_call_of_a_pack_without_bad_images_loses_nothing(good, shim, tmp_path):
    target = tmp_path / "out" / "a.h5"
    kills = killed(Job(str(good), str(target), {"workers": 1, **RAW}, block_rows=4, moments=(AFTER,)), shim)
    assert all(kill.died for kill in kills)
    assert Unbroken(tmp_path, good, good, RAW).faults(kills, target) == []


def test_a_kill_at_any_call_leaves_an_older_file_as_it_is_until_the_new_one_is_complete(good, mixed, shim, tmp_path):
    older, target = older_file(tmp_path, good), tmp_path / "out" / "a.h5"
    job = Job(str(mixed), str(target), {"workers": 1, "overwrite": True, **RAW}, str(older), 4, (AFTER,))
    kills = killed(job, shim)
    assert all(kill.died for kill in kills)
    before = digest_of(older / "a.h5")
    assert Unbroken(tmp_path, mixed, good, RAW).faults(kills, target, before) == []
    assert {kill.found for kill in kills} == {before, digest_of(target)}


def older_file(tmp_path: Path, tree: Path) -> Path:
    """Gives a folder in which the tree is packed in another way, with rejects, and in a third one, interrupted."""
    copy, folder = shutil.copytree(tree, tmp_path / "older-tree"), tmp_path / "older"
    write(copy, "combined/aligned/nobody/older.jpg", encoded(picture(3)))
    folder.mkdir()
    pack([copy], folder / "a.h5", PackOptions(seed=7))
    interrupt(copy, folder, {"seed": 8, "overwrite": True})
    assert left_in(folder) == [".a.part.h5", ".a.part.journal", "a.h5", "a.h5.rejects.csv"]
    return folder


def test_a_kill_at_any_call_of_a_repack_of_a_damaged_file_loses_nothing(good, shim, tmp_path):
    damaged, target = tmp_path / "damaged.h5", tmp_path / "out" / "a.h5"
    pack([good], damaged)
    spoil_image(damaged, 3)
    kills = killed(Job(str(damaged), str(target), {"workers": 1}, moments=(AFTER,)), shim)
    assert all(kill.died for kill in kills)
    unbroken = Unbroken(tmp_path, damaged, damaged, {})
    assert unbroken.rejects is not None
    assert unbroken.faults(kills, target) == []


def spoil_image(file: Path, row: int) -> None:
    """Changes one bit in the middle of a stored image."""
    with HDF5Reader(file) as reader:
        image = reader.stored([row])[0]
    data = bytearray(file.read_bytes())
    data[data.index(image) + len(image) // 2] ^= 1
    file.write_bytes(data)


def interrupt(tree: Path, folder: Path, options: dict[str, object]) -> None:
    """Packs to `folder`, but for the blocks behind the second."""

    class Stop(Silent):
        def start(self, what, total, *, done=0):  # noqa: ARG002
            self.stage, self.blocks = what, 0

        def advance(self, count, note=""):  # noqa: ARG002
            self.blocks += 1
            if (self.stage, self.blocks) == ("packing", 2):
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hdf5_helper.packing.plan._MOST_ROWS", 4)
        with pytest.raises(KeyboardInterrupt):
            pack([tree], folder / "a.h5", PackOptions(workers=1, **options), progress=Stop())


def test_a_kill_at_any_call_of_going_on_loses_nothing_either(good, mixed, shim, tmp_path):
    left, target = tmp_path / "left", tmp_path / "out" / "a.h5"
    left.mkdir()
    interrupt(mixed, left, RAW)
    kills = killed(Job(str(mixed), str(target), {"workers": 1, **RAW}, str(left), 4, (AFTER,)), shim)
    assert all(kill.died for kill in kills)
    assert Unbroken(tmp_path, mixed, good, RAW).faults(kills, target) == []


@pytest.mark.long
@pytest.mark.parametrize("overwrite", [False, True], ids=["a new file", "an older file"])
@pytest.mark.parametrize("kind", ["good", "mixed"])
@pytest.mark.parametrize("options", [{}, RAW, {"max_size": 10}], ids=["encoded", "raw", "shrunk"])
def test_a_kill_before_in_or_after_any_call_of_any_pack_loses_nothing(
    request, shim, tmp_path, options, kind, overwrite
):
    tree, good, target = (*map(request.getfixturevalue, (kind, "good")), tmp_path / "out" / "a.h5")
    older = older_file(tmp_path, good) if overwrite else None
    asked = {"workers": 1, "overwrite": overwrite, **options}
    kills = killed(Job(str(tree), str(target), asked, older and str(older), 4, (BEFORE, TORN, AFTER)), shim)
    assert all(kill.died for kill in kills)
    assert Unbroken(tmp_path, tree, good, options).faults(kills, target, older and digest_of(older / "a.h5")) == []


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """Gives a tree of 240 images, 18 MB of pixels at 160×160: five blocks; and the same with bad images."""
    good = plant(tmp_path_factory.mktemp("larger") / "good", agegender_paths(120), 64, 64)
    return good, with_bad(good, good.parent / "mixed")


LARGER = {"storage": "raw", "image_size": (160, 160)}


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.long)])
def test_a_kill_at_a_random_moment_loses_nothing(larger, tmp_path, count):
    good, mixed = larger
    target = tmp_path / "out" / "a.h5"
    kills = killed(Job(str(mixed), str(target), {"workers": 2, **LARGER}, random=count))
    assert Unbroken(tmp_path, mixed, good, LARGER).faults(kills, target) == []
    assert sum(kill.died for kill in kills) > count / 2
    assert len({tuple(kill.left) for kill in kills}) > 2


def test_nothing_gets_a_final_name_before_it_is_durable(mixed, shim, tmp_path):
    calls = calls_of(Job(str(mixed), str(tmp_path / "out" / "a.h5"), {"workers": 1}, block_rows=4), shim)
    parts = {"a.h5.rejects.csv": ".a.h5.rejects.part.csv", "a.h5": ".a.part.kept.h5"}
    renamed = [(number, file) for number, (name, file) in enumerate(calls) if name.startswith("rename")]
    assert [file for _number, file in renamed] == list(parts)
    for number, file in renamed:
        assert [name for name, other in calls[:number] if other == parts[file]][-1] == "fsync"
        assert calls[number + 1] == ("fsync", "out")


def test_a_block_is_durable_before_the_journal_speaks_of_it(mixed, shim, tmp_path):
    job = Job(str(mixed), str(tmp_path / "out" / "a.h5"), {"workers": 1, **LARGER}, block_rows=4)
    calls = calls_of(job, shim)
    begun, *said = [number for number, call in enumerate(calls) if call == ("write", ".a.part.journal")]
    assert len(said) == 3
    # the worker may be at work on the next block when the journal speaks of this one
    synced = [calls[begun:number].count(("fsync", ".a.part.h5")) for number in said]
    assert all(count >= blocks for blocks, count in enumerate(synced, 1))
