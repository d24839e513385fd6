import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.contenders import Contender
from benchmarks.peers.schedule_job import ScheduleJob
from benchmarks.processes import AbsentError
from benchmarks.results import absolute
from benchmarks.rounds import Settings
from benchmarks.schedules import names, parts, picture
from benchmarks.schedules.facet_runs import Place, facet_trial
from benchmarks.schedules.peer_runs import of_lines, peer_trial, told
from benchmarks.schedules.plan import Plan, Workload
from benchmarks.schedules.preparing import ready
from benchmarks.schedules.processes import Ended, run
from benchmarks.schedules.statistics import lower_bound, of_equal_epochs, shares
from benchmarks.schedules.trials import (
    Epoch,
    Trial,
    phase_speed,
    read_trial,
    settled_speed,
    warm_up_seconds,
    whole_speed,
    write_trial,
)
from benchmarks.schedules.turns import take_turns, trial_file
from hdf5_helper.errors import FacetError
from hdf5_helper.reading.reader import HDF5Reader

NARROW = {"backbone": "mobilenet", "side": 32, "alpha": 0.25, "batch": 16}
SHORT = Workload("short", epochs=(2, 0), limit=48, **NARROW)
BOTH = Workload("both", epochs=(1, 2), split="0.6,0.2,0.2", **NARROW)
figures = st.floats(0, 100, allow_nan=False)


# ---- what is made of figures


@given(st.lists(st.tuples(figures, figures), min_size=2, max_size=11))
def test_the_paired_bound_is_that_of_students_t(pairs):
    ours, theirs = zip(*pairs, strict=True)
    differences = np.subtract(ours, theirs)
    error = np.std(differences, ddof=1) / np.sqrt(len(pairs))
    expected = np.mean(differences) - stats.t.ppf(0.95, len(pairs) - 1) * error
    assert lower_bound(ours, theirs) == pytest.approx(expected, abs=1e-6 * (1 + error))


def test_the_bound_of_many_pairs_is_on_the_safe_side():
    ours, theirs = list(range(20)), [0] * 20
    exact = np.mean(ours) - stats.t.ppf(0.95, 19) * stats.sem(ours)
    assert exact - 0.5 < lower_bound(ours, theirs) < exact


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=9), st.integers(1, 100))
def test_equal_epochs_take_their_median_times_their_number(seconds, epochs):
    assert of_equal_epochs(seconds, epochs) == pytest.approx(np.median(seconds) * epochs)


@given(st.dictionaries(st.sampled_from("abc"), st.floats(0.5, 10)), st.floats(1.1, 100))
def test_shares_of_a_speed_up_are_its_logarithms_and_sum_to_100(factors, total):
    found = shares(factors, total)
    assert sum(found.values()) == pytest.approx(100)
    assert {cause: total ** (found[cause] / 100) for cause in factors} == pytest.approx(factors)


def test_speeds_and_times_of_a_trial():
    warm = [
        Epoch("warm_up", 1, 4.0, 100, 10.0),
        Epoch("warm_up", 2, 1.0, 100, 12.0),
        Epoch("warm_up", 3, 2.0, 100, 15.0),
    ]
    tuned = [Epoch("fine_tuning", 1, 5.0, 100, 21.0), Epoch("fine_tuning", 2, 5.0, 200, 27.0)]
    trial = Trial(30.0, 50.0, 900.0, 0.1, (*warm, *tuned), began=5.0)
    assert whole_speed(trial) == 20
    assert [phase_speed(trial, phase) for phase in ("warm_up", "fine_tuning")] == [300 / 7, 30]
    assert settled_speed(trial) == 45  # median of 100, 50, 20 and 40
    # all three epochs were trained: from the phase's beginning to its end; of six, three were
    assert [warm_up_seconds(trial, epochs) for epochs in (3, 6)] == [10, 12]


def test_a_trial_comes_back_from_its_file(tmp_path):
    trial = Trial(3.0, 5.0, 900.0, 0.1, (Epoch("warm_up", 1, 1.0, 64, 2.5, 0.75),), 1.5, 0.8, None)
    write_trial(tmp_path / "trial.json", trial)
    assert read_trial(tmp_path / "trial.json") == trial


# ---- contenders


JOB = ScheduleJob("folder", "data", "vgg19", 1.0, "none", ([[1.0]], [0.0]), 32, (1, 1))


def test_a_variant_says_what_a_peers_job_is():
    assert told("-", JOB) == JOB
    assert told("precision=mixed_bfloat16 augmentation=off", JOB) == replace(
        JOB, precision="mixed_bfloat16", augmentation=False
    )
    assert told("reader=facet", JOB) == replace(JOB, reader="facet")


def test_measuring_on_test_images_is_no_time_of_a_peers_training():
    epoch = {"phase": "warm_up", "epoch": 1, "seconds": 2.0, "images": 64, "accuracy": 0.5, "paused": 3.0}
    later = epoch | {"epoch": 2, "seconds": 1.0, "accuracy": 0.75, "paused": 5.0}
    last = {"accuracy": 0.75, "paused": 5.0, "paused_cpu": 8.0}
    lines = (
        (9.0, json.dumps(epoch)),
        (9.5, "a word of a library's"),
        (12.5, json.dumps(later)),
        (13.0, json.dumps(last)),
    )
    trial = of_lines(Ended(0, lines, "", 14.0, 20.0, 900.0, 0.25))
    epochs = (Epoch("warm_up", 1, 2.0, 64, 6.0, 0.5), Epoch("warm_up", 2, 1.0, 64, 7.5, 0.75))
    assert trial == Trial(9.0, 12.0, 900.0, 0.25, epochs, 4.0, 0.75)


def test_a_processes_lines_have_times_and_it_is_known_what_it_took(tmp_path):
    code = (
        "import time; x = bytearray(100 << 20); print('one', flush=True); time.sleep(0.3); print('two');"
        "sum(range(10**7))"
    )
    ended = run(["python3", "-c", code], tmp_path, tmp_path / "log.txt", {})
    (first, one), (second, two) = ended.lines
    assert (ended.code, one, two) == (0, "one", "two")
    assert 0.25 < second - first < ended.seconds
    assert 100 < ended.memory < 200
    assert 0.02 < ended.cpu < ended.seconds


def test_a_process_that_fails_has_last_words(tmp_path):
    code = "import sys; print('out'); sys.exit('no such thing')"
    ended = run(["python3", "-c", code], tmp_path, tmp_path / "log.txt", {"NAME": "value"})
    assert (ended.code, ended.last_words) == (1, "no such thing")


@pytest.fixture(scope="session")
def short(sample_tree, tmp_path_factory):
    return ready(SHORT, sample_tree("agegender", count=120), None, tmp_path_factory.mktemp("short"))


def test_peers_get_the_very_images_that_facet_is_given(short, sample_tree, tmp_path):
    both = ready(replace(BOTH, limit=60), sample_tree("agegender", count=120), None, tmp_path)
    for files in (short, both):
        with HDF5Reader(files.data) as reader:
            rows = [(split, row) for split in reader.splits for row in reader.split(split)]
            stored = sorted(
                (split, ("male", "female")[reader.labels("gender")[row]], reader.stored([row])[0])
                for split, row in rows
            )
        found = sorted((path.parts[-3], path.parts[-2], path.read_bytes()) for path in files.folder.rglob("*.jpg"))
        assert found == stored
    assert {path.name for path in short.folder.iterdir()} == {"train"}
    assert {path.name for path in both.folder.iterdir()} == {"train", "validation", "test"}


def test_a_job_sees_the_colours_that_the_backbone_wants(short):
    kernel, bias = short.job(3).colours
    white, black = np.ones(3) * 255 @ np.array(kernel) + bias, np.array(bias)
    assert np.allclose(white, 1)
    assert np.allclose(black, -1)


def test_a_peer_without_its_environment_is_absent(short, tmp_path):
    with pytest.raises(AbsentError, match=r"^absent: no --peers given$"):
        peer_trial(names.TORCH, short, 0, Place(tmp_path))
    with pytest.raises(AbsentError, match=rf"^absent: no environment pytorch in {tmp_path}$"):
        peer_trial(names.TORCH, short, 0, Place(tmp_path, tmp_path))


def test_facet_itself_must_not_fail(short, tmp_path):
    with pytest.raises(FacetError, match=r"^facet train failed: optimizer 'adamm': expected .*, see .*log-short"):
        facet_trial(Contender("Facet", "facet", "--optimizer adamm"), short, 0, Place(tmp_path))


@pytest.fixture(scope="session")
def trained(short, tmp_path_factory):
    """Gives the work folder and the rounds of one turn of Facet and plain Keras, PyTorch absent."""
    work = tmp_path_factory.mktemp("work")
    return work, take_turns((names.FACET, names.KERAS, names.TORCH), short, Settings(work, repeats=1))


def test_facet_and_keras_train_the_same_epochs_in_real_processes(trained):
    _work, rounds = trained
    for who in (names.FACET, names.KERAS):
        (trial,) = rounds.trials[who.name]
        assert [(epoch.phase, epoch.number, epoch.images) for epoch in trial.epochs] == [
            ("warm_up", n, 48) for n in (1, 2)
        ]
        times = [trial.began, *(epoch.at for epoch in trial.epochs), trial.seconds]
        assert times == sorted(times)
        assert 0 < sum(epoch.seconds for epoch in trial.epochs) < trial.seconds
        assert trial.memory > 200
        assert trial.cpu > 1
    assert rounds.absent == {names.TORCH.name: "absent: no --peers given"}


def test_what_was_trained_is_not_trained_again(trained, short):
    work, rounds = trained
    files = {path: path.stat().st_mtime_ns for path in work.glob("schedules/trials/*")}
    assert len(files) == 2
    again = take_turns((names.FACET, names.KERAS, names.TORCH), short, Settings(work, repeats=1))
    assert again == rounds
    assert {path: path.stat().st_mtime_ns for path in work.glob("schedules/trials/*")} == files


def test_a_figure_that_a_contender_does_not_tell_makes_it_absent(trained):
    _work, rounds = trained
    facet, torch = rounds.measured(lambda trial: trial.accuracy, (names.FACET, names.TORCH))
    assert (facet.figures, facet.absent) == ((), "not measured: it does not tell")
    assert (torch.figures, torch.absent) == ((), "absent: no --peers given")


# ---- parts


def test_without_real_faces_every_measure_says_so(tmp_path):
    found = parts.measure_schedules(parts.Schedules(Settings(tmp_path), None, None))
    results = [result for group in found for result in group]
    assert sorted(result.name for result in results) == sorted(names.MEASURES)
    assert {result.peer for result in results} == {
        "(not measured: no real faces, expected agegender_cleaned in $FACET_DATA)"
    }


def test_parts_of_one_work_folder_are_joined(tmp_path):
    def entries():
        return [(entry["name"], entry["value"]) for entry in json.loads((tmp_path / "schedules.json").read_text())]

    parts._join(tmp_path / "schedules.json", [absolute(names.SECOND, "s", (3.0,))])
    parts._join(tmp_path / "schedules.json", [absolute(names.WARM_UP, "images/s", (7.0,))])
    assert entries() == [(names.WARM_UP, 7.0), (names.SECOND, 3.0)]
    parts._join(tmp_path / "schedules.json", [absolute(names.SECOND, "s", (1.0,))])
    assert entries() == [(names.WARM_UP, 7.0), (names.SECOND, 1.0)]


def test_each_part_has_measures_of_its_own_and_all_of_them_have_a_part():
    measures = [name for named in parts.PARTS.values() for name in named]
    assert sorted(measures) == sorted(names.MEASURES)
    assert all(name.startswith("schedule:") for name in measures)


def whole_trial(seconds, accuracy):
    epochs = (Epoch("warm_up", 1, 1.0, 100, 2.0, accuracy), Epoch("fine_tuning", 1, 1.0, 100, 3.0, accuracy))
    return Trial(seconds, seconds, 900.0, 0.0, epochs, 1.0, accuracy)


def kept(work, who, figures):
    for number, (seconds, accuracy) in enumerate(figures):
        file = trial_file(work, Plan().whole.name, who, number)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_trial(file, whole_trial(seconds, accuracy))


def test_the_whole_schedule_is_compared_by_rounds_and_its_accuracy_by_seeds(sample_tree, tmp_path):
    kept(tmp_path, names.FACET, [(10, 0.95), (20, 0.96)])
    kept(tmp_path, names.KERAS, [(60, 0.96), (100, 0.95)])
    whole = replace(BOTH, name=Plan().whole.name)
    asked = parts.Schedules(
        Settings(tmp_path, repeats=2, only="schedule:whole"), sample_tree("agegender"), None, Plan(whole=whole)
    )
    results = {(result.name, result.peer): result for group in parts.measure_schedules(asked) for result in group}
    speed = results[names.WHOLE, names.KERAS.name]
    assert (speed.value, speed.peer_value, speed.ratio) == pytest.approx((15, 8 / 3, 5.5))
    assert (speed.bar, speed.passed) == ("≥ 5", True)
    absent = results[names.WHOLE, f"{names.TORCH.name} (absent: no --peers given)"]
    assert (absent.peer_value, absent.passed) == (None, None)
    bound = results[names.WHOLE_BOUND, None]
    assert bound.value == pytest.approx(lower_bound([95, 96], [96, 95]))
    assert (bound.unit, bound.bar, bound.passed, bound.repeats) == ("points", "≥ -1.5", False, 2)
    assert {entry["name"] for entry in json.loads((tmp_path / "schedules.json").read_text())} == {
        n for n, _p in results
    }


def test_causes_have_shares_of_the_speed_up(sample_tree, tmp_path):
    seconds = {names.FACET: 10, names.NO_CACHE: 20, names.FACET_FLOAT32: 15, names.NO_DETERMINISM: 10}
    for who, one in (seconds | {names.KERAS_READER: 64, names.KERAS: 80}).items():
        kept(tmp_path, who, [(one, 0.9)])
    whole = replace(BOTH, name=Plan().whole.name)
    asked = parts.Schedules(
        Settings(tmp_path, repeats=1, only="share"), sample_tree("agegender"), None, Plan(whole=whole)
    )
    found = {result.name: result.value for group in parts.measure_schedules(asked) for result in group}
    expected = shares({"cache": 2, "precision": 1.5, "loader": 1.25, "determinism": 1}, 8)
    assert found == pytest.approx({names.SHARE + cause: share for cause, share in expected.items()})


def test_the_picture_shows_everybody_whose_accuracy_was_measured(tmp_path):
    with pytest.raises(FacetError, match=r"no accuracy over time, expected the work folder of `--only schedule:whole`"):
        picture.curves(tmp_path, "whole")
    kept(tmp_path, names.FACET, [(10, 0.95)])
    kept(tmp_path, names.KERAS, [(60, 0.9)])
    found = picture.curves(tmp_path, "whole")
    assert found == {"Facet": [(2, 95), (3, 95)], names.KERAS.name: [(2, 90), (3, 90)]}
    drawn = []
    for number in range(2):
        picture.draw(tmp_path / f"{number}" / "picture.svg", found, (1, 1))
        drawn.append((tmp_path / f"{number}" / "picture.svg").read_text())
    assert drawn[0] == drawn[1]
    assert all(f">{who}<" in drawn[0] for who in found)


@pytest.mark.long
def test_every_part_runs_on_a_small_workload(sample_tree, tmp_path):
    plan = Plan(
        replace(SHORT, name="warm-up", epochs=(3, 0), peer_epochs=(2, 0)),
        replace(SHORT, name="fine-tuning", epochs=(0, 3)),
        replace(BOTH, name="whole"),
        {title: replace(SHORT, name=f"p{place}", epochs=(0, 2)) for place, title in enumerate(names.PRECISION)},
        replace(SHORT, name="second", epochs=(1, 1)),
    )
    asked = parts.Schedules(Settings(tmp_path, repeats=2), sample_tree("agegender", count=120), None, plan)
    results = [result for group in parts.measure_schedules(asked) for result in group]
    assert {result.name for result in results} == set(names.MEASURES)
    absent = [result for result in results if result.value is None and result.name not in names.SHARES]
    assert absent == []  # Facet has a figure everywhere; how fast it is on so little is no question
    peers = {result.peer for result in results if result.peer is not None and result.peer_value is None}
    torch = f"{names.TORCH.name} (absent: no --peers given)"
    assert peers - {torch} <= {result.peer for result in results if result.name in names.SHARES}
    assert len(picture.curves(tmp_path, "whole")["Facet"]) == 3
