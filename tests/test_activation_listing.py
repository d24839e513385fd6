"""Listing and clearing the cache: what is there, what goes, and what is left because somebody uses it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from activation_files import KEY, filled, key_of
from conftest import ROOT

from hdf5_helper.errors import FacetError
from models.training.activations.activation_file import ActivationFile
from models.training.activations.listing import cached_files, chosen, clear
from models.training.activations.place import activations_folder, cache_folder

MIRROR = key_of(view="mirror")
DAY = 86400


@pytest.fixture
def folder(tmp_path):
    """Gives a cache of two files, the first last used ten days ago and with 3 rows, and of things that are none."""
    place = tmp_path / "activations"
    used(filled(place, KEY, [3, 4, 9]), days=10)
    used(filled(place, MIRROR), days=1)
    (place / "precision.json").write_text("{}")
    (place / "notes.h5").write_bytes(b"mine")
    return place


def used(path: Path, days: float) -> None:
    os.utime(path, (time.time() - days * DAY,) * 2)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


REST = [".lock", "notes.h5", "precision.json"]


def test_files_are_listed_by_their_last_use_with_what_is_in_them(folder):
    mirror, plain = cached_files(folder)
    assert [(file.key, file.damage, file.stored) for file in (mirror, plain)] == [(MIRROR, "", 40), (KEY, "", 3)]
    assert [file.digest for file in (mirror, plain)] == [MIRROR.digest, KEY.digest]
    assert [round((time.time() - file.last_used) / DAY, 1) for file in (mirror, plain)] == [1, 10]
    assert [file.bytes for file in (mirror, plain)] == [file.path.stat().st_blocks * 512 for file in (mirror, plain)]


def test_a_damaged_file_is_listed_as_such(folder):
    (folder / f"{KEY.digest}.h5").write_bytes(b"?")
    (folder / f"{MIRROR.digest}.h5").rename(folder / f"{'0' * 32}.h5")
    listed = {file.digest: (file.key, file.damage, file.stored) for file in cached_files(folder)}
    assert listed == {"0" * 32: (None, "it is of another key", 0), KEY.digest: (None, "no HDF5 file", 0)}


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    assert cached_files(tmp_path / "nowhere") == []
    assert clear(tmp_path / "nowhere", []).removed == ()
    assert list(tmp_path.iterdir()) == []


def test_all_is_cleared_but_what_is_no_activation_file(folder):
    (folder / f".{KEY.digest}.part.h5").write_bytes(b"begun")
    files = cached_files(folder)
    cleared = clear(folder, chosen(files, [], None))
    assert (cleared.removed, cleared.in_use) == (tuple(files), ())
    assert names(folder) == REST


def test_a_dry_run_removes_nothing(folder):
    (folder / f".{KEY.digest}.part.h5").write_bytes(b"begun")
    before = names(folder)
    assert len(clear(folder, cached_files(folder), dry_run=True).removed) == 2
    assert names(folder) == before


def test_files_are_chosen_by_the_beginning_of_their_digests_and_by_their_last_use(folder):
    files = cached_files(folder)
    mirror, plain = files
    assert chosen(files, [KEY.digest[:4]], None) == [plain]
    assert chosen(files, [KEY.digest.upper(), MIRROR.digest[:8]], None) == [mirror, plain]
    assert chosen(files, [], 5) == [plain]
    assert chosen(files, [], 0) == [mirror, plain]
    assert chosen(files, [MIRROR.digest[:8]], 5) == []


def test_an_unknown_digest_is_one_sentence_with_the_nearest(folder):
    known = ", ".join(sorted(key.digest[:8] for key in (KEY, MIRROR)))
    near = f"{KEY.digest[:7]}x"
    for prefix, hint in ((near, f" (did you mean {KEY.digest[:8]!r}?)"), ("", "")):
        with pytest.raises(FacetError) as error:
            chosen(cached_files(folder), [MIRROR.digest[:8], prefix], None)
        assert str(error.value) == f"cache {prefix!r}: no such digest, expected one of {known}{hint}"
    with pytest.raises(FacetError) as error:
        chosen([], ["abc"], None)
    assert str(error.value) == "cache 'abc': no such digest, the cache is empty"


HOLDER = """
import sys
from pathlib import Path
from activation_files import KEY
from models.training.activations.activation_file import ActivationFile
file = ActivationFile.open(Path(sys.argv[1]), KEY, print)
print("open", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_file_that_a_process_has_open_is_left_until_that_process_ends_however(folder, dry_run):
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder], env=env, text=True, **pipes)
    try:
        assert holder.stdout.readline() == "open\n"
        plain, mirror = cached_files(folder)  # the first has just been used
        cleared = clear(folder, [plain, mirror], dry_run=dry_run)
        assert (cleared.removed, cleared.in_use) == ((mirror,), (plain,))
    finally:
        holder.kill()
        holder.communicate()
    cleared = clear(folder, cached_files(folder))
    assert [file.key for file in cleared.in_use] == []
    assert names(folder) == REST


def test_a_file_can_be_filled_while_it_is_listed_and_begun_after_it_was_cleared(folder):
    with ActivationFile.open(folder, KEY, print) as file:
        assert {listed.key: listed.stored for listed in cached_files(folder)} == {KEY: 3, MIRROR: 40}
        assert file.count == 3
    clear(folder, cached_files(folder))
    with ActivationFile.open(folder, KEY, print) as file:
        assert file.count == 0


def test_the_cache_lies_with_the_runs_or_where_it_is_told_to(monkeypatch, tmp_path):
    monkeypatch.delenv("FACET_CACHE", raising=False)
    monkeypatch.delenv("FACET_HISTORY", raising=False)
    assert activations_folder() == Path("history/.cache/activations")
    monkeypatch.setenv("FACET_HISTORY", str(tmp_path / "runs"))
    assert cache_folder() == tmp_path / "runs" / ".cache"
    monkeypatch.setenv("FACET_CACHE", str(tmp_path / "cache"))
    assert activations_folder() == tmp_path / "cache" / "activations"
