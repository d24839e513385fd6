"""Real trials of precisions, on a narrow network: which of the two is faster is the machine's to say."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from run_remains import differing, remains

from hdf5_helper.errors import FacetError
from models.interface import precision_trial
from models.interface.agreeing import agreed
from models.interface.precision_trial import Limits, tried_precision
from models.interface.settling import TrainRequest, settle
from models.training.distribution.replicas import Replicas
from models.training.precision_answers import Answer, answers_file, circumstances, remember
from models.training.precision_choice import Trial, agree
from models.training.runs import Run
from models.training.settings_file import load_origins, load_settings

ROOT = Path(__file__).resolve().parent.parent

#: Any training is long enough, and two rounds tell enough for a test.
EAGER = Limits(short=0.0, seconds=0.1, rounds=2, fewest=1, rows=4)

SETS = {
    "backbone": "mobilenet",
    "backbone_arguments": {"alpha": 0.25},
    "weights": "none",
    "label": "gender,age",
    "image_size": "32",
    "units": [8],
    "batch_size": 16,
    "warm_up_epochs": 1,
    "fine_tuning_epochs": 1,
    "trainable_layers": "4",
}


@pytest.fixture(scope="module")
def data(packed):
    return packed("agegender", count=60)


@pytest.fixture
def settled(data, tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_HISTORY", str(tmp_path / "history"))
    monkeypatch.delenv("FACET_CACHE", raising=False)

    def settle_with(**sets):
        return settle(TrainRequest(data, run="one", sets=SETS | sets))

    return settle_with


def answers():
    return json.loads(answers_file().read_text())["answers"]


def answer_for(settings, trial):
    remember(answers_file(), Answer(circumstances(settings, 16, 1), trial), pytest.fail)


def test_a_trial_settles_auto_says_so_and_is_remembered(settled):
    said = []
    found = agreed(settled(), Replicas(), said.append, EAGER)
    (answer,) = answers()
    trial = Trial(**answer["trial"])
    assert (found.settings.precision, found.origins["precision"]) == (trial.precision, "trial")
    assert answer["circumstances"] == circumstances(found.settings, 16, 1)
    where = f"remembered in {answers_file()}; --precision {trial.precision} leaves it out"
    assert said == [f"{trial.in_words()} in a trial of {trial.seconds:.0f} s; {where}"]
    again = agreed(settled(), Replicas(), said.append, EAGER)
    assert (again.settings, again.origins) == (found.settings, found.origins)
    assert said[1:] == [f"{trial.in_words()} in an earlier trial; remembered in {answers_file()}"]
    assert answers() == [answer]


@pytest.mark.parametrize("gain", [4.7, 0.25])
def test_what_is_remembered_is_believed(settled, gain):
    begun = settled()
    answer_for(begun.settings, Trial(gain, True, 9.0))
    found = agreed(begun, Replicas(), limits=replace(EAGER, rounds=-1))  # a trial would fail
    assert found.settings.precision == ("mixed_bfloat16" if gain > 1 else "float32")


def test_another_network_is_tried_anew(settled):
    answer_for(settled().settings, Trial(4.7, True, 9.0))
    agreed(settled(trainable_layers="all"), Replicas(), limits=EAGER)
    assert [answer["circumstances"]["trains"] for answer in answers()] == ["4", "all"]


def test_a_damaged_file_of_answers_is_replaced_aloud(settled):
    said = []
    answers_file().parent.mkdir(parents=True)
    answers_file().write_text("{")
    agreed(settled(), Replicas(), said.append, EAGER)
    assert said[0] == f"{answers_file()}: is damaged or no list of Facet's precisions, begun anew"
    assert (len(said), len(answers())) == (2, 1)


@pytest.mark.parametrize("epochs", [1, 2000])
def test_a_short_training_takes_float32_without_a_word_by_its_pixels_or_by_its_backbone(settled, epochs):
    said = []
    begun = settled(fine_tuning_epochs=epochs)
    found = agreed(begun, Replicas(), said.append, replace(EAGER, short=60.0))
    assert (found.settings, found.origins) == (replace(begun.settings, precision="float32"), begun.origins)
    assert (said, answers_file().exists()) == ([], False)


def test_a_training_that_is_short_by_its_pixels_asks_no_earlier_trial(settled):
    settings = settled().settings
    answer_for(settings, Trial(4.7, True, 9.0))
    assert tried_precision(settings, Replicas(), pytest.fail, replace(EAGER, short=60.0)) is None


def test_a_training_that_is_short_by_its_pixels_builds_no_network(settled):
    too_small = settled(image_size="16").settings  # building says so
    assert tried_precision(too_small, Replicas(), pytest.fail, replace(EAGER, short=60.0)) is None
    with pytest.raises(FacetError, match="image size 16x16: mobilenet needs at least 32"):
        tried_precision(too_small, Replicas(), pytest.fail, EAGER)


def test_scores_and_losses_of_both_precisions_agree_on_a_real_network(settled):
    task = precision_trial._task(settled().settings, 4)
    model = precision_trial._network(task.settings, task.heads)
    exact, rough, rounded = precision_trial._figures(model, task.heads, precision_trial._batch(task, 4))
    assert [sorted(figures) for figures in (exact, rough, rounded)] == [
        ["age", "age_loss", "gender", "gender_loss"]
    ] * 3
    assert all((exact["age"] != other["age"]).any() for other in (rough, rounded))
    assert agree(exact, rough, rounded)
    assert not agree(exact, {name: 2 * values for name, values in rough.items()}, rounded)


def test_a_precision_that_was_asked_for_is_taken_without_a_trial(settled):
    begun = settled(precision="mixed_bfloat16")
    assert agreed(begun, Replicas(), pytest.fail, EAGER) == begun
    assert not answers_file().exists()


def test_a_mistake_in_the_settings_is_the_runs_own_sentence(settled):
    with pytest.raises(FacetError, match="trainable_layers 'conv_pw_99': expected a number of layers"):
        tried_precision(settled(trainable_layers="conv_pw_99").settings, Replicas(), pytest.fail, EAGER)


def test_weights_that_the_network_cannot_have_are_heard_of_before_the_trial(settled, monkeypatch):
    monkeypatch.setattr(precision_trial, "_timed", pytest.fail)
    settings = settled(backbone="resnext50", backbone_arguments={}, weights="imagenet").settings
    with pytest.raises(FacetError, match="weights imagenet: Keras has none for resnext50"):
        tried_precision(settings, Replicas(), pytest.fail, EAGER)


def test_a_trial_leaves_keras_as_it_was(settled):
    keras.backend.clear_session()
    first = keras.layers.Dense(1).name
    tried_precision(settled().settings, Replicas(), lambda _: None, EAGER)
    pictures = keras.Input((4,))
    model = keras.Model(pictures, keras.layers.Dense(1)(pictures))
    assert (first, model.layers[1].name, model.name) == ("dense", "dense_1", "functional")
    assert keras.config.dtype_policy().name == "float32"


# ---- a whole training in a process of its own, as the command does it

PROGRAM = """
import json, os, sys
sys.path.insert(0, "tests")
history, data, precision = sys.argv[1:]
os.environ["FACET_HISTORY"] = history
from pathlib import Path
from hdf5_helper.progress import Silent
from models.interface import precision_trial
from models.interface.agreeing import agreed
from models.interface.settling import TrainRequest, settle
from models.interface.training import train
from models.training.distribution.replicas import Replicas
from scripts.tensorflow_runtime import deterministic_tensorflow
import test_precision_trial as tests
deterministic_tensorflow()
settled = settle(TrainRequest(Path(data), run="one", sets=tests.SETS | {"precision": precision}))
settled = agreed(settled, Replicas(), lambda _: None, tests.EAGER)
train(settled, replicas=Replicas(), say=lambda _: None, progress=Silent())
"""


def trained(history, data, precision):
    words = [sys.executable, "-c", PROGRAM, str(history), str(data), precision]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return history / "one"


def names(run):
    """Gives the layers of the last model as Keras wrote them: the order of names tells what was made before."""
    file = run / "checkpoints" / json.loads((run / "checkpoints" / "latest.json").read_text())["checkpoint"]
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read("config.json"))


@pytest.fixture(scope="module")
def by_trial(data, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("trial"), data, "auto")


def test_a_run_after_a_trial_has_the_bits_of_a_run_that_was_told(by_trial, data, tmp_path):
    precision = load_settings(by_trial / "config.yaml").precision
    assert load_origins(by_trial / "config.yaml")["precision"] == "trial"
    assert (by_trial.parent / ".cache" / "precision.json").is_file()
    told = trained(tmp_path, data, precision)
    assert differing(remains(by_trial), remains(told)) == []
    assert names(by_trial) == names(told)


def test_a_run_keeps_the_precision_of_its_trial(by_trial, data, monkeypatch):
    monkeypatch.setenv("FACET_HISTORY", str(by_trial.parent))
    before = load_settings(Run("one").config)
    other = {"float32": 4.7, "mixed_bfloat16": 0.25}[before.precision]
    answer_for(before, Trial(other, True, 9.0))
    for request in (TrainRequest(data, run="one", sets=SETS), TrainRequest(resume="one")):
        assert agreed(settle(request), Replicas(), pytest.fail, EAGER).settings == before


def test_a_dry_run_makes_no_trial(facet, data, tmp_path):
    sets = [word for name, value in SETS.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    long = facet("train", data, *sets, "--fine-tuning-epochs", "1000000", "--dry-run", cwd=tmp_path)
    assert (long.code, list(tmp_path.iterdir())) == (0, [])
    assert np.all(["precision:" not in text for text in (long.stdout, long.stderr)])
