"""One network written in every format comes back as the same Keras weights, and computes what an oracle computes."""

import hashlib
import json

import cv2
import h5py
import numpy as np
import pytest
from foreign_networks import (
    NARROW,
    channels_first,
    channels_last,
    in_words,
    keras_targets,
    random_arrays,
    torchvision_layers,
)
from torchvision_resnext import forward
from weight_files_caffe import prototxt, write_caffe
from weight_files_keras_h5 import write_keras_h5
from weight_files_matconvnet import MatConvNetForm, write_matconvnet
from weight_files_pytorch import state_dict, write_pytorch
from weight_files_safetensors import write_safetensors
from weight_files_torch7 import write_torch7

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import no_words
from models.backbones.building import build_backbone
from models.backbones.registry import backbone_named
from models.preprocessing import Preprocessing
from models.pretrained.importing import Import, import_weights, usual_preprocessing
from models.pretrained.named_arrays import NamedArrays
from models.pretrained.reading import FORMATS
from models.weights import load_backbone_weights, read_weights_file

RESNEXT = {"width": 0.0625, "cardinality": 4, "blocks": (1, 2, 1, 1)}
BGR = Preprocessing("BGR", (93.5940, 104.7624, 129.1863), 1.0)

#: The classifier of 10 persons on the narrow fc7.
CLASSIFIER = {"kernel": np.zeros((10, 256), np.float32), "bias": np.zeros(10, np.float32)}


@pytest.fixture(scope="module")
def vgg_face():
    """Gives VGG-Face's arrays in Keras's shapes, small enough for values to stay finite, and as layers of Torch."""
    targets = keras_targets("vggface", NARROW)
    arrays = {name: array / 8 for name, array in random_arrays(targets).items()}
    return targets, arrays, in_words([*channels_first(targets, arrays), ("fc8", CLASSIFIER)])


@pytest.fixture(scope="module")
def resnext():
    """Gives ResNeXt50's arrays in Keras's shapes, and as torchvision's layers."""
    targets = keras_targets("resnext50", RESNEXT)
    arrays = random_arrays(targets)
    fc = ("fc", {"weight": np.zeros((40, 128), np.float32), "bias": np.zeros(40, np.float32)})
    return targets, arrays, [*torchvision_layers(targets, arrays), fc]


def keras_layers(targets, arrays):
    layers = {}
    for target in targets:
        layers.setdefault(target.layer, {})[target.role] = arrays[target.name]
    return list(layers.items())


def imported(source, architecture, arguments, folder, **more):
    """Imports a file; gives the weights file."""
    out = folder / f"{source.name}.weights.h5"
    import_weights(Import(source, out, architecture, arguments, **more), no_words)
    return out


def loaded(path, architecture, arguments, size):
    model = build_backbone(architecture, size, arguments, seed=0)
    load_backbone_weights(model, str(path), architecture, arguments)
    return model


@pytest.fixture(scope="module")
def four_files(vgg_face, tmp_path_factory):
    """Gives one VGG-Face in the four formats that it is published in."""
    targets, arrays, layers = vgg_face
    folder = tmp_path_factory.mktemp("files")
    write_torch7(folder / "face.t7", layers)
    write_caffe(folder / "face.caffemodel", layers)
    write_matconvnet(folder / "face.mat", channels_last(layers, targets))
    write_keras_h5(folder / "face.h5", keras_layers(targets, arrays))
    return folder


@pytest.mark.parametrize("name", ["face.t7", "face.caffemodel", "face.mat", "face.h5"])
def test_vgg_face_comes_back_from_every_format_it_is_published_in(name, vgg_face, four_files, tmp_path):
    targets, arrays, _layers = vgg_face
    model = loaded(imported(four_files / name, "vggface", {"width": 1 / 16}, tmp_path), "vggface", NARROW, (224, 224))
    found = dict(zip([target.name for target in targets], model.get_weights(), strict=True))
    assert all(np.array_equal(found[target], arrays[target]) for target in arrays)


@pytest.mark.parametrize(
    "form", [MatConvNetForm(old=True, loose=True), MatConvNetForm(version="7.3"), MatConvNetForm(dag=True)]
)
def test_every_kind_of_matconvnet_file_gives_the_same_weights(form, vgg_face, tmp_path):
    targets, arrays, layers = vgg_face
    write_matconvnet(tmp_path / "face.mat", channels_last(layers, targets), form)
    out = imported(tmp_path / "face.mat", "vggface", {"width": 1 / 16}, tmp_path)
    found = loaded(out, "vggface", NARROW, (224, 224)).get_weights()
    assert all(np.array_equal(*pair) for pair in zip(found, arrays.values(), strict=True))


def test_vgg_face_computes_what_opencv_computes_of_the_caffe_file(vgg_face, four_files, tmp_path):
    _targets, _arrays, layers = vgg_face
    pooled = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")
    (tmp_path / "net.prototxt").write_text(prototxt(layers[:-1], (3, 224, 224), pooled=pooled))
    net = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(four_files / "face.caffemodel"))
    images = np.random.default_rng(0).normal(0, 1, (1, 224, 224, 3)).astype(np.float32)
    net.setInput(images.transpose(0, 3, 1, 2))
    expected = np.maximum(net.forward(), 0)
    out = imported(four_files / "face.caffemodel", "vggface", {"width": 1 / 16}, tmp_path)
    found = loaded(out, "vggface", NARROW, (224, 224))(images).numpy()
    assert found.shape == expected.shape == (1, 256)
    assert 0.2 < np.mean(found > 0) < 0.8
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.max())


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_resnext50_comes_back_from_pytorch_and_computes_what_torchvision_defines(form, resnext, tmp_path):
    _targets, arrays, layers = resnext
    path = tmp_path / "resnext"
    if form == "safetensors":
        write_safetensors(path, layers)
    else:
        write_pytorch(path, layers, legacy=form == "legacy")
    model = loaded(imported(path, "resnext50", RESNEXT, tmp_path), "resnext50", RESNEXT, (64, 64))
    found = {weight.path.replace("/", "."): weight.numpy() for weight in model.weights}
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    images = np.random.default_rng(1).normal(0, 1, (1, 64, 64, 3)).astype(np.float32)
    expected = forward(images.transpose(0, 3, 1, 2), state_dict(layers), RESNEXT["blocks"], 4).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("face.t7", BGR),
        ("face.caffemodel", BGR),
        ("face.h5", BGR),
        ("face.mat", Preprocessing("RGB", (1.0, 1.0, 1.0), 1.0)),  # the mean in the file
    ],
)
def test_the_sidecar_says_what_weights_of_a_format_want_to_see(name, wanted, four_files, tmp_path):
    out = imported(four_files / name, "vggface", {"width": 1 / 16}, tmp_path)
    assert read_weights_file(out).preprocessing == wanted


def test_torchvisions_weights_want_its_normalised_rgb(resnext, tmp_path):
    write_pytorch(tmp_path / "resnext.pth", resnext[2])
    out = imported(tmp_path / "resnext.pth", "resnext50", RESNEXT, tmp_path)
    assert read_weights_file(out).preprocessing == Preprocessing(
        "RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    )


def said_of(source, folder, **more):
    """Gives what an import says last: how images will be seen."""
    said = []
    wanted = Import(source, folder / "out.weights.h5", "vggface", {"width": 1 / 16}, **more)
    import_weights(wanted, said.append)
    return said[-1]


def test_what_weights_want_to_see_is_assumed_where_neither_file_nor_options_say_it(four_files, tmp_path):
    assert said_of(four_files / "face.t7", tmp_path) == (
        "images will be seen as BGR, (x - [93.594, 104.7624, 129.1863]) / 1, which is assumed of such files:"
        " --color, --mean and --scale say otherwise"
    )


def test_what_a_file_says_that_its_weights_want_to_see_is_not_assumed(four_files, tmp_path):
    assert said_of(four_files / "face.mat", tmp_path) == "images will be seen as RGB, (x - [1.0, 1.0, 1.0]) / 1"


def test_what_options_say_that_weights_want_to_see_is_not_assumed(four_files, tmp_path):
    assert (
        said_of(four_files / "face.t7", tmp_path, preprocessing=Preprocessing()) == "images will be seen as RGB 0-255"
    )


@pytest.mark.parametrize("key", ["pytorch", "safetensors", "matconvnet"])
def test_vgg_face_of_matconvnets_tradition_wants_rgb_minus_its_own_mean_where_the_file_tells_none(key):
    form = next(known for known in FORMATS if known.key == key)
    found = NamedArrays("test", {}, "HWIO" if key == "matconvnet" else "OIHW")
    assert usual_preprocessing(backbone_named("vggface"), form, found) == Preprocessing(
        "RGB", (129.1863, 104.7624, 93.5940), 1.0
    )


def test_an_old_model_with_heads_of_its_own_is_imported_without_them(vgg_face, tmp_path):
    targets, arrays, _layers = vgg_face
    heads = [(name, {"kernel": np.zeros((256, 8), np.float32), "bias": np.zeros(8)}) for name in ("age", "dense_1")]
    write_keras_h5(tmp_path / "old.h5", [*keras_layers(targets, arrays), *heads], config="{}")
    with pytest.raises(
        FacetError, match=r"left over: age\.kernel, .* \(--leave-out LAYER leaves out those of an old head\)$"
    ):
        imported(tmp_path / "old.h5", "vggface", {"width": 1 / 16}, tmp_path)
    said = []
    out = tmp_path / "out.weights.h5"
    wanted = Import(tmp_path / "old.h5", out, "vggface", {"width": 1 / 16}, leave_out=("dense*", "age"))
    import_weights(wanted, said.append)
    assert "left out as asked: age, dense_1" in said
    found = loaded(out, "vggface", NARROW, (224, 224)).get_weights()
    assert all(np.array_equal(*pair) for pair in zip(found, arrays.values(), strict=True))


def test_efficientnet_of_keras_2_is_imported_without_its_normalization(tmp_path):
    targets = keras_targets("EfficientNetB0", {})
    layers = keras_layers(targets, random_arrays(targets))
    own = {"mean": np.zeros(3, np.float32), "variance": np.ones(3, np.float32), "count": np.int64(0)}
    write_keras_h5(tmp_path / "old.h5", [("normalization", own), *layers])
    out = imported(tmp_path / "old.h5", "EfficientNetB0", {}, tmp_path, leave_out=("normalization",))
    assert read_weights_file(out).architecture == "EfficientNetB0"


def test_the_sidecar_says_where_the_weights_are_from(four_files, tmp_path):
    preprocessing = Preprocessing("RGB", (1.0, 2.0, 3.0), 4.0)
    told = {"licence": "CC BY-NC 4.0", "trained_on": "2,622 celebrities", "preprocessing": preprocessing}
    source = four_files / "face.t7"
    out = imported(source, "vggface", {"width": 1 / 16}, tmp_path, **told)
    found = json.loads(out.with_name(f"{out.name}.json").read_text())
    assert found == {
        "architecture": "vggface",
        "arguments": {"width": 1 / 16},
        "holds": {"output": "fc7", "width": 1 / 16},
        "preprocessing": {"color": "RGB", "mean": [1.0, 2.0, 3.0], "scale": 4.0},
        "source": {
            "file": "face.t7",
            "format": found["source"]["format"],
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        },
        "licence": "CC BY-NC 4.0",
        "trained_on": "2,622 celebrities",
    }
    assert found["source"]["format"].startswith("Torch7")


def test_what_does_not_fit_is_one_sentence_and_nothing_is_written(four_files, tmp_path):
    with pytest.raises(FacetError) as error:
        imported(four_files / "face.caffemodel", "vggface", {"width": 1 / 8}, tmp_path)
    assert str(error.value) == (
        f"{four_files / 'face.caffemodel'}: does not fit vggface: of another shape: conv1_1.kernel (4x3x3x3 in the"
        " file, 3x3x3x8 in Keras), conv1_1.bias (4 in the file, 8 in Keras), conv1_2.kernel (4x4x3x3 in the file,"
        " 3x3x8x8 in Keras) and 27 more"
    )
    assert list(tmp_path.iterdir()) == []


def test_at_no_time_are_there_weights_beside_the_sidecar_of_others(four_files, tmp_path, monkeypatch):
    out = imported(four_files / "face.t7", "vggface", {"width": 1 / 16}, tmp_path)
    (tmp_path / "net.t7").write_bytes((four_files / "face.t7").read_bytes())
    seen = []
    replace = type(out).replace

    def interrupted(path, target):
        seen.append((target.name, sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("."))))
        if target.name.endswith(".json"):
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(type(out), "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_weights(Import(tmp_path / "net.t7", out, "vggface", {"width": 1 / 16}, overwrite=True), no_words)
    assert seen == [
        (out.name, ["face.t7.weights.h5", "net.t7"]),
        (f"{out.name}.json", ["face.t7.weights.h5", "net.t7"]),
    ]


def test_the_file_that_is_imported_is_never_replaced(four_files, tmp_path):
    same = tmp_path / "face.weights.h5"
    same.write_bytes((four_files / "face.h5").read_bytes())
    with pytest.raises(FacetError) as error:
        Import(same, same, "vggface", overwrite=True)
    assert str(error.value) == f"{same}: is the file that is imported, expected another name"


def test_a_picture_is_seen_by_imported_weights_as_opencv_prepares_it_for_caffe(four_files, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    preprocessing = read_weights_file(
        imported(four_files / "face.caffemodel", "vggface", {"width": 1 / 16}, tmp_path)
    ).preprocessing
    kernel, bias = preprocessing.kernel_and_bias()
    found = picture.astype(np.float32) @ kernel[0, 0] + bias
    # OpenCV's own reading order is BGR, and VGG-Face's demonstration subtracts these from it
    bgr = np.ascontiguousarray(picture[..., ::-1])
    expected = cv2.dnn.blobFromImage(bgr, mean=(93.5940, 104.7624, 129.1863))[0].transpose(1, 2, 0)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_weights_are_float32_whatever_the_file_holds(vgg_face, tmp_path):
    _targets, _arrays, layers = vgg_face
    doubles = [(name, {role: array.astype(np.float64) for role, array in layer.items()}) for name, layer in layers]
    write_torch7(tmp_path / "face.t7", doubles)
    kinds = set()
    with h5py.File(imported(tmp_path / "face.t7", "vggface", {"width": 1 / 16}, tmp_path)) as file:
        file.visititems(lambda _name, item: kinds.add(item.dtype) if isinstance(item, h5py.Dataset) else None)
    assert kinds == {np.dtype("float32")}
