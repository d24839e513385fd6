import math

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from models.training.phase import FINE_TUNING, WARM_UP, Phase
from models.training.schedule import parse_schedule, rates, reductions

LOSSES = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), max_size=25)


def phase(schedule="constant", epochs=10, learning_rate=0.1, rising=0.0):
    return Phase(FINE_TUNING, epochs, learning_rate, "sgd", schedule=schedule, learning_rate_warm_up=rising)


def rows(losses, name=FINE_TUNING, **more):
    return [
        {"phase": name, "epoch": epoch, "loss": 9.0, "val_loss": loss, **more} for epoch, loss in enumerate(losses, 1)
    ]


def all_rates(of, losses=(), steps=4):
    rate = rates(of, rows(losses), steps)
    return [rate(step) for step in range(of.epochs * steps)]


def reduced_by_keras(losses, patience, factor):
    """Gives the learning rate after each epoch under Keras's own callback, beginning at 1."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    callback = keras.callbacks.ReduceLROnPlateau(factor=factor, patience=patience, min_delta=0.0, min_lr=0.0)
    callback.set_model(model)
    callback.on_train_begin()
    found = []
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        found.append(float(model.optimizer.learning_rate.numpy()))
    return found


def test_a_constant_rate_needs_nobody_to_set_it():
    assert rates(phase(), [], 4) is None


def test_the_rate_rises_from_above_0_to_the_full_one_over_its_warm_up():
    assert all_rates(phase(epochs=2, rising=1.0)) == [0.025, 0.05, pytest.approx(0.075), 0.1, 0.1, 0.1, 0.1, 0.1]


def test_a_warm_up_may_last_part_of_an_epoch():
    assert all_rates(phase(epochs=1, rising=0.5)) == [0.05, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(("schedule", "alpha"), [("cosine", 0.0), ("cosine:0.01", 0.01)])
@pytest.mark.parametrize("rising", [0, 2])
def test_cosine_is_that_of_keras(schedule, alpha, rising):
    steps, epochs = 5, 6
    mine = all_rates(phase(schedule, epochs, rising=rising), steps=steps)
    theirs = keras.optimizers.schedules.CosineDecay(
        0.0 if rising else 0.1,
        (epochs - rising) * steps,
        alpha,
        warmup_target=0.1 if rising else None,
        warmup_steps=rising * steps,
    )
    # Keras's first step does nothing while it warms up, so Facet's is its second.
    expected = [float(theirs(step + (step < rising * steps))) for step in range(epochs * steps)]
    assert mine == pytest.approx(expected, rel=1e-5)


def test_steps_reduce_the_rate_every_so_many_epochs():
    assert all_rates(phase("step:2:0.5", epochs=5, learning_rate=0.8), steps=1) == [0.8, 0.8, 0.4, 0.4, 0.2]


@settings(max_examples=25, deadline=None)
@given(LOSSES, st.integers(1, 4), st.sampled_from([0.1, 0.5]))
def test_plateau_reduces_as_keras_does(losses, patience, factor):
    rate = rates(phase(f"plateau:{patience}:{factor}", epochs=30, learning_rate=1.0), rows(losses), 3)
    assert [rate(3 * epoch) for epoch in range(1, len(losses) + 1)] == pytest.approx(
        reduced_by_keras(losses, patience, factor), rel=1e-5
    )


@given(LOSSES, st.integers(1, 4))
def test_a_plateau_is_counted_from_the_rows_whenever_they_are_asked(losses, patience):
    schedule = phase(f"plateau:{patience}:0.5", epochs=30)
    for done in range(len(losses)):
        resumed, unbroken = rates(schedule, rows(losses[:done]), 2), rates(schedule, rows(losses), 2)
        assert [resumed(step) for step in range(2 * done + 2)] == [unbroken(step) for step in range(2 * done + 2)]


def test_a_plateau_of_another_phase_or_before_the_first_step_does_not_count():
    before = {"phase": FINE_TUNING, "epoch": 0, "val_loss": 0.0}
    others = [*rows([1.0, 1.0, 1.0], WARM_UP), before, *rows([0.5, 0.4])]
    rate = rates(phase("plateau:1:0.5"), others, 1)
    assert [rate(step) for step in range(3)] == [0.1, 0.1, 0.1]


def test_without_validation_the_training_loss_is_watched():
    trained = [{"phase": FINE_TUNING, "epoch": epoch, "loss": 1.0} for epoch in (1, 2)]
    assert rates(phase("plateau:1:0.5"), trained, 1)(2) == 0.05


@given(LOSSES, st.integers(1, 4))
def test_reductions_never_come_closer_than_the_patience(losses, patience):
    counts = [reductions(losses[:epoch], patience) for epoch in range(len(losses) + 1)]
    rises = [epoch for epoch in range(1, len(counts)) if counts[epoch] > counts[epoch - 1]]
    assert counts[-1] == len(rises)
    assert all(later - earlier >= patience for earlier, later in zip([0, *rises], rises, strict=False))


@given(
    st.sampled_from(["constant", "cosine", "cosine:0.1", "step:1:0.5", "plateau:1:0.1"]),
    st.integers(1, 6),
    st.floats(0, 1),
    st.integers(1, 7),
    LOSSES,
)
def test_every_rate_is_above_0_and_at_most_the_phases_own(schedule, epochs, rising, steps, losses):
    of = phase(schedule, epochs, rising=rising * epochs)
    rate = rates(of, rows(losses), steps)
    assert rate is None or all(0 < rate(step) <= of.learning_rate for step in range(epochs * steps))


@given(st.sampled_from(["cosine", "step:3:0.5", "constant"]), st.floats(0.5, 3))
def test_after_its_warm_up_a_rate_never_rises(schedule, rising):
    found = all_rates(phase(schedule, rising=rising))
    top = found.index(max(found))
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cosin", "schedule 'cosin': expected one of constant, cosine, plateau, step (did you mean 'cosine'?)"),
        ("constant:1", "schedule 'constant:1': expected constant"),
        ("cosine:1", "schedule 'cosine:1': expected cosine or cosine:SHARE with a share of at least 0 and below 1"),
        ("step", "schedule 'step': expected step:EPOCHS:FACTOR with at least 1 epoch and a factor between 0 and 1"),
        ("step:0:0.5", "schedule 'step:0:0.5': expected step:EPOCHS:FACTOR with at least 1 epoch"),
        ("plateau:3:nan", "schedule 'plateau:3:nan': expected plateau:EPOCHS:FACTOR with at least 1 epoch"),
        ("plateau:3:0.1:4", "schedule 'plateau:3:0.1:4': expected plateau:EPOCHS:FACTOR with at least 1 epoch"),
    ],
)
def test_other_texts_are_no_schedule(text, sentence):
    with pytest.raises(FacetError) as error:
        parse_schedule(text)
    assert str(error.value).startswith(sentence)


def test_only_cosine_depends_on_the_number_of_epochs():
    texts = ("constant", "cosine", "cosine:0.5", "step:2:0.5", "plateau:2:0.5")
    assert [text for text in texts if parse_schedule(text).needs_epochs] == ["cosine", "cosine:0.5"]
    longer, shorter = (rates(phase("cosine", epochs), [], 4) for epochs in (9, 10))
    assert not math.isclose(longer(8), shorter(8))
