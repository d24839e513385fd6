import gzip
import json
import zipfile

import numpy as np
import pytest
from foreign_networks import foreign_layers
from weight_files_caffe import write_caffe
from weight_files_torch7 import write_torch7

from models.backbones.building import build_backbone
from models.pretrained.reading import FORMATS
from models.weights import load_backbone_weights

#: One layer of a network: enough to be listed, and to be refused.
LAYERS = [("conv1", {"weight": np.zeros((8, 3, 3, 3), np.float32), "bias": np.zeros(8, np.float32)})]


@pytest.fixture
def folder(tmp_path):
    write_caffe(tmp_path / "net.caffemodel", LAYERS)
    (tmp_path / "notes.txt").write_text("no weights at all, but a text that is long enough to be looked at")
    (tmp_path / "face.tar.gz").write_bytes(gzip.compress(b"weights inside"))
    with zipfile.ZipFile(tmp_path / "face.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("face/net.caffemodel", "weights inside")
    (tmp_path / "taken.weights.h5").write_text("here already")
    return tmp_path


def run(facet, folder, command):
    return facet("import-weights", *command.split(), cwd=folder)


def test_list_shows_the_arrays_of_a_file(facet, folder):
    answer = run(facet, folder, "net.caffemodel --list")
    assert (answer.code, answer.stderr) == (0, "")
    *arrays, last = answer.stdout.splitlines()
    assert [line.split() for line in arrays] == [["conv1.weight", "float32", "8x3x3x3"], ["conv1.bias", "float32", "8"]]
    assert last.startswith("net.caffemodel: Caffe")
    assert last.endswith(", 2 arrays with 224 values")


def test_list_as_json_is_one_value(facet, folder):
    answer = run(facet, folder, "net.caffemodel --list --json")
    assert json.loads(answer.stdout)["arrays"] == [
        {"name": "conv1.weight", "dtype": "float32", "shape": [8, 3, 3, 3]},
        {"name": "conv1.bias", "dtype": "float32", "shape": [8]},
    ]


def test_vgg_face_is_imported_and_taken_by_a_training(facet, tmp_path):
    layers = foreign_layers("vggface", {"width": 1 / 64}, last=False)
    write_torch7(tmp_path / "face.t7", layers)
    (tmp_path / "face.weights.h5").write_text("old")
    (tmp_path / "face.weights.h5.json").write_text("old")
    command = (
        "face.t7 face.weights.h5 --architecture vggface --set width=0.015625 --overwrite --licence CC --trained-on x"
    )
    answer = run(facet, tmp_path, f"{command} --color RGB --mean 1,2,3 --scale 4,5,6 --json")
    assert answer.code == 0, answer.stderr
    told = json.loads((tmp_path / "face.weights.h5.json").read_text())
    assert json.loads(answer.stdout) == {"weights": "face.weights.h5", **told}
    assert told["preprocessing"] == {"color": "RGB", "mean": [1.0, 2.0, 3.0], "scale": [4.0, 5.0, 6.0]}
    assert (told["licence"], told["trained_on"]) == ("CC", "x")
    assert facet("sample", "faces", "--layout", "agegender", "--count", 60, "--image-size", 64, cwd=tmp_path).code == 0
    assert facet("pack", "faces", "faces.h5", cwd=tmp_path).code == 0
    assert "next: facet train FILE.h5 --backbone vggface --weights face.weights.h5" in answer.stderr
    options = "--backbone vggface --weights face.weights.h5 --batch-size 16 --warm-up-epochs 1 --fine-tuning-epochs 0"
    trained = facet("train", "faces.h5", "--run", "first", "--label", "gender", *options.split(), cwd=tmp_path)
    assert trained.code == 0, trained.stderr


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("none.t7 out.weights.h5 --architecture vggface", "none.t7: no such file, expected a file of weights"),
        (
            "notes.txt --list",
            f"notes.txt: no weights file that Facet knows, expected one of {', '.join(f.suffixes for f in FORMATS)}",
        ),
        (
            "face.tar.gz --list",
            "face.tar.gz: an archive packed by gzip, expected the weights file inside: unpack it first",
        ),
        (
            "face.zip --list",
            "face.zip: an archive packed by zip, expected one of torch.save, or the weights file inside: unpack it …",
        ),
        (
            "net.caffemodel out.weights.h5 --list",
            "out.weights.h5: given with --list, which writes nothing, expected one of the two",
        ),
        ("net.caffemodel --architecture vggface", "OUT.weights.h5: none given, expected the file to write, or --list"),
        ("net.caffemodel out.weights.h5", "--architecture: none given, expected one of densenet121, …"),
        (
            "net.caffemodel out.h5 --architecture vggface",
            "out.h5: expected a name that ends in .weights.h5, which Keras reads",
        ),
        (
            "net.caffemodel taken.weights.h5 --architecture vggface",
            "taken.weights.h5: exists already, expected another name, or --overwrite of a file",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture vgface",
            "backbone 'vgface': expected one of densenet121, …",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture vggface --set width",
            "--set 'width': expected key=value",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture vggface --set widht=3",
            "--set: vggface with {'output': 'fc7', 'widht': 3}: no argument 'widht', expected one of output, width (…",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture vggface --color RGB",
            "--color, --mean, --scale: expected both color and mean, and scale where it is not 1",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture vggface --color RGB --mean 1,2",
            "--mean '1,2': expected 3 numbers with commas",
        ),
        (
            "net.caffemodel none/out.weights.h5 --architecture vggface",
            "none/out.weights.h5: none is no folder, expected one that exists",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture vggface --set name=x",
            "--set: vggface with {'output': 'fc7', 'name': 'x'}: no argument 'name', expected one of output, width",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture vggface --set width=.inf",
            "--set: vggface with {'output': 'fc7', 'width': inf}: cannot convert float infinity to …",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture vggface --set width=abc",
            "--set: vggface with {'output': 'fc7', 'width': 'abc'}: width is 'abc', expected a number",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture vggface --color RGB --mean nan,0,0",
            "preprocessing needs finite numbers, found (nan, 0.0, 0.0) and 1.0",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture mobilenet",
            "--color, --mean: none given, and what Caffe, V2 weights of mobilenet see differs",
        ),
        (
            "net.caffemodel out.weights.h5 --architecture mobilenet --color RGB --mean 0,0,0",
            "net.caffemodel: does not fit mobilenet: missing: conv1_bn.gamma, conv1_bn.beta, …",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_everything_as_it_was(facet, folder, command, sentence):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    answer = run(facet, folder, command)
    found, expected = answer.stderr, f"facet: {sentence}"
    assert (answer.code, answer.stdout, found.count("\n")) == (1, "", 1)
    assert found.startswith(expected[:-1]) if expected.endswith("…") else found == f"{expected}\n"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_model_of_keras_3_is_told_how_facet_takes_its_weights(facet, tmp_path):
    import keras

    model = build_backbone("vggface", (64, 64), {"width": 1 / 64}, seed=1)
    model.save(tmp_path / "model.keras")
    answer = run(facet, tmp_path, "model.keras out.weights.h5 --architecture vggface")
    sentence = (
        "model.keras: a .keras model of Keras 3, expected weights of another framework: --weights takes Keras 3's as"
        " they are, in the NAME.weights.h5 that the backbone's save_weights writes after keras.models.load_model"
    )
    assert (answer.code, answer.stdout, answer.stderr) == (1, "", f"facet: {sentence}\n")
    keras.models.load_model(tmp_path / "model.keras").save_weights(tmp_path / "model.weights.h5")
    other = build_backbone("vggface", (64, 64), {"width": 1 / 64}, seed=2)
    load_backbone_weights(other, str(tmp_path / "model.weights.h5"), "vggface", {"width": 1 / 64})
    assert all(np.array_equal(*pair) for pair in zip(other.get_weights(), model.get_weights(), strict=True))
