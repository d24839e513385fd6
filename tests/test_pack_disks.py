"""Disks that are full, read-only, or know no locks: one sentence, nothing lost, nothing left behind."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from trees import LEFT, Meddler, agegender_paths, interrupt, left_in, plant, write

from hdf5_helper.packing.packer import PackOptions, pack

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tree(tmp_path):
    return plant(tmp_path / "tree", agegender_paths(60))


def in_own_mounts(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a shell script that may mount; its arguments are $1, $2 …, `facet` is the command."""
    facet = f'facet() {{ "{sys.executable}" -m scripts "$@"; }}; '
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", facet + script, "sh", *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    return done


def test_a_read_only_target_is_one_sentence_and_an_interrupted_pack_there_is_kept(tree, out):
    with pytest.raises(KeyboardInterrupt):
        pack([tree], out / "a.h5", progress=Meddler(interrupt))
    script = 'mount --bind "$2" "$2" && mount -o remount,ro,bind "$2" && facet pack "$1" "$2/$3"'
    for name in ("a.h5", "b.h5"):
        done = in_own_mounts(script, tree, out, name)
        assert (done.returncode, done.stderr) == (
            1, f"facet: {out / name}: cannot be written: read-only file system\n")  # fmt: skip
    assert left_in(out) == LEFT


def test_a_read_only_source_is_packed(tree, out):
    pack([tree], out / "alone.h5")
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && facet pack "$1" "$2/a.h5"'
    assert in_own_mounts(script, tree, out).returncode == 0
    assert (out / "a.h5").read_bytes() == (out / "alone.h5").read_bytes()


FILLED = """
import sys
from pathlib import Path
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
tree, disk, stage = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
class Hog(Silent):
    def start(self, what, total, *, done=0):
        if what == stage:
            with open(disk / "hog", "wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass
try:
    pack([tree], disk / "a.h5", PackOptions(overwrite=True), progress=Hog())
except FacetError as error:
    print(error)
"""


def on_a_disk_that_fills_up(stage: str, tree: Path, older: Path) -> tuple[Path, list[str]]:
    """Packs `tree` over a copy of `older` on a disk of 2 MiB; gives the file, and what was said and left beside it."""
    disk = older.parent / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=2m none "$2" && cp "$3" "$2/a.h5" && python -c "$4" "$1" "$2" "$5";'
        'ls -A "$2"; cmp "$2/a.h5" "$3"'
    ).replace("python", f'"{sys.executable}"')
    done = in_own_mounts(script, tree, disk, older, FILLED, stage)
    assert done.stderr == ""
    return disk / "a.h5", done.stdout.splitlines()


FULL = "no space left on its file system, so nothing was written"


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ("packing", "leaving bad images out, which takes a second copy, needs 270 kB, but 0 bytes are free in {}"),
        ("leaving bad images out", FULL),
        ("sealing", FULL),
    ],
)
def test_a_disk_that_fills_up_at_any_stage_leaves_the_older_file_and_nothing_else(tree, out, stage, sentence):
    pack([tree], out / "older.h5", PackOptions(seed=3))
    write(tree, "combined/aligned/20_F/nm9_rm1_1980-1-1_2005.jpg", b"x")
    target, lines = on_a_disk_that_fills_up(stage, tree, out / "older.h5")
    assert lines == [f"{target}: {sentence.format(target.parent)}", "a.h5", "hog"]


def test_a_disk_that_is_full_when_the_journal_grows_leaves_the_older_file_and_nothing_else(tree, tmp_path, out):
    pack([tree], out / "older.h5")
    larger = plant(tmp_path / "larger", agegender_paths(600), 8, 8)  # a block of 1,024 rows is 30 kB in the journal
    target, lines = on_a_disk_that_fills_up("packing", larger, out / "older.h5")
    assert lines == [f"{target}: {FULL}", "a.h5", "hog"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_a_file_system_without_locks_can_be_packed_to(tree, out, monkeypatch, number):
    def refuse(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert pack([tree], out / "a.h5").examples == 120
    assert left_in(out) == ["a.h5"]
