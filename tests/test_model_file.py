import json
import resource
import zipfile

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import small_model

from hdf5_helper.errors import FacetError
from models import description as descriptions
from models.description import Output
from models.model_file import load_model_file, read_description, save_model_file

GENDER = Output("gender", "sigmoid", ("male", "female"))
AGE = Output("age", "linear", unit="years")


@pytest.mark.parametrize("name", ["plain.keras", "plain.h5"])
@pytest.mark.parametrize("labels", [("gender",), ("age",), ("age", "gender")], ids="-".join)
def test_a_model_saved_by_keras_alone_says_what_its_outputs_mean(tmp_path, name, labels):
    model, description = small_model(labels)
    model.save(tmp_path / name)
    _model, found = load_model_file(tmp_path / name)
    assert (found.outputs, found.image_size) == (description.outputs, (32, 32))


@given(st.text(), st.sampled_from(["sigmoid", "softmax", "linear", "relu"]))
def test_an_output_of_another_name_or_kind_is_given_no_meaning(name, activation):
    known = {("gender", "sigmoid"): GENDER, ("age", "linear"): AGE, ("age", "relu"): Output("age", "relu", (), "years")}
    for one in (name, "gender", "age"):
        expected = known.get((one, activation), Output(one, activation))
        assert descriptions.output_named(one, activation) == expected


def flat(side=8):
    image = keras.Input((side, side, 3))
    return image, keras.layers.Flatten()(image)


def test_a_sequential_model_is_described_by_its_last_layer(tmp_path):
    layers = [
        keras.Input((8, 6, 3)),
        keras.layers.Flatten(),
        keras.layers.Dense(1, activation="sigmoid", name="gender"),
    ]
    for name in ("s.keras", "s.h5"):
        keras.Sequential(layers).save(tmp_path / name)
        _model, found = load_model_file(tmp_path / name)
        assert (found.outputs, found.image_size) == ((GENDER,), (8, 6))


def test_a_dict_of_outputs_is_described_by_its_keys(tmp_path):
    image, values = flat()
    gender = keras.layers.Dense(1, activation="sigmoid", name="a")(values)
    keras.Model(image, {"gender": gender, "age": keras.layers.Dense(1, name="b")(values)}).save(tmp_path / "d.keras")
    _model, found = load_model_file(tmp_path / "d.keras")
    assert sorted(found.outputs, key=lambda output: output.label) == [AGE, GENDER]


def models_of_no_picture():
    grey, numbers = keras.Input((16, 16, 1)), keras.Input((5,))
    yield keras.Model(grey, keras.layers.Flatten()(grey)), "(None, 16, 16, 1)"
    yield keras.Model(numbers, keras.layers.Dense(1)(numbers)), "(None, 5)"
    image, values = flat()
    yield keras.Model([numbers, image], keras.layers.Concatenate()([numbers, values])), "(None, 5), (None, 8, 8, 3)"
    yield keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)]), "inputs of unknown shape"


def test_a_model_of_no_picture_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "other.keras"
    for model, shapes in models_of_no_picture():
        model.save(path)
        with pytest.raises(FacetError) as refused:
            load_model_file(path)
        assert str(refused.value) == f"{path}: the model takes {shapes}, expected one colour image (None, H, W, 3)"


def test_further_members_lie_in_the_file_beside_the_description(tmp_path):
    model, description = small_model()
    path = tmp_path / "model.keras"
    save_model_file(model, description, path, members={"facet/state.json": {"epoch": 3}, "facet/more.json": [1, "a"]})
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("facet/state.json")) == {"epoch": 3}
        assert json.loads(archive.read("facet/more.json")) == [1, "a"]
    assert read_description(path) == description
    assert keras.models.load_model(path).count_params() == model.count_params()


def refusal(path):
    with pytest.raises(FacetError) as refused:
        load_model_file(path)
    name, _colon, sentence = str(refused.value).partition(": ")
    assert name == str(path)
    return sentence


class Own(keras.layers.Layer):
    def call(self, values):
        return values


def changed(path, member, change):
    """Writes one member of a `.keras` file anew, or leaves it out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = change(members[member])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Own(name="l"), "of class Own is not one of Keras 3"),
        (
            keras.layers.Lambda(lambda values: values * 2, name="l"),
            "of class Lambda brings code of its own, which is never run from a file",
        ),
    ],
    ids=["own", "lambda"],
)
def test_a_keras_file_with_a_layer_of_its_own_is_refused_in_one_sentence(tmp_path, layer, reason):
    keras.Sequential([keras.Input((8, 8, 3)), layer]).save(tmp_path / "own.keras")
    assert refusal(tmp_path / "own.keras") == (
        f"layer 'l' {reason}: load the model in Python, with custom_objects where it has classes of its own, and pass "
        "it to models.export.export_model"
    )


def test_a_keras_file_of_a_newer_keras_says_so_where_it_cannot_be_loaded(tmp_path):
    path = tmp_path / "new.keras"
    small_model()[0].save(path)
    changed(path, "metadata.json", lambda data: data.replace(keras.__version__.encode(), b"4.1.0"))
    assert load_model_file(path)[0].name
    changed(path, "config.json", lambda data: data.replace(b'"Conv2D"', b'"ConvOfTomorrow"'))
    assert refusal(path) == f"Keras 4.1.0 wrote it, and Keras {keras.__version__} cannot load it"


def test_a_damaged_keras_file_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "model.keras"
    small_model()[0].save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert refusal(path) == "not a .keras file (a zip archive that Keras or Facet wrote)"
    path.write_bytes(whole)
    with zipfile.ZipFile(path) as archive:
        weights = archive.getinfo("model.weights.h5")
    middle = weights.header_offset + weights.compress_size // 2
    path.write_bytes(whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 64]) + whole[middle + 64 :])
    assert refusal(path) == "this .keras file is damaged (model.weights.h5 does not match its checksum)"
    path.write_bytes(whole)
    changed(path, "config.json", lambda _data: None)
    assert refusal(path) == "this .keras file is damaged (it has no config.json)"


def test_a_path_that_cannot_be_looked_up_is_refused_in_one_sentence(tmp_path):
    assert refusal(tmp_path / ("x" * 300 + ".h5")) == "cannot be read (File name too long), expected a Keras model"


def test_a_disk_that_fills_up_leaves_the_old_model_and_the_systems_own_error(tmp_path):
    model, description = small_model()
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises((OSError, RuntimeError, ValueError)):
            save_model_file(model, description, path, members={"facet/state.json": {}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


@pytest.mark.parametrize("text", ["{}", "[]", "{"])
def test_a_damaged_description_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("facet/description.json", text)
    with pytest.raises(FacetError, match="the description that Facet put into it is damaged"):
        read_description(path)
