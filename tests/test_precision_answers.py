import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.phase import FINE_TUNING, Phase
from models.training.precision_answers import Answer, answers_file, circumstances, remember, remembered
from models.training.precision_choice import Trial, Work, agree, gain
from models.training.settings import make_settings

ROOT = Path(__file__).resolve().parent.parent

SETTINGS = make_settings(
    {
        "data": "faces.h5",
        "images_digest": "00",
        "index_digest": "12",
        "label": ["gender"],
        "backbone": "mobilenet",
        "weights": "none",
        "image_size": [64, 64],
        "best_metric": "val_loss",
    }
)
HERE, FASTER, SLOWER = {"CPU": "one"}, Trial(4.7, True, 9.2), Trial(0.25, True, 5.0)

seconds = st.floats(1e-4, 1e4)
rounds = st.lists(st.tuples(seconds, seconds), min_size=1, max_size=9)
numbers = st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4).map(np.array)


def file(path, *answers):
    for answer in answers:
        remember(path, answer, pytest.fail)
    return path


# ---- which precision a trial speaks for


@given(rounds)
def test_what_was_not_clearly_faster_in_most_rounds_is_never_chosen(pairs):
    exact, rough = zip(*pairs, strict=True)
    chosen = Trial(gain(exact, rough), True, 1.0).precision
    clearly = sum(one / other >= 1.1 for one, other in pairs)
    if chosen == "mixed_bfloat16":
        assert 2 * clearly >= len(pairs)
    if 2 * clearly > len(pairs):
        assert chosen == "mixed_bfloat16"


@given(rounds, st.lists(st.floats(0.1, 10), min_size=9, max_size=9))
def test_a_machine_that_is_slow_for_some_rounds_changes_no_choice(pairs, slowness):
    slowed = [(one * by, other * by) for (one, other), by in zip(pairs, slowness, strict=False)]
    assert gain(*zip(*slowed, strict=True)) == pytest.approx(gain(*zip(*pairs, strict=True)))


@pytest.mark.parametrize(
    ("trial", "precision", "words"),
    [
        (FASTER, "mixed_bfloat16", "precision: mixed_bfloat16, 4.7 times as fast as float32 here"),
        (SLOWER, "float32", "precision: float32, since mixed_bfloat16 took 4.0 times as long here"),
        (Trial(1.05, True, 1.0), "float32", "precision: float32, since mixed_bfloat16 was 1.05 times as fast here"),
        (
            Trial(4.7, False, 1.0),
            "float32",
            "precision: float32, since mixed_bfloat16, 4.7 times as fast, gave other scores here",
        ),
    ],
)
def test_a_trial_says_what_it_has_found(trial, precision, words):
    assert (trial.precision, trial.in_words()) == (precision, words)


@given(numbers, st.floats(-1, 1))
def test_scores_agree_within_a_share_of_the_largest(scores, share):
    moved = scores + share * np.abs(scores).max() * np.array([0, 1, 0, 0])
    agrees = agree({"gender": scores}, {"gender": moved}, {"gender": scores})
    if abs(share) < 0.031:
        assert agrees
    if abs(share) > 0.0313 and np.abs(scores).max() > 0:
        assert not agrees


def test_scores_that_hang_on_the_last_digits_may_differ_as_far_as_rounded_weights_move_them():
    exact, rough = {"age": np.array([30.0, 40.0])}, {"age": np.array([30.0, 45.0])}
    rounded = [{"age": np.array([30.0, 40.0 + moved])} for moved in (0.0, 0.9, 1.1)]
    assert [agree(exact, rough, moved) for moved in rounded] == [False, False, True]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_figures_that_are_not_finite_never_agree(value):
    good, bad = {"gender": np.array([1.0, 2.0])}, {"gender": np.array([1.0, value])}
    assert [agree(*figures) for figures in ((good, bad, good), (bad, bad, bad), (good, good, good))] == [
        False,
        False,
        True,
    ]


def test_every_label_has_to_agree():
    exact, rough = {"age": np.array([30.0]), "gender": np.array([1.0])}, {"age": np.array([30.0])}
    assert not agree(exact, rough | {"gender": np.array([2.0])}, exact)


def test_a_training_is_as_long_as_its_multiplications():
    work = Work(150 * 150, 50_000)
    assert work.seconds(8_378_475_264) == pytest.approx(12_568, rel=1e-3)  # VGG19
    assert work.seconds() > work.seconds(8_378_475_264)


# ---- what is remembered


def test_nothing_is_remembered_at_first(tmp_path):
    assert remembered(tmp_path / "precision.json", HERE) is None


def test_an_answer_is_found_again_under_its_own_circumstances_alone(tmp_path):
    path = file(tmp_path / "new" / "precision.json", Answer(HERE, FASTER), Answer({"CPU": "other"}, SLOWER))
    found = [remembered(path, now) for now in (HERE, {"CPU": "other"}, {"CPU": "third"}, {**HERE, "rows": "16"})]
    assert found == [FASTER, SLOWER, None, None]


def test_a_newer_answer_takes_the_place_of_the_earlier_one(tmp_path):
    path = file(tmp_path / "precision.json", Answer(HERE, FASTER), Answer(HERE, SLOWER))
    assert remembered(path, HERE) == SLOWER
    assert len(json.loads(path.read_text())["answers"]) == 1


GOOD = {"circumstances": HERE, "trial": {"gain": 2.0, "agrees": True, "seconds": 1.0}}
WHOLE = {"format": "facet-precision", "version": 1, "answers": [GOOD]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\x00\xff",
        "[" * 100_000,
        json.dumps(WHOLE | {"format": "other"}),
        json.dumps(WHOLE | {"version": 2}),
        json.dumps(WHOLE | {"answers": {}})[:-2],
        json.dumps(WHOLE | {"answers": [GOOD, 5]}),
        json.dumps(WHOLE | {"answers": [GOOD | {"trial": {"gain": 2.0}}]}),
        json.dumps(WHOLE | {"answers": [GOOD | {"trial": GOOD["trial"] | {"gain": "fast"}}]}),
        json.dumps(WHOLE | {"answers": [GOOD | {"trial": GOOD["trial"] | {"gain": -1}}]}),
        json.dumps(WHOLE | {"answers": [GOOD | {"trial": GOOD["trial"] | {"gain": float("nan")}}]}),
        json.dumps(WHOLE | {"answers": [GOOD | {"trial": GOOD["trial"] | {"agrees": "no"}}]}),
        json.dumps(WHOLE | {"answers": [GOOD | {"circumstances": ["CPU"]}]}),
    ],
)
def test_a_file_that_is_damaged_or_anothers_is_not_believed_and_replaced_aloud(tmp_path, text):
    path, said = tmp_path / "precision.json", []
    path.write_text(text, encoding="latin-1")
    assert remembered(path, HERE) is None
    where = remember(path, Answer(HERE, FASTER), said.append)
    assert said == [f"{path}: is damaged or no list of Facet's precisions, begun anew"]
    assert (where, remembered(path, HERE)) == (f"remembered in {path}", FASTER)


def test_a_good_file_is_believed(tmp_path):
    path = tmp_path / "precision.json"
    path.write_text(json.dumps(WHOLE))
    assert remembered(path, HERE) == Trial(2.0, True, 1.0)


def test_a_folder_that_takes_no_files_is_no_mistake(tmp_path):
    (tmp_path / "cache").write_text("a file")
    path = tmp_path / "cache" / "precision.json"
    assert remember(path, Answer(HERE, FASTER), pytest.fail) == f"not remembered ({path}: File exists)"
    assert remembered(path, HERE) is None


def test_processes_that_remember_at_the_same_time_lose_nothing(tmp_path):
    code = """
import sys
from pathlib import Path
from models.training.precision_answers import Answer, remember
from models.training.precision_choice import Trial
for number in range(20):
    words = remember(Path(sys.argv[1]), Answer({"who": sys.argv[2], "n": str(number)}, Trial(2.0, True, 1.0)), print)
    assert words.startswith("remembered"), words
"""
    path = tmp_path / "precision.json"
    words = [sys.executable, "-c", code, str(path)]
    started = [subprocess.Popen([*words, who], cwd=ROOT, stdout=subprocess.PIPE) for who in "abc"]
    assert [(process.communicate()[0], process.returncode) for process in started] == [(b"", 0)] * 3
    assert len(json.loads(path.read_text())["answers"]) == 60
    assert sorted(found.name for found in tmp_path.iterdir()) == [".precision.lock", "precision.json"]


def test_the_file_lies_beside_the_runs_or_where_the_user_says(monkeypatch):
    monkeypatch.delenv("FACET_CACHE", raising=False)
    monkeypatch.setenv("FACET_HISTORY", "runs")
    assert answers_file() == Path("runs/.cache/precision.json")
    monkeypatch.setenv("FACET_CACHE", "elsewhere")
    assert answers_file() == Path("elsewhere/precision.json")


# ---- what an answer holds for


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": "vgg19"},
        {"backbone_arguments": {"alpha": 0.25}},
        {"image_size": (96, 96)},
        {"crop": (32, 32)},
        {"units": (8,)},
        {"label": ("age",)},
        {"batch_normalization": "synchronized"},
        {"fine_tuning": Phase(FINE_TUNING, 50, 1e-4, "adam", "all")},
        {"fine_tuning": Phase(FINE_TUNING, 0, 1e-4, "adam", "4")},
        {"fine_tuning": Phase(FINE_TUNING, 50, 1e-4, "sgd", "4")},
    ],
    ids=str,
)
def test_another_network_is_another_question(changes):
    assert circumstances(replace(SETTINGS, **changes), 16, 1) != circumstances(SETTINGS, 16, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "others.h5", "images_digest": "ff"},
        {"weights": "imagenet"},
        {"seed": 5, "augment": "none"},
        {"fine_tuning": Phase(FINE_TUNING, 3, 1e-3, "adam", "4", schedule="cosine")},
    ],
    ids=str,
)
def test_other_data_and_schedules_are_the_same_question(changes):
    assert circumstances(replace(SETTINGS, **changes), 16, 1) == circumstances(SETTINGS, 16, 1)


def test_other_rows_replicas_and_instruction_sets_are_another_question(monkeypatch):
    first = circumstances(SETTINGS, 16, 1)
    assert circumstances(SETTINGS, 8, 1) != first != circumstances(SETTINGS, 16, 2)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert circumstances(SETTINGS, 16, 1) != first
