"""`facet pack` as a user meets it: what it says, what it leaves, and one sentence for every mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from trees import agegender_paths, encoded, picture, plant, write

from hdf5_helper.reading.reader import HDF5Reader

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """60 good images of 30 persons, one damaged, and a file that is no image."""
    root = plant(tmp_path_factory.mktemp("faces"), agegender_paths(30))
    write(root, "combined/aligned/20_F/nm9_rm9_1980-1-1_2010.jpg", encoded(picture(1, 200, 200))[:1000])
    write(root, "combined/Thumbs.db", b"x")
    return root


def test_it_says_what_it_found_what_it_does_and_what_comes_next(facet, tree, tmp_path):
    answer = facet("pack", tree, "faces.h5", cwd=tmp_path)
    assert (answer.code, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert lines[0] == f"{tree}: layout agegender (30 folders AGE_F and AGE_M)"
    assert lines[1] == "61 examples: 47 train, 2 validation, 12 test (split: official); 1 other file ignored"
    assert lines[2].startswith("faces.h5: encoded storage, up to ")
    assert lines[2].endswith(" free")
    assert lines[3].startswith("faces.h5: 60 examples (46 train, 2 validation, 12 test), ")
    assert lines[4:] == [
        "1 image left out, with reasons: faces.h5.rejects.csv",
        "next: facet inspect faces.h5",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.h5", "faces.h5.rejects.csv"]


def test_with_json_stdout_is_one_value(facet, tree, tmp_path):
    answer = facet("pack", tree, "faces.h5", "--json", cwd=tmp_path)
    report = json.loads(answer.stdout)
    assert report.pop("seconds") < 60
    with HDF5Reader(tmp_path / "faces.h5") as reader:
        assert report == {
            "path": "faces.h5",
            "layout": "agegender",
            "storage": "encoded",
            "examples": 60,
            "splits": {"train": 46, "validation": 2, "test": 12},
            "labels": ["age", "age_group", "gender"],
            "rejects": 1,
            "rejects_file": "faces.h5.rejects.csv",
            "ignored": 1,
            "found": 0,
            "in_several_sources": 0,
            "bytes": (tmp_path / "faces.h5").stat().st_size,
            "images_digest": reader.images_digest,
            "index_digest": reader.index_digest,
        }


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_dry_run_writes_nothing(facet, tree, tmp_path, extra):
    answer = facet("pack", tree, "faces.h5", "--dry-run", *extra, cwd=tmp_path)
    assert answer.code == 0
    assert list(tmp_path.iterdir()) == []
    if extra:
        assert json.loads(answer.stdout)["splits"] == {"train": 47, "validation": 2, "test": 12}
    else:
        assert answer.stdout.splitlines()[-1] == "Nothing was written: --dry-run"


def test_every_option_reaches_the_file(facet, tmp_path):
    rows = "\n".join(f"{n}.png,{'WM'[n % 2]}X,{20 + n},{'ab'[n % 3 > 0]},{n % 4}" for n in range(40))
    write(tmp_path, "t/list.csv", f"file,sex,AGE,camera,fold\n{rows}\n".encode())
    plant(tmp_path / "t", [f"{n}.png" for n in range(40)])
    options = (
        "--layout manifest --storage raw --image-size 20x16 --fit pad --split official --fold 1 --fraction 0.5 --seed 3"
        " --limit 15 --columns path=file,gender=sex,age=AGE --map gender:WX=female --map gender:MX=male --groups camera"
        " --workers 1 --overwrite"
    )
    write(tmp_path, "faces.h5", b"old")
    answer = facet("pack", "t", "faces.h5", *options.split(), cwd=tmp_path)
    assert (answer.code, answer.stderr) == (0, "")
    with HDF5Reader(tmp_path / "faces.h5") as reader:
        assert len(reader) == 15
        assert (reader.storage, reader.image_size, reader.fit) == ("raw", (20, 16), "pad")
        assert (reader.label_names, reader.groups) == (("age", "age_group", "gender"), ("camera",))
        assert set(reader.folds[reader.split("test")]) == {1}
        assert set(reader.folds[reader.split("validation")]) == {0}
        assert {key: reader.attributes[key] for key in ("layout", "split", "fraction", "seed", "limit")} == {
            "layout": "manifest",
            "split": "fold 1",
            "fraction": 0.5,
            "seed": 3,
            "limit": 15,
        }


def test_renamed_class_folders_give_the_same_labels(facet, tmp_path, real_data):
    portraits = real_data("portraits")
    (tmp_path / "t").mkdir()
    for old, new in (("man", "male"), ("woman", "female")):
        (tmp_path / "t" / new).symlink_to(portraits / old)
    labels = []
    for tree in (portraits, tmp_path / "t"):
        assert facet("pack", tree, "p.h5", "--overwrite", cwd=tmp_path).code == 0
        with HDF5Reader(tmp_path / "p.h5") as reader:
            names = [path.split("/")[1] for path in reader.paths]
            labels.append(dict(zip(names, reader.labels("gender").tolist(), strict=True)))
    assert labels[0] == labels[1]
    assert labels[0] == {
        path.name: number for number, kind in enumerate(("man", "woman")) for path in (portraits / kind).iterdir()
    }


MISTAKES = {
    "missing {out}": "missing: no such folder, expected a tree of labelled images",
    "{tree} {out} --storage encodde": "--storage 'encodde': expected one of encoded, raw (did you mean 'encoded'?)",
    "{tree} {out} --fit strech": "--fit 'strech': expected one of crop, pad, stretch (did you mean 'stretch'?)",
    "{tree} {out} --split-by person": "--split-by 'person': expected one of image, subject",
    "{tree} {out} --split offical": (
        "--split 'offical': expected `official`, or three parts with the sum 1 such as 0.64,0.16,0.2"
    ),
    "{tree} {out} --image-size 0": "image size '0': expected one side such as 150, or HEIGHTxWIDTH such as 218x178",
    "{tree} {out} --fraction 2": "--fraction 2: expected more than 0 and at most 1",
    "{tree} {out} --workers 0": "--workers 0: expected at least 1",
    "{tree} {out} --fold 1": "--fold 1: layout agegender has no folds here, expected no --fold",
    "{tree} {out} --map W=f": "--map 'W=f': expected LABEL:WRITTEN=MEANT such as gender:W=female,M=male",
    "{tree} {out} --columns path": "--columns 'path': expected pairs such as a=b,c=d",
    "{tree} {out} --label-name age": "--label-name 'age': this name has a meaning of its own, expected another",
    "{tree} {out} --label-name a/b": "--label-name 'a/b': expected letters, digits, _ . - only, and no dot first",
    "{tree} {out} --label-name .": "--label-name '.': expected letters, digits, _ . - only, and no dot first",
    "{tree} {out} --groups race": "--groups: layout agegender has no use for it, expected layout manifest",
    "{tree} {out} --split-by image": (
        "--split-by image: layout agegender brings its own split, expected --split with parts"
    ),
    "{tree} nowhere/a.h5": "nowhere/a.h5: no such folder as nowhere, expected an existing one",
    "{tree} {tree}": "{tree}: is a folder, expected the name of a file to write",
    "{tree}/combined/Thumbs.db {out}": (
        "{tree}/combined/Thumbs.db: is one file, expected a folder of labelled images, or a table of them"
        " (.csv, .tsv, .txt)"
    ),
    "{empty} {out}": "{empty}: holds no image among 0 files, expected a tree of labelled images",
    "{tree} {out} --limit many": "Invalid value for '--limit': 'many' is not a valid integer.",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing(tree, tmp_path, command, monkeypatch, capfd):
    """In this process: `facet` in a process of its own is tested below and above."""
    from scripts.cli import main

    (tmp_path / "empty").mkdir()
    words = {"tree": tree, "out": "faces.h5", "empty": "empty"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["facet", "pack", *(word.format(**words) for word in command.split())])
    monkeypatch.setattr("scripts.pack.quiet_native_logs", lambda: None)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capfd.readouterr() == ("", f"facet: {MISTAKES[command].format(**words)}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_an_existing_file_is_left_alone(facet, tree, tmp_path):
    write(tmp_path, "faces.h5", b"old")
    answer = facet("pack", tree, "faces.h5", cwd=tmp_path)
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr == "facet: faces.h5: exists already, expected a new name or --overwrite\n"
    assert (tmp_path / "faces.h5").read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_to_is_one_sentence(tree, tmp_path):
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs -o ro none disk && exec "$0" -m scripts pack "$1" disk/a.h5'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, sys.executable, tree],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    assert done.returncode == 1
    assert done.stderr.startswith("facet: disk/a.h5: ")
    assert done.stderr.count("\n") == 1
