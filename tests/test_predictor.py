from pathlib import Path

import keras
import numpy as np
import pytest
from small_models import images, small_model, values_of, write_run

from hdf5_helper.errors import FacetError
from models.export import export_model
from models.interface.predictor import load_predictor
from models.interface.targets import find_target
from models.model_file import load_model_file, save_model_file

FIRST, SECOND = "warm_up-epoch-0001.keras", "warm_up-epoch-0002.keras"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One model as `.keras`, `.h5` and `.pb`, and a run of two models whose best is the first."""
    folder = tmp_path_factory.mktemp("files")
    model, description = small_model(("age", "gender"))
    save_model_file(model, description, folder / "both.keras")
    export_model(model, description, folder / "both.pb")
    small_model()[0].save(folder / "old.h5")
    (folder / "notes.txt").write_text("no model")
    write_run(folder / "history", "real", {FIRST: small_model(), SECOND: small_model(seed=1)}, best=FIRST)
    return folder


@pytest.fixture(autouse=True)
def _here(files, monkeypatch):
    monkeypatch.delenv("FACET_HISTORY", raising=False)
    monkeypatch.chdir(files)


@pytest.mark.parametrize("name", ["both.keras", "both.pb"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_file_predicts_what_keras_predicts_by_label(name, kind):
    predictor = load_predictor(name)
    model, description = small_model(("age", "gender"))
    expected = values_of(model, description, images(5))
    found = predictor.predict(images(5).astype(kind))
    assert (predictor.description, predictor.source, list(found)) == (description, name, ["age", "gender"])
    for label, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[label], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("checkpoint", "seed", "source"),
    [("best", 0, FIRST), ("last", 1, SECOND), (SECOND, 1, SECOND), ("warm_up-epoch-0002", 1, SECOND)],
)
def test_a_run_predicts_with_the_checkpoint_that_was_asked_for(checkpoint, seed, source):
    model, description = small_model(seed=seed)
    predictor = load_predictor("real", checkpoint=checkpoint)
    expected = values_of(model, description, images(4))["gender"]
    np.testing.assert_allclose(predictor.predict(images(4))["gender"], expected, atol=1e-5)
    assert predictor.source == source


def test_a_keras_h5_predicts_by_the_names_of_its_own_outputs():
    model, description = small_model()
    predictor = load_predictor("old.h5")
    expected = values_of(model, description, images(4))["gender"]
    np.testing.assert_allclose(predictor.predict(images(4))["gender"], expected, atol=1e-5)
    assert predictor.description.image_size == (32, 32)


def test_a_batch_of_any_size_goes_in():
    predictor = load_predictor("both.keras")
    whole = predictor.predict(images(7))["age"]
    parts = [predictor.predict(images(7)[first:last])["age"] for first, last in ((0, 1), (1, 4), (4, 7))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5)


def test_a_model_of_bfloat16_layers_predicts_in_float32(tmp_path):
    mixed, description = load_model_file(Path("both.keras"))
    for layer in mixed._flatten_layers():
        layer.dtype_policy = "mixed_bfloat16"
    mixed.save(tmp_path / "mixed.keras")
    found = load_predictor(str(tmp_path / "mixed.keras")).predict(images(4))
    expected = values_of(small_model(("age", "gender"))[0], description, images(4))
    np.testing.assert_allclose(found["age"], expected["age"], rtol=1e-5)


def test_a_path_exists_or_ends_in_a_known_suffix_else_it_is_a_run(files):
    checkpoints = files / "history" / "real" / "checkpoints"
    (files / "real").mkdir(exist_ok=True)  # a folder that happens to be called like the run
    found = {text: find_target(text) for text in ("both.pb", "old.h5", "real", "history/real", "history/real/")}
    assert {text: (target.path.resolve(), target.is_frozen_graph) for text, target in found.items()} == {
        "both.pb": (files / "both.pb", True),
        "old.h5": (files / "old.h5", False),
        "real": (checkpoints / FIRST, False),
        "history/real": (checkpoints / FIRST, False),
        "history/real/": (checkpoints / FIRST, False),
    }
    assert (found["real"].data, found["both.pb"].data) == (Path("faces.h5"), None)


@pytest.mark.parametrize(
    ("text", "checkpoint", "sentence"),
    [
        ("gone.pb", "best", "gone.pb: no such file, expected a model (.pb, .keras, .h5) or a run's name"),
        ("gone.keras", "best", "gone.keras: no such file, expected a model (.pb, .keras, .h5) or a run's name"),
        ("notes.txt", "best", "notes.txt: expected a model (.pb, .keras, .h5) or a run's name"),
        ("both.pb", "last", "--checkpoint last: goes with a run, both.pb is a file"),
        ("reel", "best", "run 'reel': not in history, expected one of real (did you mean 'real'?)"),
        (
            "real",
            "worst",
            "checkpoint 'worst' of run 'real': expected one of best, last, warm_up-epoch-0001, warm_up-epoch-0002",
        ),
    ],
)
def test_a_model_that_is_not_there_is_refused_in_one_sentence(text, checkpoint, sentence):
    with pytest.raises(FacetError) as refused:
        find_target(text, checkpoint)
    assert str(refused.value) == sentence


def test_a_model_of_one_number_an_image_predicts_a_column(tmp_path):
    image = keras.Input((32, 32, 3))
    means = keras.layers.Reshape((), name="age")(keras.layers.Dense(1)(keras.layers.Flatten()(image)))
    model = keras.Model(image, means)
    model.save(tmp_path / "flat.keras")
    expected = model.predict(images(4).astype(np.float32), verbose=0)
    found = load_predictor(str(tmp_path / "flat.keras")).predict(images(4))["age"]
    assert expected.shape == (4,)
    np.testing.assert_allclose(found, expected[:, np.newaxis], rtol=1e-4)
