"""Every recipe with a narrow backbone, on a drawn tree of its layout: from packing to export, with a stop between."""

import os
import signal

import keras
import numpy as np
import pytest
from foreign_networks import foreign_layers
from weight_files_caffe import write_caffe
from weight_files_matconvnet import write_matconvnet
from weight_files_pytorch import write_pytorch
from weight_files_torch7 import write_torch7

from hdf5_helper.progress import Silent, no_words
from models.export import export_model
from models.export.options import ExportOptions
from models.interface.folds import measure
from models.interface.settling import TrainRequest, settle
from models.interface.training import train
from models.model_file import load_model_file
from models.pretrained.importing import Import, import_weights
from models.training.history import read_epochs
from models.training.observers import Observer
from models.training.recipe_files import read_recipe, recipe_names
from models.training.runs import Run
from models.training.stopping import Stopped

#: A VGG of an eighth of the channels, for VGG19 too, which has no narrow form.
_VGG = ("vggface", {"width": 0.125})
_RESNEXT = ("resnext50", {"width": 0.125, "cardinality": 4, "blocks": [1, 1]})

#: By recipe: layout, backbone and its arguments, and sizes of images and window where they are not 64 and all of it.
_NARROW = {
    "afad-gender": ("afad", *_VGG, {}),
    "afad-age": ("afad", *_VGG, {}),
    "afad-age-gender": ("afad", *_VGG, {}),
    "adience-vggface": ("adience", "vggface", {"width": 1 / 32, "output": "conv4_2"}, {}),
    "adience-vggface-3class": (
        "adience",
        "vggface",
        {"width": 1 / 32, "output": "fc7"},
        {"image_size": (256, 256), "crop": (224, 224)},
    ),
    "agegender-vggface-features": ("agegender", "vggface", {"width": 1 / 32, "output": "pool5"}, {}),
    "celeba-attributes": ("celeba", *_RESNEXT, {"image_size": (64, 52)}),
    "celeba-attributes-bce": ("celeba", *_RESNEXT, {"image_size": (64, 52)}),
    "adience-age-group": ("adience", *_RESNEXT, {"crop": (48, 48)}),
}

#: What writes the published weights of a recipe's backbone, as file name and function; all others start from nothing.
_PUBLISHED = {
    "adience-vggface": ("face.t7", write_torch7),
    "adience-vggface-3class": ("face.caffemodel", write_caffe),
    "agegender-vggface-features": ("face.mat", write_matconvnet),
    "celeba-attributes": ("resnext.pth", write_pytorch),
}

#: Recipes that go on from a run of another.
_AGAIN = {"afad-gender-again": "afad-gender", "afad-age-again": "afad-age"}


class InterruptedAfter(Observer):
    """Sends this process a SIGINT after the first epoch, as Ctrl-C does."""

    def end_epoch(self, row):
        if row["epoch"] == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module", autouse=True)
def history(tmp_path_factory):
    """The runs of all tests here, each named after its recipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACET_HISTORY", str(tmp_path_factory.mktemp("history")))
        yield


@pytest.fixture(autouse=True)
def _new_session():
    keras.utils.clear_session()


def narrow(recipe, packed, folder):
    """Gives the request for a short training of a recipe, of two epochs in all."""
    layout, backbone, arguments, sizes = _NARROW[recipe]
    tuned = read_recipe(recipe).values.get("fine_tuning_epochs")
    given = {
        "image_size": (64, 64),
        "batch_size": 16,
        "backbone": backbone,
        "weights": str(published(recipe, folder)) if recipe in _PUBLISHED else "none",
        "warm_up_epochs": 1 if tuned else 2,
        "fine_tuning_epochs": 1 if tuned else 0,
    }
    sets = {"backbone_arguments": arguments}
    return TrainRequest(packed(layout, count=90), run=recipe, given=given | sizes, sets=sets, recipe=recipe)


def published(recipe, folder):
    """Writes random weights as another framework would, and imports them."""
    _layout, backbone, arguments, _sizes = _NARROW[recipe]
    arguments = {name: value for name, value in arguments.items() if name != "output"}
    name, write = _PUBLISHED[recipe]
    write(folder / name, foreign_layers(backbone, arguments, last=write is write_matconvnet))
    out = folder / "imported.weights.h5"
    import_weights(Import(folder / name, out, backbone, arguments), no_words)
    return out


def trained(request, *observers):
    return train(settle(request), observers=observers, say=no_words, progress=Silent())


def phases(run):
    return [(row["phase"], row["epoch"]) for row in read_epochs(run.folder / "epochs.csv")]


def test_every_recipe_is_tried():
    assert sorted([*_NARROW, *_AGAIN]) == list(recipe_names())


@pytest.mark.parametrize("recipe", _NARROW)
def test_a_recipe_goes_from_tree_to_export(recipe, packed, tmp_path):
    request = narrow(recipe, packed, tmp_path)
    with pytest.raises(Stopped):
        trained(request, InterruptedAfter())
    run = trained(TrainRequest(resume=recipe))
    again = settle(request)
    assert again.resumed
    settings = again.settings
    last = ("fine_tuning", 1) if settings.fine_tuning.epochs else ("warm_up", 2)
    assert phases(run) == [("warm_up", 0), ("warm_up", 1), last]
    metrics = measure(run, Silent())["metrics"]
    assert set(metrics) == set(settings.label)
    assert all(np.isfinite(metrics[label]["mae" if label == "age" else "accuracy"]) for label in metrics)
    model, description = load_model_file(run.checkpoint("best"))
    exported = export_model(model, description, tmp_path / "out.pb", ExportOptions(verify_with=("tensorflow",)))
    assert exported.path.is_file()


@pytest.mark.parametrize("recipe", _AGAIN)
def test_a_recipe_that_goes_on_lowers_the_learning_rate_of_another_run(recipe, packed, tmp_path):
    first = _AGAIN[recipe]
    if not Run(first).exists():
        trained(narrow(first, packed, tmp_path))
    request = TrainRequest(run=recipe, start_from=f"{first}@best", recipe=recipe, given={"fine_tuning_epochs": 1})
    run = trained(request)
    before, settings = settle(TrainRequest(resume=first)).settings, settle(request).settings
    assert settle(request).resumed
    assert phases(run)[-1] == ("fine_tuning", 1)
    assert settings.fine_tuning.learning_rate == before.fine_tuning.learning_rate * (0.5 if "age" in recipe else 0.2)
    assert (settings.warm_up.epochs, settings.dropout) == (0, before.dropout)
