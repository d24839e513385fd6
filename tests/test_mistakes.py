"""What users get wrong: one sentence, exit code 1, nothing else on stderr, nothing left behind."""

import json
import shutil
from pathlib import Path

import keras
import pytest

from models.backbones.building import build_backbone

MOBILENET = ("--label", "gender", "--backbone", "mobilenet", "--weights", "none")


@pytest.fixture(scope="module")
def start(tmp_path_factory, packed, sample_tree):
    """A folder with what the commands below are wrong about."""
    folder = tmp_path_factory.mktemp("mistakes")
    shutil.copy(packed("agegender", count=60, side=32), folder / "faces.h5")
    shutil.copy(packed("folders", count=60, side=32), folder / "folders.h5")
    shutil.copytree(sample_tree("folders", 20, image_size=32), folder / "tree")
    (folder / "empty").mkdir()
    (folder / "text.h5").write_text("no HDF5 at all")
    base = build_backbone("mobilenet", (32, 32), {"alpha": 0.25}, 0)
    base.save_weights(folder / "narrow.weights.h5")
    shutil.copy(folder / "narrow.weights.h5", folder / "told.weights.h5")
    (folder / "told.weights.h5.json").write_text(
        json.dumps({"architecture": "mobilenet", "arguments": {"alpha": 0.25}})
    )
    keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(1)]).save(
        folder / "own.keras"
    )
    (folder / "broken.pb").write_bytes(b"\x00\x01 no graph")
    return folder


def files(folder):
    return sorted((str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("pack nowhere new.h5", "nowhere: no such folder, expected a tree of labelled images"),
        ("pack empty new.h5", "empty: holds no image among 0 files, expected a tree of labelled images"),
        ("pack tree faces.h5", "faces.h5: exists already, expected a new name or --overwrite"),
        ("pack tree new.h5 --storage ra", "--storage 'ra': expected one of encoded, raw (did you mean 'raw'?)"),
        ("pack tree new.h5 --fit crp", "--fit 'crp': expected one of crop, pad, stretch (did you mean 'crop'?)"),
        ("pack tree nowhere/new.h5", "nowhere/new.h5: no such folder as nowhere, expected an existing one"),
        ("inspect text.h5", "text.h5: is no HDF5 file, expected one made by `facet pack`"),
        ("train nowhere.h5 MOBILENET", "nowhere.h5: no such file, expected one made by `facet pack`"),
        ("train text.h5 MOBILENET", "text.h5: is no HDF5 file, expected one made by `facet pack`"),
        (
            "train MOBILENET",
            "facet train: no data given, expected a packed HDF5 file, --resume NAME or --from RUN",
        ),
        (
            "train folders.h5 --label age --backbone mobilenet --weights none",
            "--label age: folders.h5 does not have it, expected one of gender",
        ),
        (
            "train faces.h5 --label gendr --backbone mobilenet --weights none",
            "--label gendr: faces.h5 does not have it, expected one of age, age_group, gender (did you mean 'gender'?)",
        ),
        (
            "train faces.h5 --label gender --backbone mobilnet --weights none",
            "backbone 'mobilnet': expected one of densenet121, efficientnetv2b0, mobilenet, mobilenet_v2, …",
        ),
        (
            "train faces.h5 --label gender --backbone mobilenet",
            "--weights: none given, expected imagenet, none (train from nothing) or a Keras weights file",
        ),
        (
            "train faces.h5 --label gender --backbone vgg19 --weights told.weights.h5",
            "weights told.weights.h5: made for mobilenet, but --backbone is vgg19",
        ),
        (
            "train faces.h5 --label gender --backbone mobilenet --weights narrow.weights.h5",
            "weights START/narrow.weights.h5: do not fit mobilenet with arguments {} (…",
        ),
        (
            "train faces.h5 --label gender --backbone vgg19 --weights imagenet --image-size 16",
            "image size 16x16: vgg19 needs at least 32 pixels a side",
        ),
        ("train faces.h5 MOBILENET --image-size big", "image size 'big': expected one side such as 150, or …"),
        (
            "train faces.h5 MOBILENET --optimizer adm",
            "optimizer 'adm': expected one of adam, adamax, rmsprop, sgd (did you mean 'adam'?)",
        ),
        (
            "train faces.h5 MOBILENET --class-weights 0:a",
            "class weights '0:a': expected none, balanced or such as 0:1,1:1.582",
        ),
        (
            "train faces.h5 MOBILENET --class-weights 0:1",
            "class weights '0:1': expected one weight for each of the classes 0 to 1",
        ),
        ("train faces.h5 MOBILENET --set units=[a]", "setting units: expected tuple[int, ...], found ['a']"),
        (
            "train faces.h5 MOBILENET --warm-up-epochs 0 --fine-tuning-epochs 0",
            "warm_up_epochs and fine_tuning_epochs: both are 0, expected at least one epoch",
        ),
        (
            "train faces.h5 MOBILENET --trainable-layers conv_pw_31",
            "trainable_layers 'conv_pw_31': expected a number of layers from the top, all, or the name of one of …",
        ),
        (
            "train faces.h5 MOBILENET --batch-size many",
            "Invalid value for '--batch-size': 'many' is not a valid integer.",
        ),
        ("train faces.h5 MOBILENET --run ../up", "run name '../up': expected letters, digits, …"),
        ("train --resume first", "run 'first': not in history, there are no runs yet"),
        ("evaluate first", "run 'first': not in history, there are no runs yet"),
        ("evaluate own.keras", "--data: none given, expected the packed HDF5 file to measure own.keras on"),
        (
            "evaluate own.keras --split tst",
            "--split 'tst': expected one of all, test, train, validation (did you mean 'test'?)",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(facet, start, command, sentence):
    before = files(start)
    arguments = [part for word in command.split() for part in (MOBILENET if word == "MOBILENET" else (word,))]
    answer = facet(*arguments, cwd=start)
    told, cut, _rest = sentence.replace("START", str(start)).partition("…")
    assert answer.stderr.startswith(f"facet: {told}")
    assert answer.stderr.count("\n") == 1
    assert cut or answer.stderr == f"facet: {told}\n"
    assert (answer.code, files(start)) == (1, before)


def small_disk(facet_command, size, folder):
    """Runs a command in a user namespace of its own, with a tmpfs of `size` at ./disk."""
    import subprocess

    script = f"mount -t tmpfs -o {size} tmpfs disk && {facet_command}; code=$?; find disk -type f; exit $code"
    return subprocess.run(
        ["unshare", "-rm", "bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def disk(tmp_path):
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed: no small disk can be made")
    (tmp_path / "disk").mkdir()
    return tmp_path


def command(start, *words):
    import sys

    python = f"PYTHONPATH={Path(__file__).parent.parent} {sys.executable} -m scripts"
    return " ".join([python, *(word.replace("START", str(start)) for word in words)])


def test_a_checkpoint_that_finds_the_disk_full_is_one_sentence(disk, start):
    train = command(start, "train START/faces.h5 --run a --batch-size 16 --warm-up-epochs 1", *MOBILENET)
    done = small_disk(f"FACET_HISTORY=disk {train}", "size=1m", disk)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        "facet: disk/a/checkpoints/warm_up-epoch-0001.keras: the checkpoint could not be written"
    )
    left = [line for line in done.stdout.splitlines() if line.startswith("disk/")]
    assert [path for path in left if "part" in path or path.endswith(".keras")] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("pack START/tree disk/new.h5", "disk"),
        (f"train START/faces.h5 --run a {' '.join(MOBILENET)}", "disk/history"),
    ],
)
def test_a_folder_that_cannot_be_written_is_one_sentence(disk, start, words, sentence):
    run = command(start, words).replace("PYTHONPATH", "FACET_HISTORY=disk/history PYTHONPATH")
    done = small_disk(run, "ro,size=1m", disk)
    assert done.returncode == 1
    assert done.stderr.startswith(f"facet: {sentence}")
    assert done.stderr.rstrip().endswith("read-only file system") or "cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1
