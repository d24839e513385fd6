"""Packs that are interrupted go on, and the file is the one of an unbroken pack."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from trees import LEFT, Meddler, agegender_paths, encoded, left_in, picture, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
from hdf5_helper.reading.reader import HDF5Reader

ROOT = Path(__file__).parent.parent

# 3,000 rows of 64×64 pixels: nine blocks
RAW = PackOptions(storage="raw", image_size=(64, 64), workers=1)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("tree"), agegender_paths(1500), 16, 16)


@pytest.fixture(scope="module")
def unbroken(tree, tmp_path_factory):
    target = tmp_path_factory.mktemp("unbroken") / "a.h5"
    pack([tree], target, RAW)
    return target.read_bytes()


class Told(Silent):
    """Remembers (stage, total, done before, done in it); interrupts when `rows` are packed."""

    def __init__(self, rows: int | None = None):
        self.stages, self.rows = [], rows

    def start(self, what, total, *, done=0):
        self.stages.append([what, total, done, 0])

    def advance(self, count, note=""):  # noqa: ARG002
        self.stages[-1][-1] += count
        what, _total, _done, so_far = self.stages[-1]
        if what == "packing" and self.rows is not None and so_far >= self.rows:
            raise KeyboardInterrupt


def interrupted(tree: Path, target: Path, rows: int = 1000, options: PackOptions = RAW) -> None:
    with pytest.raises(KeyboardInterrupt):
        pack([tree], target, options, progress=Told(rows))
    assert left_in(target.parent) == LEFT


def test_the_same_pack_goes_on_where_it_was_interrupted(tree, tmp_path, unbroken):
    interrupted(tree, tmp_path / "a.h5")
    told = Told()
    pack([tree], tmp_path / "a.h5", RAW, progress=told)
    assert (tmp_path / "a.h5").read_bytes() == unbroken
    assert left_in(tmp_path) == ["a.h5"]
    _looking, checking, packing, _sealing = told.stages
    assert checking[0] == "checking what is there"
    assert checking[3] >= 1000
    assert packing == ["packing", 3000, checking[3], 3000 - checking[3]]


def test_a_pack_that_is_interrupted_again_and_again_is_the_same(tree, tmp_path, unbroken):
    for rows in (500, 1, 700):
        interrupted(tree, tmp_path / "a.h5", rows)
    pack([tree], tmp_path / "a.h5", RAW)
    assert (tmp_path / "a.h5").read_bytes() == unbroken


@pytest.mark.parametrize("lost", ["one byte of an image", "the end of the journal", "all of the journal", "the file"])
def test_what_was_lost_of_an_interrupted_pack_is_packed_again(tree, tmp_path, unbroken, lost):
    interrupted(tree, tmp_path / "a.h5")
    part, journal = (tmp_path / name for name in LEFT)
    if lost == "one byte of an image":
        data = bytearray(part.read_bytes())
        data[part.stat().st_size // 10] ^= 1
        part.write_bytes(data)
    elif lost == "the file":
        part.unlink()
    else:
        os.truncate(journal, journal.stat().st_size - 7 if lost == "the end of the journal" else 0)
    pack([tree], tmp_path / "a.h5", RAW)
    assert (tmp_path / "a.h5").read_bytes() == unbroken


def test_bad_images_that_were_found_before_the_interrupt_are_still_left_out(tree, tmp_path):
    bad = tmp_path / "tree"
    plant(bad, agegender_paths(1500), 16, 16)
    for number in range(40):
        write(bad, f"combined/aligned/30_F/nm9_rm{number}_1980-1-1_2010.jpg", encoded(picture(number))[:300])
    out = tmp_path / "out"
    out.mkdir()
    interrupted(bad, out / "a.h5", 2000)
    report = pack([bad], out / "a.h5", RAW)
    assert len(report.rejects) == 40
    pack([tree], tmp_path / "clean.h5", RAW)
    assert (out / "a.h5").read_bytes() == (tmp_path / "clean.h5").read_bytes()
    assert left_in(out) == ["a.h5", "a.h5.rejects.csv"]


def test_an_interrupted_pack_is_not_gone_on_with_under_other_options(tree, tmp_path):
    interrupted(tree, tmp_path / "a.h5")
    sentence = (
        f"{tmp_path / 'a.h5'}: an interrupted pack of it was begun with --image-size [64, 64], now [32, 32];"
        " --seed 0, now 1; expected the same as then, or --overwrite to begin anew"
    )
    with pytest.raises(FacetError) as error:
        pack([tree], tmp_path / "a.h5", PackOptions(storage="raw", image_size=(32, 32), seed=1))
    assert str(error.value) == sentence
    assert left_in(tmp_path) == LEFT


def test_an_interrupted_pack_is_not_gone_on_with_when_the_tree_has_changed(tmp_path):
    paths = agegender_paths(60)
    tree = plant(tmp_path / "tree", paths)
    out = tmp_path / "out"
    out.mkdir()
    interrupted(tree, out / "a.h5", 1)
    os.utime(tree / paths[0], ns=(0, 0))
    changed = (
        "was begun with images or labels that have changed since, or by another version of Facet; expected the same"
    )
    with pytest.raises(FacetError, match=changed):
        pack([tree], out / "a.h5", RAW)
    assert left_in(out) == LEFT


def test_overwrite_begins_anew_where_another_pack_was_interrupted(tree, tmp_path, unbroken):
    interrupted(tree, tmp_path / "a.h5", options=PackOptions(storage="raw", image_size=(80, 80), workers=1))
    pack([tree], tmp_path / "a.h5", PackOptions(storage="raw", image_size=(64, 64), overwrite=True))
    assert (tmp_path / "a.h5").read_bytes() == unbroken


def test_another_process_cannot_pack_to_the_same_name_at_the_same_time(tree, tmp_path):
    def second() -> None:
        with pytest.raises(FacetError, match=r"a.h5: another process is packing it now, expected another name or"):
            pack([tree], tmp_path / "a.h5", RAW)

    pack([tree], tmp_path / "a.h5", RAW, progress=Meddler(second))
    assert left_in(tmp_path) == ["a.h5"]


def test_what_a_kill_behind_the_last_step_left_is_swept_by_the_next_pack(tree, tmp_path):
    interrupted(tree, tmp_path / "a.h5")
    write(tmp_path, "a.h5", b"complete")
    with pytest.raises(FacetError, match="exists already"):
        pack([tree], tmp_path / "a.h5", RAW)
    assert left_in(tmp_path) == ["a.h5"]


KILLED = """
import os, signal, sys
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
class Killer(Silent):
    def start(self, what, total, *, done=0):
        self.what = what
    def advance(self, count, note=""):
        if self.what == "packing":
            os.kill(os.getpid(), signal.SIGKILL)
pack([sys.argv[1]], sys.argv[2], PackOptions(storage="raw", image_size=(64, 64), workers=1), progress=Killer())
"""


def test_a_killed_pack_leaves_no_file_under_the_final_name_and_goes_on(tree, tmp_path, unbroken):
    killed = subprocess.run([sys.executable, "-c", KILLED, tree, tmp_path / "a.h5"], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert left_in(tmp_path) == LEFT
    with pytest.raises(FacetError, match="was never finished"):
        HDF5Reader(tmp_path / LEFT[0])
    pack([tree], tmp_path / "a.h5", RAW)
    assert (tmp_path / "a.h5").read_bytes() == unbroken


@pytest.mark.parametrize("options", [{"workers": 4}, {"executor": "processes", "workers": 2}], ids=repr)
def test_the_bytes_depend_on_no_worker(tree, tmp_path, unbroken, options):
    pack([tree], tmp_path / "a.h5", PackOptions(storage="raw", image_size=(64, 64), **options))
    assert (tmp_path / "a.h5").read_bytes() == unbroken


def test_an_image_that_could_not_be_read_is_asked_for_again_by_the_pack_that_goes_on(tmp_path, monkeypatch):
    tree = plant(tmp_path / "tree", agegender_paths(1500), 16, 16)
    out = tmp_path / "out"
    out.mkdir()
    pack([tree], out / "whole.h5", RAW)
    whole = (out / "whole.h5").read_bytes()
    (out / "whole.h5").unlink()
    away, opened = str(tree / agegender_paths(1500)[0]), os.open

    def failing(path, *rest, **named):
        if path == away:
            raise OSError(5, "Input/output error", path)
        return opened(path, *rest, **named)

    monkeypatch.setattr(os, "open", failing)
    interrupted(tree, out / "a.h5", 2900)
    monkeypatch.undo()
    assert pack([tree], out / "a.h5", RAW).rejects == ()
    assert (out / "a.h5").read_bytes() == whole
