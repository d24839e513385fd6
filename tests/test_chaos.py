"""Runs that are killed again and again, wherever it hurts, end as the run that nothing disturbed, bit for bit."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from kills import build_shim
from run_remains import differing, remains
from training_kills import AFTER, BEFORE, TORN, End, Job, Life, Trainings, live_alone

from hdf5_helper.hashing import hash_integer

COMMON = {
    "backbone": "mobilenet",
    "backbone_arguments": {"alpha": 0.25},
    "weights": "none",
    "label": "gender,age",
    "image_size": "64",
    "batch_size": 16,
    "units": [16],
    "dropout": 0.4,
    "augment": "mirror",
    "class_weights": "balanced",
    "warm_up_epochs": 2,
    "fine_tuning_epochs": 2,
    "trainable_layers": "8",
    "gradient_clipping": 1.0,
    "weight_decay": 0.001,
    "label_smoothing": 0.1,
    "learning_rate_warm_up": 0.5,
    "checkpoint_every": 1,
    "checkpoint_every_steps": 3,
    "checkpoint_every_minutes": 0,
}
#: The second one's fine-tuning is so fast that it stops early, before its last epoch.
RECIPES = {
    "cosine": {"schedule": "cosine"},
    "plateau": {
        "schedule": "plateau:1:0.5",
        "fine_tuning_early_stopping": 1,
        "fine_tuning_learning_rate": 1e-8,
        "fine_tuning_epochs": 4,
        "fine_tuning_from": "last",
    },
}
#: Its first epoch stays the best, and its last save removes an older checkpoint.
NARROW = {
    "backbone": "narrow",
    "backbone_arguments": {},
    "label": "age",
    "best_metric": "val_loss",
    "class_weights": "none",
    "learning_rate_warm_up": 0.0,
    "warm_up_learning_rate": 10.0,
    "fine_tuning_learning_rate": 10.0,
    "checkpoint_every_steps": 2,
}
PHASES = ("warm_up", "fine_tuning")
LAST = 1 << 30

#: How many kills of which kind a run of eleven takes.
KINDS = {"save": 3, "step": 2, "shown": 1, "validation": 1, "epoch": 1, "boundary": 1, "start": 1, "first": 1}


@pytest.fixture(scope="module")
def data(packed):
    return packed("agegender", count=180)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    with Trainings(build_shim(tmp_path_factory.mktemp("shim"))) as process:
        yield process


@dataclass(frozen=True)
class Unbroken:
    """A run that nothing disturbed, and the job that makes it."""

    job: Job
    life: Life
    remains: dict


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, data, trainings):
    """Gives the unbroken run of some settings, made once."""
    runs = {}

    def get(**sets):
        key = repr(sets)
        if key not in runs:
            folder = tmp_path_factory.mktemp("unbroken")
            job = Job(str(folder), str(data), "run", str(folder / "log"), COMMON | sets)
            life = trainings.live(job)
            assert life.status == 0, life.lines[-30:]
            runs[key] = Unbroken(job, life, remains(folder / "run"))
        return runs[key]

    return get


# ---- where to kill


@dataclass(frozen=True)
class Point:
    """A moment of a run: its kind, where a life ends for it, and where it is: (phase, epoch, step)."""

    kind: str
    end: End
    place: tuple[int, int, float]


def points_of(life):
    """Gives every event, and every call on the run's folder, as moments to die at, each as before, in and after it."""
    event, place, call = "", (-1, 0, 0), 0
    for line in life.lines:
        if line.startswith("@"):
            word, _, rest = line[1:].partition(" ")
            if word in ("said", "batch", "complete"):
                continue
            where = _place(word, rest)
            if word != "validate":  # read on a thread of its own: no call can be counted from it
                event, place, call = line[1:], where, 0
            yield Point(_kind_of_event(word, where), End(line[1:]), where)
            continue
        name, _, path = line.partition(" ")
        moments = (BEFORE, TORN, AFTER) if "write" in name else (BEFORE, AFTER)
        for moment in moments:
            yield Point(_kind_of_call(event, Path(path).name), End(event, call, moment), place)
        call += 1


def _place(word, rest):
    if word == "start":
        return -1, 0, 0
    phase, *numbers = rest.split()
    epoch, step = [*map(int, numbers), 0][:2]
    shift = {"begin_phase": -1, "begin_step": 0, "end_step": 0.5}.get(word, LAST)
    return PHASES.index(phase), epoch, step + shift if shift != LAST else LAST


def _kind_of_event(word, place):
    if word == "begin_step" and place == (0, 1, 0):
        return "first"
    kinds = {"begin_phase": "boundary", "validate": "validation", "end_epoch": "epoch", "start": "start"}
    return kinds.get(word, "step")


def _kind_of_call(event, file):
    if event.startswith("start"):
        return "start"
    return "shown" if "epochs" in file or "curves" in file else "save"


def chosen(life, seed, kinds):
    """Chooses moments by a seed, no two of them at one place, in the order in which a run comes to them.

    A run that stops early may have fewer places of a kind than are asked for: a step takes the place of one then.
    """
    points = list(points_of(life))
    order = sorted(range(len(points)), key=lambda number: hash_integer(seed, number))
    taken = {}
    for kind, count in kinds.items():
        free = [points[n] for n in order if points[n].kind == kind]
        free += [points[n] for n in order if points[n].kind == "step"]
        for _ in range(count):
            point = next(point for point in free if point.place not in taken)
            taken[point.place] = point
    return [taken[place] for place in sorted(taken)]


# ---- what must be true of a run that was killed


def begun_again(run, place, trainings, points):
    """Lives a run to its end, one life for each of the moments; gives all lives."""
    job = replace(run.job, history=str(place), log=str(place / "log"))
    lives = [trainings.live(replace(job, end=point.end)) for point in points]
    late = [(point.end, life.status) for point, life in zip(points, lives, strict=True) if life.status != -9]
    assert late == []
    return [*lives, trainings.live(job)]


def assert_as_if_nothing_had_happened(run, place, lives):
    assert lives[-1].status == 0, lives[-1].lines[-30:]
    assert differing(remains(place / "run"), run.remains) == []
    assert batches(lives) == batches([run.life])
    assert steps_that_count(lives, steps(run.life)) == steps(run.life)
    assert [number for number, life in enumerate(lives) if not began_as_it_said(life)] == []


def batches(lives):
    """Gives what each batch was, by epoch and step; a batch that is read again must be the same."""
    read = {}
    for batch in (batch for life in lives for batch in life.told("batch")):
        epoch, step, contents = batch.split(" ", 2)
        assert read.setdefault((epoch, step), contents) == contents
    return read


def steps(life):
    """Gives the steps that a life began, in order, as `PHASE EPOCH STEP`."""
    return life.told("begin_step")


def steps_that_count(lives, expected):
    """Gives the steps that made the last model: of each life those before the place where the next one began."""
    made = []
    for life in lives:
        if steps(life):
            made = made[: expected.index(steps(life)[0])] + steps(life)
    return made


def began_as_it_said(life):
    """Says whether the first step is the one after the checkpoint that the life named."""
    if not steps(life):
        return life.status == -9 or life.began.startswith("fine_tuning")  # died before it, or was complete
    phase, epoch, step = steps(life)[0].split()
    if step != "0":
        return life.began == f"{phase}-epoch-{int(epoch):04d}-step-{int(step):06d}.keras"
    if epoch != "1":
        return life.began == f"{phase}-epoch-{int(epoch) - 1:04d}.keras"
    return life.began == "nothing" if phase == "warm_up" else life.began.startswith("warm_up-epoch")


# ---- the tests


@pytest.mark.parametrize(("recipe", "seed"), [("cosine", 1), pytest.param("plateau", 2, marks=pytest.mark.long)])
def test_a_run_that_is_killed_eleven_times_ends_as_if_nothing_had_happened(tmp_path, trainings, unbroken, recipe, seed):
    run = unbroken(**RECIPES[recipe])
    points = chosen(run.life, seed, KINDS)
    assert len(points) == 11
    lives = begun_again(run, tmp_path, trainings, points)
    assert_as_if_nothing_had_happened(run, tmp_path, lives)


@pytest.mark.long
def test_kills_at_any_time_lose_nothing(tmp_path, trainings, unbroken):
    run = unbroken(**RECIPES["cosine"])
    assert lived_at_random(run, tmp_path, trainings, kills=3, seed=3) == 3


def lived_at_random(run, tmp_path, trainings, kills, seed):
    """Kills runs after times that a seed chooses, until there were so many kills; gives how many there were."""
    done, number = 0, 0
    while done < kills:
        place, lives = tmp_path / str(number), []
        place.mkdir()
        job = replace(run.job, history=str(place), log=str(place / "log"))
        while done < kills and (not lives or lives[-1].status == -9):
            seconds = run.life.seconds * (hash_integer(seed, number, len(lives)) / 2**64)
            lives.append(trainings.live(replace(job, end=End(seconds=seconds))))
            done += lives[-1].status == -9
        if lives[-1].status == -9:
            lives.append(trainings.live(job))
        assert_as_if_nothing_had_happened(run, place, lives)
        number += 1
    return done


def call_behind(life, event, name, file):
    """Gives the number, counted from an event, of the first call of a name on a file."""
    behind = life.lines[life.lines.index(f"@{event}") + 1 :]
    calls = [line for line in behind if not line.startswith("@")]
    return next(n for n, line in enumerate(calls) if line.startswith(f"{name} ") and file in line)


@pytest.mark.long
def test_a_kill_between_the_two_pointers_leaves_both_right(tmp_path, trainings, unbroken):
    run = unbroken(**NARROW)
    assert run.remains["best"]["checkpoint"] == "warm_up-epoch-0001.keras"
    event = "end_epoch warm_up 1"
    call = call_behind(run.life, event, "rename", "/latest.json")
    lives = begun_again(run, tmp_path, trainings, [Point("save", End(event, call, AFTER), (0, 1, LAST))])
    assert_as_if_nothing_had_happened(run, tmp_path, lives)


def test_a_kill_before_the_last_old_checkpoint_goes_leaves_none_too_many(tmp_path, trainings, unbroken):
    run = unbroken(**NARROW)
    event = "end_epoch fine_tuning 2"
    call = call_behind(run.life, event, "unlink", ".keras")
    lives = begun_again(run, tmp_path, trainings, [Point("save", End(event, call, BEFORE), (1, 2, LAST))])
    assert_as_if_nothing_had_happened(run, tmp_path, lives)


def test_the_plateau_recipe_is_ended_by_its_early_stopping_and_reduces_its_rate(unbroken):
    rows = unbroken(**RECIPES["plateau"]).remains["rows"]
    assert [row["epoch"] for row in rows if row["phase"] == "fine_tuning"][-1] < 4


@pytest.mark.long
def test_a_forked_process_computes_the_bits_of_a_fresh_one(tmp_path, unbroken):
    run = unbroken(**RECIPES["cosine"])
    life = live_alone(replace(run.job, history=str(tmp_path), log=str(tmp_path / "log")))
    assert life.status == 0
    assert differing(remains(tmp_path / "run"), run.remains) == []


@pytest.mark.long
@pytest.mark.parametrize("number", range(12))
def test_three_hundred_kills_lose_nothing(tmp_path, trainings, unbroken, number):
    optimizer = ("adam", "adamax", "rmsprop", "sgd")[number % 4]
    more = {"optimizer": optimizer, "warm_up_epochs": 4, "fine_tuning_epochs": 5}
    run = unbroken(**RECIPES["plateau" if number % 3 == 2 else "cosine"] | more)
    kinds = {kind: 2 * count for kind, count in KINDS.items()} | {"start": 1, "first": 1, "save": 8, "step": 5}
    points = chosen(run.life, 100 + number, kinds)
    (tmp_path / "chosen").mkdir()
    lives = begun_again(run, tmp_path / "chosen", trainings, points)
    assert_as_if_nothing_had_happened(run, tmp_path / "chosen", lives)
    left = 25 - len(points)
    assert lived_at_random(run, tmp_path, trainings, kills=left, seed=200 + number) == left
