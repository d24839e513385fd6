"""The preset is held against a replay of AgeEstimatorSharp's own steps, on the TensorFlow 1.15 C library."""

import json

import cv2
import keras
import numpy as np
import pytest
from exported_files import BY_KEY
from hypothesis import given
from hypothesis import strategies as st
from small_models import CAFFE, SLIM, application, images, model_on, narrow_vgg, values_of

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.export import export_model
from models.export.age_estimator_sharp import PRESET, for_age_estimator_sharp, one_number
from models.export.options import ExportOptions
from models.export.signature import GraphInput, GraphOutput, Signature
from models.network import HeadShape
from models.preprocessing import Preprocessing

SHARP = ExportOptions(preprocessing="outside", preset=PRESET, verify_with=("tensorflow",))
POOLED = HeadShape("average", (16,))


def crops(count=3, seed=5):
    """What that program's face finder cuts out of a picture: BGR, of all sizes."""
    return [cv2.resize(image, (90 + 37 * i, 130 + 11 * i)) for i, image in enumerate(images(count, 64, seed))]


def fed_by_the_program(faces, mean_file):
    """Its steps: nearest resize, bytes R, G, B, floats, all faces in one array, less the means, over 127.5."""
    rows = []
    for face in faces:
        small = cv2.resize(face, (150, 150), interpolation=cv2.INTER_NEAREST)
        pixels = [channel for row in small for pixel in row for channel in (pixel[2], pixel[1], pixel[0])]
        rows.append(np.array(pixels, np.float32).reshape(1, 150, 150, 3))
    mean = json.loads(mean_file.read_text())
    return (np.vstack(rows) - np.array([mean["R"], mean["G"], mean["B"]], np.float32)) / np.float32(127.5)


def run_by_the_program(path, fed, names):
    """Asks TensorFlow 1.15 for the first output of the named operations; gives one squeezed array a name."""
    outputs = tuple(GraphOutput(name, 1, Output(name, "linear")) for name in names)
    signature = Signature(GraphInput("root_input", (150, 150), Preprocessing()), outputs)
    with BY_KEY["tensorflow1"].open(path, signature) as graph:
        return {name: np.squeeze(values, 1) for name, values in graph.run(fed).values.items()}


def as_keras_sees(faces):
    """The same faces as RGB 0–255 of 150×150."""
    return np.stack([cv2.resize(face, (150, 150), interpolation=cv2.INTER_NEAREST)[..., ::-1] for face in faces])


def bases():
    yield pytest.param(lambda: narrow_vgg(150), CAFFE, HeadShape("flatten", (16,)), id="vgg19-flat-at-150")
    yield pytest.param(lambda: narrow_vgg(96), CAFFE, POOLED, id="vgg19-at-96")
    yield pytest.param(lambda: application("MobileNet", 64, alpha=0.25), CAFFE, POOLED, id="mobilenet-bgr")
    yield pytest.param(lambda: application("MobileNet", 64, alpha=0.25), SLIM, POOLED, id="mobilenet-rgb")


@pytest.mark.parametrize(("base", "preprocessing", "shape"), bases())
def test_the_program_gets_from_the_file_what_keras_gives(tmp_path, tensorflow_1, base, preprocessing, shape):
    model, description = model_on(base(), ("age", "gender"), preprocessing, shape)
    exported = export_model(model, description, tmp_path / "sharp.pb", SHARP)
    names = ("age_output/BiasAdd", "gender_output/Sigmoid")
    assert exported.sidecar.signature.output_names == names
    faces = crops()
    found = run_by_the_program(exported.path, fed_by_the_program(faces, tmp_path / "mean.json"), names)
    expected = values_of(for_age_estimator_sharp(model, description).source, description, as_keras_sees(faces))
    # other kernels sum in another order: years differ by more than shares
    np.testing.assert_allclose(found[names[0]], expected["age"][:, 0], rtol=2e-5)
    np.testing.assert_allclose(found[names[1]], expected["gender"][:, 0], atol=1e-5)


@pytest.mark.parametrize(("label", "name"), [("age", "age_output/BiasAdd"), ("gender", "gender_output/Sigmoid")])
def test_a_model_of_one_label_has_one_of_the_two_outputs(tmp_path, tensorflow_1, label, name):
    model, description = model_on(narrow_vgg(150), (label,), CAFFE, POOLED)
    exported = export_model(model, description, tmp_path / "one.pb", SHARP)
    assert exported.sidecar.signature.output_names == (name,)
    faces = crops(1)
    found = run_by_the_program(exported.path, fed_by_the_program(faces, tmp_path / "mean.json"), (name,))
    assert found[name].shape == (1,)
    assert found[name] == pytest.approx(values_of(model, description, as_keras_sees(faces))[label][:, 0], rel=1e-5)


def headed(outputs):
    """A model with softmax heads on one convolution, as fully convolutional as it gets."""
    image = keras.Input((64, 64, 3))
    values = keras.layers.Conv2D(8, 5, strides=3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    features = keras.layers.GlobalAveragePooling2D()(values)
    heads = {
        output.label: keras.layers.Dense(len(output.class_names), activation="softmax", name=output.label)(features)
        for output in outputs
    }
    model = keras.Model(image, heads)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.set_weights([12 * layer.get_weights()[0], layer.get_weights()[1]])
    return model, ModelDescription(tuple(outputs), (64, 64))


TWO = Output("gender", "softmax", ("male", "female"))
THREE = Output("gender", "softmax", ("unknown", "male", "female"))
BINS = Output("age", "softmax", ("0-2", "4-6", "25-32", "60-"), "years", (1.0, 5.0, 28.5, 70.0))


@pytest.mark.parametrize("gender", [TWO, THREE], ids=["two classes", "three classes"])
def test_softmax_and_age_bins_become_one_number_each(tmp_path, tensorflow_1, gender):
    model, description = headed((BINS, gender))
    exported = export_model(model, description, tmp_path / "sharp.pb", SHARP)
    names = ("age_output/BiasAdd", "gender_output/Sigmoid")
    faces = crops()
    found = run_by_the_program(exported.path, fed_by_the_program(faces, tmp_path / "mean.json"), names)
    told = values_of(for_age_estimator_sharp(model, description).source, description, as_keras_sees(faces))
    female, male = (told["gender"][:, gender.class_names.index(name)] for name in ("female", "male"))
    years = sum(told["age"][:, number] * value for number, value in enumerate((1.0, 5.0, 28.5, 70.0)))
    np.testing.assert_allclose(found[names[0]], years, rtol=1e-5)
    np.testing.assert_allclose(found[names[1]], female / (female + male), atol=1e-5)


def test_the_means_are_those_of_the_backbone_in_the_order_red_green_blue(tmp_path):
    export_model(*model_on(narrow_vgg(150), ("age",), CAFFE, POOLED), tmp_path / "sharp.pb", SHARP)
    assert json.loads((tmp_path / "mean.json").read_text()) == {"R": 123.68, "G": 116.779, "B": 103.939}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mean.json", "sharp.json", "sharp.pb"]


def test_nothing_stands_before_a_backbone_that_wants_what_the_program_feeds():
    from tensorflow.compat.v1 import GraphDef

    def convolutions(preprocessing):
        model, description = model_on(narrow_vgg(150), ("age",), preprocessing, POOLED)
        frozen = for_age_estimator_sharp(model, description).freeze()
        return sum(node.op == "Conv2D" for node in GraphDef.FromString(frozen.data).node)

    assert (convolutions(SLIM), convolutions(CAFFE)) == (16, 17)


def test_the_sidecar_says_what_the_program_does_to_the_pixels(tmp_path):
    exported = export_model(*model_on(narrow_vgg(150), ("age",), CAFFE, POOLED), tmp_path / "sharp.pb", SHARP)
    told = json.loads((tmp_path / "sharp.json").read_text())
    assert told["preset"] == PRESET
    assert told["preprocessing"] == "outside"
    assert told["input"] == {
        "name": "root_input",
        "shape": [None, 150, 150, 3],
        "dtype": "float32",
        "layout": "NHWC",
        "color": "RGB",
        "mean": [123.68, 116.779, 103.939],
        "scale": 127.5,
    }
    assert exported.sidecar.description.image_size == (150, 150)


def test_a_model_that_fits_one_size_alone_must_have_been_trained_at_that_size(tmp_path):
    model, description = model_on(narrow_vgg(64), ("age",), CAFFE, HeadShape("flatten", (16,)))
    with pytest.raises(FacetError) as refused:
        export_model(model, description, tmp_path / "sharp.pb", SHARP)
    assert str(refused.value) == (
        "--preset age-estimator-sharp: the model was trained at 64x64 and is not fully convolutional, expected one"
        " trained with --image-size 150x150"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ((Output("mood", "softmax", ("sad", "glad")),), "the model gives mood, expected age, gender or both"),
        ((Output("gender", "softmax", ("f", "m")),), "gender has classes f, m, expected male and female"),
        (
            (Output("gender", "linear", ("male", "female")),),
            "gender is linear of 2 values, expected a sigmoid, or a softmax of a value a class",
        ),
        (
            (Output("age", "softmax", ("young", "old")),),
            "age is softmax of 2 values, expected years, or a softmax whose description says the years of each class",
        ),
    ],
    ids=["another label", "classes of other names", "logits", "bins without years"],
)
def test_a_head_that_says_neither_years_nor_female_is_refused(tmp_path, outputs, sentence):
    with pytest.raises(FacetError) as refused:
        export_model(*headed(outputs), tmp_path / "sharp.pb", SHARP)
    assert str(refused.value) == f"--preset age-estimator-sharp: {sentence}"


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_the_unknown_class_takes_no_part_in_male_or_female(weights):
    share = np.array([weights], np.float32) / np.float32(sum(weights))
    found = one_number(share, THREE)
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(weights[2] / (weights[1] + weights[2]), rel=1e-5)


def test_means_of_another_graph_in_the_folder_are_not_replaced(tmp_path):
    export_model(*model_on(narrow_vgg(150), ("age",), CAFFE, POOLED), tmp_path / "first.pb", SHARP)
    before = (tmp_path / "mean.json").read_text()
    slim = model_on(narrow_vgg(150), ("age",), SLIM, POOLED)
    with pytest.raises(FacetError) as refused:
        export_model(*slim, tmp_path / "second.pb", SHARP, overwrite=True)
    assert str(refused.value) == (
        f"{tmp_path / 'mean.json'}: holds other means than this model's, expected another folder for second.pb"
    )
    assert (tmp_path / "mean.json").read_text() == before
    export_model(*model_on(narrow_vgg(150), ("gender",), CAFFE, POOLED), tmp_path / "third.pb", SHARP)
    names = ["first.json", "first.pb", "mean.json", "third.json", "third.pb"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_sigmoid_of_the_other_polarity_is_turned_round():
    reversed_gender = Output("gender", "sigmoid", ("female", "male"))
    assert one_number(np.array([[0.2]]), reversed_gender)[0, 0] == pytest.approx(0.8)
