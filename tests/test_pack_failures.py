"""Packs that cannot be, or are stopped: whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest
from trees import agegender_paths, left_in, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.reader import HDF5Reader

PART = ".a.part.h5"


@pytest.fixture
def tree(tmp_path):
    return plant(tmp_path / "tree", agegender_paths(60))


def test_an_existing_file_is_refused_unless_it_may_be_overwritten(tree, tmp_path):
    write(tmp_path, "a.h5", b"old")
    with pytest.raises(FacetError, match=r"a.h5: exists already, expected a new name or --overwrite"):
        pack([tree], tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_bytes() == b"old"
    pack([tree], tmp_path / "a.h5", PackOptions(overwrite=True))
    assert len(HDF5Reader(tmp_path / "a.h5")) == 120


def test_left_overs_that_no_pack_can_have_left_are_replaced(tree, tmp_path):
    pack([tree], tmp_path / "clean.h5")
    for name in (PART, ".a.part.journal", ".a.part.kept.h5"):
        write(tmp_path, name, b"left over" * 100_000)
    pack([tree], tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "clean.h5").read_bytes()
    assert left_in(tmp_path) == ["a.h5", "clean.h5"]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("nowhere/a.h5", "no such folder as .*nowhere, expected an existing one"),
        ("tree", "is a folder, expected the name"),
    ],
)
def test_a_target_that_cannot_be_is_refused(tree, tmp_path, target, sentence):
    with pytest.raises(FacetError, match=sentence):
        pack([tree], tmp_path / target)


FULL = """
import sys
from pathlib import Path
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
tree, disk = sys.argv[1], Path(sys.argv[2])
class Hog(Silent):
    def start(self, what, total, *, done=0):
        if what != "packing":
            return
        with open(disk / "hog", "wb") as file:
            try:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            except OSError:
                pass
for options, progress in ((PackOptions(storage="raw", image_size=(500, 500)), None), (PackOptions(), Hog())):
    try:
        pack([tree], disk / "a.h5", options, progress=progress)
    except FacetError as error:
        print(error)
    print(sorted(path.name for path in disk.iterdir()))
"""


SECOND = """
import sys
from pathlib import Path
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
tree, disk = sys.argv[1], Path(sys.argv[2])
try:
    pack([tree], disk / "a.h5", PackOptions(storage="raw", image_size=(55, 55)), say=print)
except FacetError as error:
    print(error)
print(sorted(path.name for path in disk.iterdir()))
"""


def on_a_small_disk(code: str, tree: Path, disk: Path) -> list[str]:
    """Gives what the program `code` prints about packing `tree` into `disk`, which holds 2 MiB."""
    disk.mkdir()
    script = f'mount -t tmpfs -o size=2m none "$2" && exec "{sys.executable}" -c "$0" "$1" "$2"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, code, tree, disk],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_full_disk_is_one_sentence_before_or_during_the_work_and_leaves_nothing(tree, tmp_path):
    target = tmp_path / "disk" / "a.h5"
    assert on_a_small_disk(FULL, tree, target.parent) == [
        f"{target}: needs 90.1 MB, but 2.1 MB are free in {target.parent}",
        "[]",
        f"{target}: no space left on its file system, so nothing was written",
        "['hog']",
    ]


def test_too_little_space_for_leaving_bad_images_out_is_said_before_and_after_the_work(tree, tmp_path):
    write(tree, "combined/aligned/30_F/nm1_rm1_1980-1-1_2010.jpg", b"x")
    target = tmp_path / "disk" / "a.h5"
    lines = on_a_small_disk(SECOND, tree, target.parent)
    assert lines[-3] == (
        f"warning: {target}: raw storage, up to 1.23 MB, and as much again if images turn out bad, 2.1 MB free"
    )
    assert lines[-2].startswith(f"{target}: leaving bad images out, which takes a second copy, needs 1.22 MB, but ")
    assert lines[-2].endswith(f" kB are free in {target.parent}")
    assert lines[-1] == "[]"
