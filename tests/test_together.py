import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hdf5_helper.errors import FacetError
from hdf5_helper.together import made_together

ROOT = Path(__file__).resolve().parent.parent


def tree(folder):
    """Gives what a folder holds: text by path, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def make(place, text, times=1):
    """Fills the folder of an export: a file, a folder of two levels, a file nobody asked for; twice is an error."""
    for _ in range(times):
        (place / "model" / "more").mkdir(parents=True)
        (place / "a.json").write_text(text)
        (place / "model" / "graph.pb").write_text(text)
        (place / "model" / "more" / "deep").write_text(text)
        (place / "scratch").write_text(text)


def made(text):
    """Gives what a folder holds afterwards."""
    return {"a.json": text, "model": None, "model/graph.pb": text, "model/more": None, "model/more/deep": text}


def test_files_and_folders_get_their_names_at_the_end_and_nothing_else_stays(tmp_path):
    with made_together([tmp_path / "a.json", tmp_path / "model"]) as place:
        assert (place.parent, place.name) == (tmp_path, ".model.part")
        make(place, "new")
        assert not (tmp_path / "a.json").exists()
    assert tree(tmp_path) == made("new")


def test_what_bears_the_names_is_replaced(tmp_path):
    for text in ("old", "new"):
        with made_together([tmp_path / "a.json", tmp_path / "model"]) as place:
            make(place, text)
    assert tree(tmp_path) == made("new")


def test_a_folder_takes_the_place_of_a_file_and_a_file_that_of_a_folder(tmp_path):
    (tmp_path / "model").write_text("old")
    (tmp_path / "a.json").mkdir()
    (tmp_path / "a.json" / "old").write_text("old")
    with made_together([tmp_path / "a.json", tmp_path / "model"]) as place:
        make(place, "new")
    assert tree(tmp_path) == made("new")


def test_a_failure_leaves_everything_as_it_was(tmp_path):
    with made_together([tmp_path / "a.json", tmp_path / "model"]) as place:
        make(place, "old")
    with pytest.raises(FileExistsError), made_together([tmp_path / "a.json", tmp_path / "model"]) as place:
        make(place, "new", times=2)
    assert tree(tmp_path) == made("old")


def test_a_name_that_was_not_made_leaves_everything_as_it_was(tmp_path):
    with pytest.raises(FileNotFoundError), made_together([tmp_path / "a.json", tmp_path / "b.json"]) as place:
        (place / "a.json").write_text("new")
    assert tree(tmp_path) == {}


def test_a_missing_folder_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError), made_together([tmp_path / "gone" / "a.json"]):
        pass
    assert tree(tmp_path) == {}


KILLED = """
import sys, time
from pathlib import Path
from hdf5_helper.together import made_together
folder = Path(sys.argv[1])
with made_together([folder / "a.json", folder / "model"]) as place:
    (place / "model" / "more").mkdir(parents=True)
    (place / "model" / "old").write_text("torn")
    print("ready", flush=True)
    time.sleep(600)
"""


TORN = {".model.part/.lock": "", ".model.part/model/more": None, ".model.part/model/old": "torn"}


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    assert tree(tmp_path) == {".model.part": None, ".model.part/model": None, **TORN}
    with made_together([tmp_path / "a.json", tmp_path / "model"]) as place:
        make(place, "new")
    assert tree(tmp_path) == made("new")


def test_the_last_name_appears_only_when_the_others_are_there(tmp_path, monkeypatch):
    seen = []
    replace = Path.replace

    def watched(path, target):
        seen.append((Path(target).name, sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("."))))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    with made_together([tmp_path / "mean.json", tmp_path / "a.json", tmp_path / "a.pb"]) as place:
        for name in ("a.pb", "a.json", "mean.json"):
            (place / name).write_text(name)
    assert seen == [("mean.json", []), ("a.json", ["mean.json"]), ("a.pb", ["a.json", "mean.json"])]


def test_what_was_there_is_there_again_when_a_later_name_cannot_be_taken(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("mine")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("mine too")
    before, replace = tree(tmp_path), Path.replace

    def refusing(path, target):
        if Path(target).name == "model" and path.parent.name == ".model.part":
            raise PermissionError(1, "Operation not permitted", str(path))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refusing)
    with pytest.raises(PermissionError) as refused, made_together([tmp_path / "a.json", tmp_path / "model"]) as place:
        make(place, "new")
    assert refused.value.filename == str(tmp_path / "model")
    assert tree(tmp_path) == before


def test_two_at_once_do_not_disturb_each_other(tmp_path):
    with made_together([tmp_path / "a.json", tmp_path / "model"]) as place:
        make(place, "first")
        with pytest.raises(FacetError) as refused, made_together([tmp_path / "b.json", tmp_path / "model"]):
            pass
        assert str(refused.value) == (
            f"{tmp_path / 'model'}: another process writes it at this moment, expected one at a time"
        )
    assert tree(tmp_path) == made("first")
