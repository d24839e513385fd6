import keras
import numpy as np
import pytest
from small_models import small_base

from hdf5_helper.errors import FacetError
from hdf5_helper.reading.generator import HDF5Generator
from models import AgeGenderModel, AgeModel, AttributeModel, GenderModel
from models.backbones.registry import BACKBONES
from models.interface.face_settings import class_weights_text, preprocessing_of
from models.model_file import read_description
from models.preprocessing import Preprocessing
from models.training.history import read_epochs
from models.training.pace import Pace
from models.training.settings_file import load_settings
from models.training.surroundings import changed, surroundings


@pytest.fixture
def file(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return packed("agegender", count=120, side=32)


def model(kind, file, said=None, **options):
    return kind(small_base(32), data=file, say=(said if said is not None else []).append, **options)


def test_a_fit_counts_on_after_the_epochs_that_are_done(file):
    gm = model(GenderModel, file)
    built = gm.build_warmup_model()
    gm.fit(built, "first", epochs=2)
    run = gm.fit(built, "first", epochs=1, start_epochs=1)
    rows = read_epochs(run.folder / "epochs.csv")
    assert [(row["phase"], row["epoch"]) for row in rows] == [("warm_up", 0), ("warm_up", 1), ("warm_up", 2)]
    assert run.name == "gender/first"


def test_a_run_that_exists_is_kept_unless_it_may_go(file):
    gm = model(GenderModel, file)
    built = gm.build_warmup_model()
    gm.fit(built, "first", epochs=1)
    with pytest.raises(FacetError) as error:
        gm.fit(built, "first", epochs=1)
    assert str(error.value) == "run 'gender/first' exists: expected another name, start_epochs, or overwrite=True"
    gm.fit(built, "first", epochs=1, overwrite=True)


def test_a_tuning_model_begins_with_the_weights_of_its_head(file):
    am = model(AgeModel, file)
    run = am.fit(am.build_warmup_model(), "head", epochs=1)
    tuned = am.build_tuning_model(run.checkpoint("last"), trainable_layers=2, learning_rate=1e-4)
    head = keras.models.load_model(run.checkpoint("last"))
    assert all(np.array_equal(*pair) for pair in zip(tuned.get_weights(), head.get_weights(), strict=True))
    assert float(tuned.optimizer.learning_rate.numpy()) == pytest.approx(1e-4)


def test_both_labels_are_measured_on_the_test_split(file):
    both = model(AgeGenderModel, file)
    run = both.fit(both.build_warmup_model(), "one", epochs=1)
    metrics = both.test(run.checkpoint("last"))
    assert set(metrics) == {"age", "gender"}


def test_a_train_split_smaller_than_a_batch_is_one_batch(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    gm = model(GenderModel, packed("agegender", count=60, side=32), said)
    assert gm.training.steps_per_epoch == 1
    assert f"batch size {gm.training.batch_size} instead of 64: the train split has no more examples" in said


def test_attributes_have_the_names_of_the_file(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    am = model(AttributeModel, packed("celeba", count=90))
    run = am.fit(am.build_warmup_model(), "looks", epochs=1, class_weight="balanced")
    found = am.test(run.checkpoint("last"))["attributes"]
    assert list(found["by_attribute"]) == list(am.training.reader.class_names("attributes"))


def test_attributes_of_ones_own_data_ask_for_their_names():
    looks = np.array([[1, -1], [-1, 1]] * 4, np.int8), np.full((8, 32, 32, 3), 200, np.uint8)
    data = {"training_generator": looks[::-1], "say": [].append, "preprocessing": Preprocessing()}
    with pytest.raises(FacetError) as error:
        AttributeModel(small_base(32), **data)
    assert str(error.value) == (
        "label 'attributes': its classes are not known, expected a packed file with it, or class_names"
    )
    named = AttributeModel(small_base(32), class_names={"attributes": ("Smiling", "Hat")}, **data)
    assert named.heads[0].output.class_names == ("Smiling", "Hat")


def test_what_is_trained_on_a_fold_remembers_it(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = packed("adience", count=120)
    size = {"image_size": (32, 32), "fold": 1}
    gm = GenderModel(small_base(32), training_generator=HDF5Generator(path, "train", 16, **size), say=[].append)
    run = gm.fit(gm.build_warmup_model(), "fold", epochs=1)
    assert read_description(run.checkpoint("last")).fold == 1


def test_a_run_says_how_its_generator_fits_images(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    size = {"image_size": (32, 32), "fit": "pad"}
    generator = HDF5Generator(packed("adience", count=120), "train", 16, **size)
    gm = GenderModel(small_base(32), training_generator=generator, say=[].append)
    run = gm.fit(gm.build_warmup_model(), "padded", epochs=1)
    assert load_settings(run.config).fit == read_description(run.checkpoint("last")).fit == "pad"


def test_more_gpus_than_there_are_is_one_sentence(file):
    with pytest.raises(FacetError, match="num_gpus=2: this machine has 0, expected a number up to that"):
        model(GenderModel, file, num_gpus=2)


def test_a_base_of_open_size_is_one_sentence(file):
    base = keras.applications.MobileNetV2(include_top=False, weights=None, alpha=0.35)
    with pytest.raises(FacetError, match="expected a fixed input_shape"):
        GenderModel(base, data=file, say=[].append)


@pytest.mark.parametrize("name", ["densenet121", "mobilenet", "mobilenet_v2", "vgg19"])
def test_a_keras_application_sees_the_colours_that_its_weights_want(file, name):
    application = getattr(keras.applications, BACKBONES[name].application)
    base = application(include_top=False, weights=None, input_shape=(32, 32, 3))
    gm = GenderModel(base, data=file, say=[].append)
    assert gm.preprocessing == BACKBONES[name].preprocessing


def test_an_unknown_base_sees_the_train_mean_over_127_5_and_is_told_so(file):
    said = []
    gm = model(GenderModel, file, said)
    wanted = preprocessing_of(gm.conv_base, gm.training, said.append)
    assert (wanted.color, wanted.scale) == ("RGB", 127.5)
    assert np.allclose(wanted.mean, gm.training.reader.channel_means[gm.training.order.rows].mean(axis=0))
    assert any("sees (x - mean of the train split) / 127.5 in RGB" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("weights", "text"), [(None, "none"), ([1.632, 1], "0:1.632,1:1"), ({0: 1, 1: 1.582}, "0:1,1:1.582")]
)
def test_class_weights_are_taken_by_class_number(weights, text):
    assert class_weights_text(weights) == text


def test_a_resume_under_other_surroundings_says_what_differs():
    now = surroundings()
    assert changed(now, now) == ""
    then = now | {"tensorflow": "2.20.0", "intra-op threads": "64"}
    assert changed(then, now) == (
        "the last digits may differ from an unbroken run: tensorflow was 2.20.0, is"
        f" {now['tensorflow']}; intra-op threads was 64, is {now['intra-op threads']}"
    )


def test_the_time_left_is_estimated_once_after_ten_steps():
    pace = Pace()
    told = []
    for _ in range(15):
        pace.step()
        told.append(pace.estimate(1000))
    assert [number for number, text in enumerate(told, 1) if text] == [10]
    assert told[9].startswith("0.00 s a step, about 0:00:0")
