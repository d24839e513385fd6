"""`facet cache`: the real command on real files."""

import json
import os
from datetime import UTC, datetime

import pytest
from activation_files import KEY, filled, key_of

from models.training.activations.activation_file import ActivationFile

MIRROR = key_of(view="mirror", dtype="float16")
DAY = 86400
USED = datetime(2020, 2, 3, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def cache(tmp_path):
    """Gives a folder to run in whose cache has two files and the answers of the precision probe."""
    folder = tmp_path / "history" / ".cache" / "activations"
    os.utime(filled(folder, KEY, [3, 4, 9]), (USED, USED))
    os.utime(filled(folder, MIRROR), (USED + DAY, USED + DAY))
    (tmp_path / "history" / ".cache" / "precision.json").write_text("{}")
    return tmp_path


def size_of(key, cache):
    return (cache / "history" / ".cache" / "activations" / f"{key.digest}.h5").stat().st_blocks * 512


def shown_size(*keys, cache):
    return f"{sum(size_of(key, cache) for key in keys) / 1000:.3g} kB"


def left(cache):
    return sorted(path.name for path in (cache / "history").rglob("*") if path.is_file() and path.name != ".lock")


def test_the_list_is_a_table_with_a_total(cache, facet):
    answer = facet("cache", "list", cwd=cache, env={"TZ": "UTC"})
    assert (answer.code, answer.stderr) == (0, "")
    head, mirror, plain, total, following = answer.stdout.splitlines()
    titles = "digest cut images view precision kept as stored on disk last used"
    assert head.split() == titles.split()
    size = {key.view: shown_size(key, cache=cache) for key in (KEY, MIRROR)}
    facts = f"block5_pool 48×64 mirror float32 float16 40 of 40 {size['mirror']} 2020-02-04"
    assert mirror.split() == [MIRROR.digest[:8], *facts.split()]
    facts = f"block5_pool 48×64 plain float32 float32 3 of 40 {size['plain']} 2020-02-03"
    assert plain.split() == [KEY.digest[:8], *facts.split()]
    assert head.index("stored") == mirror.index("40 of") == plain.index("3 of")
    assert total == f"2 files in history/.cache/activations, {shown_size(KEY, MIRROR, cache=cache)}"
    assert following == "next: facet cache clear --unused-for 30"


def test_with_json_the_list_is_one_value(cache, facet):
    answer = facet("cache", "list", "--json", cwd=cache)
    files = [
        {
            "digest": key.digest,
            "path": f"history/.cache/activations/{key.digest}.h5",
            "damage": None,
            "key": key.to_json(),
            "stored": stored,
            "bytes": size_of(key, cache),
            "last_used": f"2020-02-0{day}T12:00:00Z",
        }
        for key, stored, day in ((MIRROR, 40, 4), (KEY, 3, 3))
    ]
    taken = sum(file["bytes"] for file in files)
    assert json.loads(answer.stdout) == {"folder": "history/.cache/activations", "bytes": taken, "files": files}
    assert answer.stderr == ""


def test_a_damaged_file_is_in_the_list_and_can_be_cleared(cache, facet):
    (cache / "history" / ".cache" / "activations" / f"{KEY.digest}.h5").write_bytes(b"?")
    assert "damaged: no HDF5 file" in facet("cache", "list", cwd=cache).stdout
    value = json.loads(facet("cache", "list", "--json", cwd=cache).stdout)["files"][0]
    assert (value["digest"], value["key"], value["damage"]) == (KEY.digest, None, "no HDF5 file")
    cleared = facet("cache", "clear", KEY.digest[:6], cwd=cache).stdout.splitlines()[0]
    assert cleared.startswith(f"removed {KEY.digest[:8]}, damaged, ")
    assert left(cache) == [f"{MIRROR.digest}.h5", "precision.json"]


def test_an_empty_cache_is_said_with_where_it_was_looked_for(facet, tmp_path):
    answer = facet("cache", "list", cwd=tmp_path)
    assert (answer.code, answer.stdout) == (0, "no activations in history/.cache/activations\n")
    answer = facet("cache", "list", cwd=tmp_path, env={"FACET_CACHE": "/nowhere/cache"})
    assert (answer.code, answer.stdout) == (0, "no activations in /nowhere/cache/activations\n")
    answer = facet("cache", "list", "--json", cwd=tmp_path)
    assert json.loads(answer.stdout) == {"folder": "history/.cache/activations", "bytes": 0, "files": []}
    answer = facet("cache", "clear", cwd=tmp_path)
    assert answer.stdout == "0 files removed from history/.cache/activations, 0 bytes freed\n"
    assert list(tmp_path.iterdir()) == []


def test_clear_says_what_it_removed_and_what_is_free_again(cache, facet):
    sizes = {key: shown_size(key, cache=cache) for key in (KEY, MIRROR)}
    both = shown_size(KEY, MIRROR, cache=cache)
    lines = [f"{key.digest[:8]}, block5_pool, {key.view}, {sizes[key]}" for key in (MIRROR, KEY)]
    dry = facet("cache", "clear", "--dry-run", cwd=cache).stdout.splitlines()
    assert dry[:2] == [f"would remove {line}" for line in lines]
    assert dry[2:] == [f"2 files would be removed from history/.cache/activations, {both} would be freed"]
    assert left(cache) == sorted([f"{KEY.digest}.h5", f"{MIRROR.digest}.h5", "precision.json"])
    done = facet("cache", "clear", cwd=cache).stdout.splitlines()
    assert done[:2] == [f"removed {line}" for line in lines]
    assert done[2:] == [f"2 files removed from history/.cache/activations, {both} freed"]
    assert left(cache) == ["precision.json"]


def test_clear_keeps_what_was_used_lately_and_what_is_open(cache, facet):
    folder = cache / "history" / ".cache" / "activations"
    with ActivationFile.open(folder, KEY, print):
        size = shown_size(KEY, cache=cache)
        os.utime(folder / f"{KEY.digest}.h5", (USED, USED))
        os.utime(folder / f"{MIRROR.digest}.h5")
        answer = facet("cache", "clear", "--unused-for", 30, cwd=cache)
    assert answer.stdout.splitlines() == [
        f"left {KEY.digest[:8]}, block5_pool, plain, {size}: a process has it open",
        "0 files removed from history/.cache/activations, 0 bytes freed",
    ]
    assert facet("cache", "clear", "--unused-for", 30, cwd=cache).stdout.startswith(f"removed {KEY.digest[:8]}, ")
    assert left(cache) == [f"{MIRROR.digest}.h5", "precision.json"]


def test_mistakes_are_one_sentence(cache, facet):
    known = ", ".join(sorted(key.digest[:8] for key in (KEY, MIRROR)))
    answer = facet("cache", "clear", "zzz", cwd=cache)
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr == f"facet: cache 'zzz': no such digest, expected one of {known}\n"
    answer = facet("cache", "clear", "--unused-for", -1, cwd=cache)
    assert (answer.code, answer.stderr.count("\n")) == (1, 1)
    answer = facet("cache", "lst", cwd=cache)
    assert (answer.code, answer.stderr.count("\n")) == (2, 1)
    assert "Did you mean 'list'?" in answer.stderr
