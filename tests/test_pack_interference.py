"""What others do to a pack: two of one name, workers that outlive theirs, trees that change under it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import LEFT, Meddler, agegender_paths, encoded, interrupt, left_in, picture, plant

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.image_store import EncodedStore
from hdf5_helper.packing.packer import PackOptions, pack, plan_pack, write_pack
from hdf5_helper.packing.payload import Block, write_block

ROOT = Path(__file__).resolve().parent.parent
PATHS = agegender_paths(60)


@pytest.fixture
def tree(tmp_path):
    return plant(tmp_path / "tree", PATHS)


HELD = """
import sys
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
class Held(Silent):
    def start(self, what, total, *, done=0):
        if what == "packing":
            print("begun", flush=True)
            sys.stdin.readline()
pack([sys.argv[1]], sys.argv[2], PackOptions(overwrite=True), progress=Held())
"""


@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--storage", "raw", "--overwrite")], ids=" ".join)
def test_a_second_process_is_refused_while_the_first_packs_to_the_same_name(facet, tree, out, more):
    target = out / "a.h5"
    command = [sys.executable, "-c", HELD, tree, target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as first:
        assert first.stdout.readline() == "begun\n"
        second = facet("pack", tree, target, *more)
        first.stdin.write("go on\n")
        first.stdin.close()
        assert first.wait() == 0
    sentence = f"{target}: another process is packing it now, expected another name or to wait for it"
    assert (second.code, second.stderr) == (1, f"facet: {sentence}\n")
    assert left_in(out) == ["a.h5"]
    pack([tree], out / "alone.h5")
    assert target.read_bytes() == (out / "alone.h5").read_bytes()


def test_a_pack_that_was_planned_before_another_finished_does_not_replace_its_file(tree, out):
    planned = plan_pack([tree], out / "a.h5", PackOptions(seed=1))
    pack([tree], out / "a.h5")
    finished = (out / "a.h5").read_bytes()
    with pytest.raises(
        FacetError, match=r"a.h5: another process has packed it meanwhile, expected another name or --ov"
    ):
        write_pack(planned)
    assert (out / "a.h5").read_bytes() == finished
    assert left_in(out) == ["a.h5"]


def test_a_worker_of_a_killed_pack_does_not_write_to_the_file_of_a_later_one(tree, out):
    plan = plan_pack([tree], out / "a.h5", PackOptions(seed=1))
    with pytest.raises(KeyboardInterrupt):
        write_pack(plan, progress=Meddler(interrupt))
    part, journal = (out / name for name in LEFT)
    rows = plan.survey.rows[:1]
    late = Block(0, [plan.survey.original(rows[0])], plan.file.starts[:2], str(part), [(0, int(plan.file.starts[1]))],
                 EncodedStore(), str(journal), journal.read_bytes())  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        pack([tree], out / "a.h5", PackOptions(seed=2, overwrite=True), progress=Meddler(interrupt))
    before = part.read_bytes()
    with pytest.raises(
        FacetError, match=r"a.part.h5: another pack of it has begun since, expected this one to be over"
    ):
        write_block(late)
    assert part.read_bytes() == before


def test_a_new_pack_has_a_file_of_its_own_whoever_writes_to_an_older_one(tree, out):
    with pytest.raises(KeyboardInterrupt):
        pack([tree], out / "a.h5", progress=Meddler(interrupt))
    with open(out / LEFT[0], "rb+") as late:
        pack([tree], out / "a.h5", PackOptions(seed=2, overwrite=True))
        late.write(b"x" * 4096)
    pack([tree], out / "alone.h5", PackOptions(seed=2))
    assert (out / "a.h5").read_bytes() == (out / "alone.h5").read_bytes()


def test_an_interrupted_replacement_survives_a_command_that_forgets_to_ask_for_one(facet, tree, out):
    target = out / "a.h5"
    pack([tree], target)
    with pytest.raises(KeyboardInterrupt):
        pack([tree], target, PackOptions(seed=2, overwrite=True), progress=Meddler(interrupt, "sealing"))
    forgot = facet("pack", tree, target, "--seed", 2)
    sentence = f"facet: {target}: exists already, expected a new name or --overwrite\n"
    assert (forgot.code, forgot.stderr) == (1, sentence)
    assert left_in(out) == [*LEFT, "a.h5"]
    assert pack([tree], target, PackOptions(seed=2, overwrite=True)).found == len(PATHS)
    assert left_in(out) == ["a.h5"]


def grow(file: Path) -> None:
    with open(file, "ab") as end:
        end.write(b"x")


def shrink(file: Path) -> None:
    os.truncate(file, 100)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def replace_by_another(file: Path) -> None:
    file.with_suffix(".new").write_bytes(encoded(picture(99)))
    file.with_suffix(".new").replace(file)


def replace_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_by_a_loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


CHANGED = "has changed since the tree was listed"
CHANGES: dict[Callable[[Path], None], str] = {
    grow: CHANGED,
    shrink: CHANGED,
    empty: CHANGED,
    replace_by_another: CHANGED,
    replace_by_a_folder: CHANGED,
    replace_by_a_pipe: CHANGED,
    Path.unlink: "cannot be read: No such file or directory",
    replace_by_a_loop: "cannot be read: Too many levels of symbolic links",
}


@pytest.mark.timeout(60)
def test_images_that_change_while_they_are_packed_are_left_out_and_named(tree, tmp_path, out):
    changed = dict(zip(PATHS, CHANGES.items(), strict=False))

    def meddle() -> None:
        for path, (change, _reason) in changed.items():
            change(tree / path)

    report = pack([tree], out / "a.h5", progress=Meddler(meddle))
    assert list(report.rejects) == [(path, reason) for path, (_change, reason) in sorted(changed.items())]
    rest = plant(tmp_path / "rest", [path for path in PATHS if path not in changed])
    pack([rest], out / "rest.h5")
    assert (out / "a.h5").read_bytes() == (out / "rest.h5").read_bytes()


@pytest.mark.parametrize("change", list(CHANGES)[:4] + list(CHANGES)[6:], ids=lambda change: change.__name__)
def test_a_tree_that_changed_while_its_pack_was_interrupted_is_not_mixed_with_what_it_was(facet, tree, out, change):
    target = out / "a.h5"
    with pytest.raises(KeyboardInterrupt):
        pack([tree], target, progress=Meddler(interrupt))
    change(tree / PATHS[0])
    again = facet("pack", tree, target)
    assert (again.code, again.stderr) == (1, (
        f"facet: {target}: an interrupted pack of it was begun with images or labels that have changed since,"
        " or by another version of Facet;"
        " expected the same as then, or --overwrite to begin anew\n"
    ))  # fmt: skip
    assert left_in(out) == LEFT
    pack([tree], target, PackOptions(overwrite=True))
    assert set(left_in(out)) <= {"a.h5", "a.h5.rejects.csv"}


def test_a_source_that_is_gone_costs_no_interrupted_pack(facet, tree, out):
    with pytest.raises(KeyboardInterrupt):
        pack([tree], out / "a.h5", progress=Meddler(interrupt))
    tree.rename(tree.with_name("elsewhere"))
    again = facet("pack", tree, out / "a.h5")
    assert (again.code, again.stderr) == (1, f"facet: {tree}: no such folder, expected a tree of labelled images\n")
    assert left_in(out) == LEFT
