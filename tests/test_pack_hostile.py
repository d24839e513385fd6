"""Trees as nobody wants them: odd names, loops, pipes, what may not be read, what lies where the pack writes."""

import csv
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from trees import Meddler, agegender_paths, encoded, interrupt, left_in, manifest, picture, plant, write

from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.reader import HDF5Reader

ROOT = Path(__file__).resolve().parent.parent

linux = pytest.mark.skipif(sys.platform != "linux", reason="file names and pipes as Linux has them")


@pytest.fixture
def tree(tmp_path):
    return plant(tmp_path / "tree", agegender_paths(30))


def rejects_of(file: Path) -> list[tuple[str, ...]]:
    """Gives the list of rejects without its header, as the csv module reads it."""
    with open(f"{file}.rejects.csv", encoding="utf-8", errors="surrogateescape", newline="") as lines:
        return [tuple(row) for row in csv.reader(lines)][1:]


def paths_in(file: Path) -> list[str]:
    with HDF5Reader(file, verify="always") as reader:
        reader.read(range(len(reader)))
        return reader.paths


ODD = ["two words", " blanks ", "line\nfeed", "carriage\rreturn", "tab\t", 'quote"', "comma,", "-dash", "--overwrite",
       "not UTF-8 \udcff\udcfe", "naïve ☺", "%s{0}$HOME", "*?[a]", "back\\slash", ".hidden", "x" * 200]  # fmt: skip


@linux
def test_files_of_any_name_are_packed_and_found_by_it(facet, tmp_path, out):
    tree, images = tmp_path / "a\n tree \udcff", {}
    for number, name in enumerate(ODD):
        path = f"{('man', 'woman')[number % 2]}/{name}.jpg"
        images[path] = encoded(picture(number))
        write(tree, path, images[path])
    target = out / "odd \udcfe\n.h5"
    answer = facet("pack", tree, target)
    assert (answer.code, answer.stderr) == (0, "")
    assert sorted(paths_in(target), key=os.fsencode) == sorted(images, key=os.fsencode)
    with HDF5Reader(target) as reader:
        rows = [reader.paths.index(path) for path in images]
        assert reader.stored(rows) == list(images.values())
    assert left_in(out) == [target.name]


@linux
def test_rejects_of_any_name_are_listed_by_it(facet, tmp_path, out):
    tree = plant(tmp_path / "tree", ["man/good.jpg", "woman/good.jpg"])
    bad = [f"man/{name}.jpg" for name in ODD]
    for path in bad:
        write(tree, path, b"\xff\xd8\xff")
    answer = facet("pack", tree, out / "a.h5")
    assert (answer.code, answer.stderr) == (0, "")
    listed = rejects_of(out / "a.h5")
    assert [path for path, _reason in listed] == sorted(bad, key=os.fsencode)
    assert {reason.partition(":")[0] for _path, reason in listed} == {"cannot be decoded"}


@linux
def test_what_is_no_regular_file_is_rejected_and_never_waited_for(facet, tree, tmp_path, out, monkeypatch):
    folder = tree / "combined" / "aligned" / "20_F"
    pack([tree], tmp_path / "without.h5")
    os.mkfifo(folder / "pipe.jpg")
    listener = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(folder)  # a socket's path has 107 bytes at most
    listener.bind("socket.jpg")
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "one.jpg").symlink_to("other.jpg")
    (folder / "other.jpg").symlink_to("one.jpg")
    (folder / "nowhere.jpg").symlink_to("nothing")
    (folder / "folder.jpg").mkdir()
    (folder / "up.jpg").symlink_to("..")
    (folder / "root").symlink_to(tree)
    answer = facet("pack", tree, out / "a.h5", timeout=60)
    listener.close()
    assert (answer.code, answer.stderr) == (0, "")
    loop = "cannot be read: Too many levels of symbolic links"
    assert [(Path(path).name, reason) for path, reason in rejects_of(out / "a.h5")] == [
        ("device.jpg", "is no regular file"),
        ("itself.jpg", loop),
        ("nowhere.jpg", "cannot be read: No such file or directory"),
        ("one.jpg", loop),
        ("other.jpg", loop),
        ("pipe.jpg", "is no regular file"),
        ("socket.jpg", "is no regular file"),
    ]
    assert (out / "a.h5").read_bytes() == (tmp_path / "without.h5").read_bytes()


def as_nobody_special(command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    """Runs a command that may read only what file modes allow: root loses its privileges."""
    drop = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    if drop and shutil.which("setpriv") is None:
        pytest.skip("no setpriv to take root's privileges away")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    call = [*drop, sys.executable, "-m", "scripts", *map(str, command)]
    return subprocess.run(call, env=env, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)


@linux
def test_files_that_may_not_be_read_are_rejects(tree, tmp_path, out):
    good, secret, *_others = (tree / path for path in agegender_paths(30))
    secret.chmod(0)
    done = as_nobody_special(["pack", tree, out / "a.h5"])
    assert (done.returncode, done.stderr) == (0, "")
    assert rejects_of(out / "a.h5") == [(str(secret.relative_to(tree)), "cannot be read: Permission denied")]
    secret.unlink()
    pack([tree], tmp_path / "without.h5")
    assert (out / "a.h5").read_bytes() == (tmp_path / "without.h5").read_bytes()
    assert good.exists()


@linux
def test_a_folder_that_may_not_be_listed_is_an_error_and_not_an_empty_one(tree, out):
    folder = tree / "combined" / "aligned" / "20_F"
    folder.chmod(0)
    done = as_nobody_special(["pack", tree, out / "a.h5"])
    folder.chmod(0o755)
    assert (done.returncode, done.stderr) == (1, f"facet: {folder}: cannot be listed: permission denied\n")
    assert left_in(out) == []


@linux
def test_a_folder_that_may_not_be_written_to_is_one_sentence(tree, out):
    out.chmod(0o555)
    done = as_nobody_special(["pack", tree, out / "a.h5"])
    out.chmod(0o755)
    assert (done.returncode, done.stderr) == (1, f"facet: {out / 'a.h5'}: cannot be written: permission denied\n")
    assert left_in(out) == []


def test_nothing_outside_the_root_is_read_through_a_manifest(facet, tmp_path, out):
    root, outside = tmp_path / "root", encoded(picture(9))
    write(tmp_path, "outside.jpg", outside)
    manifest(root, [{"path": "a.jpg", "gender": "f"}, {"path": "sub/b.jpg", "gender": "m"}])
    ways = ["../outside.jpg", "sub/../../outside.jpg", f"{tmp_path}/outside.jpg", "./../outside.jpg", "..\\outside.jpg"]
    (root / "manifest.csv").write_text("".join(["path,gender\n", "a.jpg,f\n", "sub/b.jpg,m\n",
                                                *(f"{way},f\n" for way in ways)]))  # fmt: skip
    answer = facet("pack", root, out / "a.h5")
    if answer.code == 0:
        assert sorted(paths_in(out / "a.h5")) == ["a.jpg", "sub/b.jpg"]
        assert len(rejects_of(out / "a.h5")) == len(ways)
    else:
        assert left_in(out) == []
    assert (tmp_path / "outside.jpg").read_bytes() == outside


@pytest.mark.parametrize("layout", ["agegender", "folders", "manifest"])
def test_a_file_may_lie_in_the_tree_that_it_is_packed_from(sample_tree, facet, tmp_path, layout):
    tree = shutil.copytree(sample_tree(layout, 60, mess=True), tmp_path / "tree")
    pack([tree], tmp_path / "outside.h5")
    first = facet("pack", tree, tree / "a.h5")
    again = facet("pack", tree, tree / "a.h5", "--overwrite")
    assert [(answer.code, answer.stderr) for answer in (first, again)] == [(0, "")] * 2
    assert (tree / "a.h5").read_bytes() == (tmp_path / "outside.h5").read_bytes()
    assert rejects_of(tree / "a.h5") == rejects_of(tmp_path / "outside.h5")
    assert [name for name in left_in(tree) if name.startswith((".", "a."))] == ["a.h5", "a.h5.rejects.csv"]


@pytest.mark.parametrize("image", [".a.part.jpg", ".a.part.kept.jpg", ".a.jpg.journal", "a.jpg"])
def test_an_image_that_lies_where_the_pack_writes_is_not_written_over(facet, tmp_path, image):
    tree = manifest(tmp_path / "tree", [{"path": "b.jpg", "gender": "f"}, {"path": "c.jpg", "gender": "m"}])
    data = encoded(picture(5))
    write(tree, image, data)
    (tree / "manifest.csv").write_text(f"path,gender\nb.jpg,f\nc.jpg,m\n{image},f\n")
    answer = facet("pack", tree, tree / "a.jpg", "--overwrite")
    sentence = f"{tree / image}: packing {tree / 'a.jpg'} would replace this image, expected another name to pack to"
    assert (answer.code, answer.stderr) == (1, f"facet: {sentence}\n")
    assert (tree / image).read_bytes() == data
    assert left_in(tree) == sorted({"b.jpg", "c.jpg", "manifest.csv", image})


def test_what_a_link_beside_the_target_leads_to_is_not_written_over(tree, tmp_path, out):
    for name in (".a.part.h5", ".a.part.kept.h5", "a.h5"):
        write(tmp_path, f"precious{name}", b"precious")
        (out / name).symlink_to(tmp_path / f"precious{name}")
    write(tree, "combined/aligned/20_F/nm9_rm1_1980-1-1_2005.jpg", b"x")
    pack([tree], out / "a.h5", PackOptions(overwrite=True))
    assert left_in(out) == ["a.h5", "a.h5.rejects.csv"]
    assert not (out / "a.h5").is_symlink()
    assert {path.read_bytes() for path in tmp_path.glob("precious*")} == {b"precious"}


@pytest.mark.parametrize("name", ["a.hdf5", "a", "a.part.h5", "a.kept.h5"])
def test_files_of_neighbouring_names_keep_out_of_each_others_way(tree, tmp_path, out, name):
    write(tree, "combined/aligned/20_F/nm9_rm1_1980-1-1_2005.jpg", b"x")
    with pytest.raises(KeyboardInterrupt):
        pack([tree], out / "a.h5", progress=Meddler(interrupt, "leaving bad images out"))
    left = left_in(out)
    pack([tree], out / name)
    assert left_in(out) == sorted([*left, name, f"{name}.rejects.csv"])
    told = []
    pack([tree], out / "a.h5", progress=Meddler(lambda: told.append("checked"), "checking what is there"))
    assert told == ["checked"]
    assert (out / "a.h5").read_bytes() == (out / name).read_bytes()


def test_a_name_too_long_for_what_lies_beside_it_is_one_sentence(facet, tree, out):
    target = out / f"{'n' * 250}.h5"
    answer = facet("pack", tree, target)
    assert (answer.code, answer.stderr) == (1, f"facet: {target}: cannot be written: file name too long\n")
    assert left_in(out) == []
