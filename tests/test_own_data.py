"""Others' data and models under a FaceModel, and its resuming."""

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import ROOT
from small_models import small_base

from hdf5_helper.errors import FacetError
from hdf5_helper.reading.generator import HDF5Generator
from models import AgeGenderModel, AgeModel, GenderModel
from models.model_file import read_description
from models.preprocessing import Preprocessing
from models.training.history import read_epochs
from models.training.stopping import Stopped
from models.training.tensorboard import TensorBoard

SIZE = 32
RGB = Preprocessing("RGB", (127.5, 127.5, 127.5), 127.5)
IMAGES = np.random.default_rng(0).integers(0, 256, (48, SIZE, SIZE, 3)).astype(np.uint8)
GENDERS = np.arange(48) % 2


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Sequence(keras.utils.PyDataset):
    """Batches of ten of the 48 images: the last one has eight."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = slice(10 * index, 10 * index + 10)
        return IMAGES[rows], GENDERS[rows]


def model(kind=GenderModel, said=None, **options):
    say = (said if said is not None else []).append
    return kind(small_base(SIZE), say=say, preprocessing=RGB, **options)


def own(labels=("gender",), loss=None):
    images = keras.Input((SIZE, SIZE, 3))
    values = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    zeros = keras.initializers.Zeros()
    ends = {"gender": "sigmoid", "age": "linear"}
    outputs = {n: keras.layers.Dense(1, ends[n], kernel_initializer=zeros, name=f"{n}_out")(values) for n in labels}
    whole = keras.Model(images, outputs if len(labels) > 1 else outputs[labels[0]], name="own")
    whole.compile(keras.optimizers.SGD(1e-3), loss=loss)
    return whole


def rows(run):
    return read_epochs(run.folder / "epochs.csv")


def test_a_model_trains_and_validates_on_a_pydataset():
    said = []
    gm = model(said=said, training_generator=Sequence(), validation_generator=(IMAGES, GENDERS))
    run = gm.fit(gm.build_warmup_model(), "own-data", epochs=2)
    assert [(row["epoch"], row["step"]) for row in rows(run)] == [(0, 0), (1, 5), (2, 5)]
    assert all(np.isfinite(row["val_loss"]) for row in rows(run))
    description = read_description(run.checkpoint("best"))
    assert (description.images_digest, description.preprocessing) == ("", RGB)
    config = run.config.read_text()
    assert "data: 'training_generator: Sequence'" in config
    assert "augment: none" in config
    assert (
        "resuming is exact at epoch boundaries only, as far as training_generator gives the same batches again" in said
    )


def test_without_validation_data_training_figures_choose():
    said = []
    gm = model(said=said, training_generator=Sequence())
    run = gm.fit(gm.build_warmup_model(), "own-data", epochs=1)
    assert run.pointed("best")
    assert "no validation data: the best epoch is chosen by training figures" in said


def test_a_packed_file_may_validate_what_others_data_trained_and_the_other_way_round(packed):
    generator = HDF5Generator(packed("agegender", count=60, side=SIZE), "validation", 4, ("gender",), shuffle=None)
    gm = model(training_generator=Sequence(), validation_generator=generator)
    first = rows(gm.fit(gm.build_warmup_model(), "one", epochs=1))
    gm = model(data=generator.reader.path, validation_generator=Sequence())
    second = rows(gm.fit(gm.build_warmup_model(), "two", epochs=1))
    assert all(np.isfinite(row["val_gender_accuracy"]) for row in first + second)


def test_others_data_validate_what_a_packed_file_trained_not_that_files_own_split(packed):
    gm = model(data=packed("agegender", count=60, side=SIZE), validation_generator=(IMAGES, GENDERS))
    trained = gm.build_warmup_model()
    (_before, row) = rows(gm.fit(trained, "own-data", epochs=1))
    right = (trained.predict(IMAGES, verbose=0)[:, 0] >= 0.5) == GENDERS
    assert row["val_gender_accuracy"] == pytest.approx(right.mean(), abs=1e-6)


def test_an_age_head_starts_at_the_mean_age_of_what_is_seen_first():
    ages = np.where(np.arange(48) < 16, 20.0, 50.0)
    am = model(AgeModel, training_generator=[(IMAGES[:16], ages[:16]), (IMAGES[16:32], ages[16:32])])
    assert am.build_warmup_model().get_layer("age").bias.numpy() == pytest.approx(20)
    am = model(AgeModel, training_generator=(IMAGES, ages))
    assert am.build_warmup_model().get_layer("age").bias.numpy() == pytest.approx(40)


def test_an_unknown_base_on_others_data_is_asked_what_it_wants_to_see():
    with pytest.raises(FacetError) as error:
        GenderModel(small_base(SIZE), training_generator=Sequence(), say=[].append)
    assert str(error.value) == (
        "backbone: what it wants to see is not known, and training_generator has no mean of a train split; expected"
        " preprocessing=Preprocessing(…)"
    )


def test_wrong_images_are_heard_of_before_anything_is_built():
    with pytest.raises(FacetError, match="validation_generator: images lie in 0–1, expected RGB of 0–255"):
        model(training_generator=Sequence(), validation_generator=(IMAGES / 255, GENDERS))


def test_a_test_generator_of_another_kind_is_one_sentence():
    with pytest.raises(FacetError, match="test_generator: found Sequence, expected an HDF5Generator"):
        model(training_generator=Sequence(), test_generator=Sequence())


def test_a_whole_model_of_ones_own_trains_as_under_keras():
    whole, same = own(), own(loss="binary_crossentropy")
    gm = GenderModel(whole, training_generator=Sequence(), validation_generator=(IMAGES, GENDERS), say=[].append)
    run = gm.fit(whole, "whole", epochs=2)
    fitted = same.fit(Sequence(), epochs=2, verbose=0, shuffle=False, validation_data=(IMAGES, GENDERS))
    assert [row["val_loss"] for row in rows(run)[1:]] == pytest.approx(fitted.history["val_loss"], rel=1e-4)
    weights = zip(whole.get_weights(), same.get_weights(), strict=True)
    assert all(np.allclose(*pair, rtol=1e-4, atol=1e-6) for pair in weights)
    description = read_description(run.checkpoint("last"))
    assert (description.backbone, description.preprocessing) == ("own", Preprocessing())
    assert keras.models.load_model(run.checkpoint("last")).predict(IMAGES, verbose=0).shape == (48, 1)


def test_a_whole_model_of_two_labels_learns_both():
    whole = own(("age", "gender"))
    labels = {"age": GENDERS * 10.0 + 30, "gender": GENDERS}
    both = AgeGenderModel(whole, training_generator=(IMAGES, labels), say=[].append)
    [_first, row] = rows(both.fit(whole, "whole", epochs=1))
    assert {"age_loss", "gender_loss", "age_mae", "gender_accuracy"} <= set(row)


@pytest.mark.parametrize("kind", [GenderModel, AgeGenderModel])
def test_a_whole_model_is_measured_on_a_packed_file(packed, kind):
    whole = own(kind.labels)
    gm = kind(whole, data=packed("agegender", count=60, side=SIZE), say=[].append)
    run = gm.fit(whole, "whole", epochs=1)
    metrics = gm.test(run.checkpoint("last"))
    assert set(metrics) == set(kind.labels)
    if kind is GenderModel:
        data = HDF5Generator(gm.data, "test", 4, "gender", shuffle=None)
        pictures, labels = data.read(data.order.rows)
        predicted = whole.predict(pictures.astype(np.float32), verbose=0)[:, 0] >= 0.5
        assert metrics["gender"]["accuracy"] == pytest.approx((predicted == labels["gender"]).mean())


def test_a_whole_model_has_no_warm_up_model():
    gm = GenderModel(own(), training_generator=Sequence(), say=[].append)
    with pytest.raises(FacetError, match="conv_base own: is a whole model, expected fit"):
        gm.build_warmup_model()


def test_a_model_that_is_not_compiled_is_one_sentence():
    images = keras.Input((SIZE, SIZE, 3))
    plain = keras.Model(images, keras.layers.Dense(1, "sigmoid")(keras.layers.Flatten()(images)), name="own")
    gm = GenderModel(plain, training_generator=Sequence(), say=[].append)
    with pytest.raises(FacetError, match="model own: is not compiled, expected"):
        gm.fit(plain, "whole", epochs=1)


def test_balanced_class_weights_need_data_that_can_be_counted():
    gm = model(training_generator=Sequence())
    with pytest.raises(FacetError, match="class weights balanced: training_generator has no counts of its classes"):
        gm.fit(gm.build_warmup_model(), "balanced", epochs=1, class_weight="balanced")
    assert not Path("history/gender/balanced/config.yaml").exists()


#: Ends at a batch as a kill would, but for what is in memory; prints each run's digest and figures.
BROKEN_OFF = """
import sys
import keras, numpy as np, tensorflow as tf
tf.config.experimental.enable_op_determinism()
tf.config.threading.set_inter_op_parallelism_threads(1)
from models import GenderModel
from models.preprocessing import Preprocessing
from models.training.checkpoints import load_checkpoint, variables_digest
from models.training.history import read_epochs
from small_models import small_base

data = np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3)).astype(np.uint8), np.arange(48) % 2

class Breaking(keras.callbacks.Callback):
    def on_train_batch_end(self, *_):
        self.left = getattr(self, "left", int(sys.argv[1])) - 1
        if self.left == 0:
            raise KeyboardInterrupt

def callbacks():
    plateau = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=10.0)
    return [plateau, keras.callbacks.EarlyStopping("val_loss", patience=5, min_delta=10.0)]

def model():
    keras.utils.set_random_seed(0)
    rgb = Preprocessing("RGB", (127.5, 127.5, 127.5), 127.5)
    return GenderModel(small_base(32), training_generator=data, validation_generator=data, preprocessing=rgb, say=str)

def show(run):
    columns = ("epoch", "learning_rate", "loss", "val_loss")
    print(variables_digest(load_checkpoint(run.checkpoint("last")).model))
    print([[row.get(name) for name in columns] for row in read_epochs(run.folder / "epochs.csv")])

show(model().fit(model().build_warmup_model(), "unbroken", epochs=9, callbacks=callbacks()))
try:
    model().fit(model().build_warmup_model(), "broken", epochs=9, callbacks=[*callbacks(), Breaking()])
except KeyboardInterrupt:
    show(model().resume("broken", callbacks=callbacks()))
"""


def test_a_fit_that_was_broken_off_goes_on_to_the_same_bits_callbacks_included():
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_OFF, "4"], capture_output=True, text=True, env=os.environ | paths, check=False
    )
    digest, figures, *again = done.stdout.splitlines()
    assert again == [digest, figures], done.stderr[-2000:]
    assert len(ast.literal_eval(figures)) == 7  # epoch 0, and six until early stopping
    assert ast.literal_eval(figures)[-1][1] < 1e-3


class Noted(Sequence):
    """Notes which batches are asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def __getitem__(self, index):
        self.asked.append(index)
        return super().__getitem__(index)


class Terminating(keras.callbacks.Callback):
    """Sends this process SIGTERM in the second epoch's third batch."""

    def on_epoch_begin(self, epoch, *_):
        self.epoch = epoch

    def on_train_batch_end(self, batch, *_):
        if (self.epoch, batch) == (1, 2):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_pydataset_is_gone_on_with_at_the_batch_where_a_signal_stopped_it():
    whole, unbroken = own(), own()
    gm = GenderModel(whole, training_generator=Sequence(), say=[].append)
    wanted = rows(gm.fit(unbroken, "unbroken", epochs=2))
    with pytest.raises(Stopped):
        gm.fit(whole, "broken", epochs=2, callbacks=[Terminating()])
    data, said = Noted(), []
    run = GenderModel(own(), training_generator=data, say=said.append).resume("broken", callbacks=[Terminating()])
    assert data.asked == [0, 3, 4]  # the first one is looked at, whatever comes
    assert [row["loss"] for row in rows(run)[1:]] == pytest.approx([row["loss"] for row in wanted[1:]], rel=1e-5)
    assert "resuming is exact but for Terminating: expected get_state() and set_state(dict) for that" in said


def test_a_run_without_a_checkpoint_is_one_sentence():
    gm = model(training_generator=Sequence())

    class Breaking(keras.callbacks.Callback):
        def on_train_begin(self, *_):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gm.fit(gm.build_warmup_model(), "first", callbacks=[Breaking()])
    with pytest.raises(FacetError, match="run 'gender/first': has no checkpoint to go on from, expected fit with"):
        gm.resume("first")


def test_a_run_goes_on_with_its_own_data_alone():
    gm = model(training_generator=(IMAGES, GENDERS))
    gm.fit(gm.build_warmup_model(), "first", epochs=1)
    with pytest.raises(FacetError, match="run 'gender/first': was begun with other settings: batch_size: 48, not 10"):
        model(training_generator=Sequence()).resume("first")


def test_a_tracker_and_tensorboard_see_the_epochs(tmp_path):
    seen = []

    class Notes:
        def begin(self, run, settings):
            json.dumps(settings)
            seen.append((run, settings["label"]))

        def log(self, row):
            seen.append(row["total_epochs"])

        def end(self, status):
            seen.append(status)

    gm = model(training_generator=Sequence())
    gm.fit(gm.build_warmup_model(), "tracked", epochs=2, trackers=[Notes(), TensorBoard(tmp_path / "board")])
    assert seen == [("gender/tracked", ("gender",)), 0, 1, 2, "complete"]
    assert len(list((tmp_path / "board" / "train").iterdir())) == 1
