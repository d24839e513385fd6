import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.early_stopping import patience_over
from models.training.phase import FINE_TUNING, WARM_UP, Phase

LEVELS = [0.1, 0.2, 0.3, 0.4]
#: NaN is no improvement; as the first value Keras takes it for the best for ever.
VALUES = st.builds(
    lambda first, others: [first, *others],
    st.sampled_from(LEVELS),
    st.lists(st.sampled_from([*LEVELS, float("nan")]), max_size=19),
)


def phase(patience, name=FINE_TUNING):
    return Phase(name, 50, 0.1, "sgd", early_stopping=patience)


def rows(values, metric="val_loss", name=FINE_TUNING):
    return [{"phase": name, "epoch": epoch, metric: value} for epoch, value in enumerate(values, 1)]


def first_over(patience, values, metric):
    """Gives after how many epochs the phase is over, None for never."""
    over = [patience_over(phase(patience), rows(values[:count], metric), metric) for count in range(1, len(values) + 1)]
    return over.index(True) + 1 if True in over else None


def stopped_by_keras(patience, values, mode):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd")
    callback = keras.callbacks.EarlyStopping("watched", patience=patience, mode=mode)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"watched": value})
        if model.stop_training:
            return epoch + 1
    return None


@settings(max_examples=40, deadline=None)
@given(VALUES, st.integers(1, 5), st.sampled_from([("val_loss", "min"), ("val_gender_accuracy", "max")]))
def test_a_phase_ends_where_keras_would_end_it(values, patience, watched):
    metric, mode = watched
    assert first_over(patience, values, metric) == stopped_by_keras(patience, values, mode)


def test_a_patience_of_0_never_ends_a_phase():
    assert not patience_over(phase(0), rows([1.0] * 30), "val_loss")


@pytest.mark.parametrize(("count", "over"), [(3, False), (4, True)])
def test_ties_are_no_improvement(count, over):
    assert patience_over(phase(3), rows([0.5] * count), "val_loss") is over


def test_an_earlier_phase_and_epoch_0_do_not_count():
    before = {"phase": FINE_TUNING, "epoch": 0, "val_loss": 0.0}
    assert not patience_over(phase(2), [*rows([0.0] * 9, name=WARM_UP), before, *rows([0.5, 0.5])], "val_loss")


def test_it_is_over_as_long_as_nothing_is_added():
    stopped = rows([0.1, 0.2, 0.2])
    assert [patience_over(phase(2), stopped, "val_loss") for _again in range(2)] == [True, True]


def test_a_first_value_that_is_nan_is_beaten_by_any_number():
    assert not patience_over(phase(2), rows([float("nan"), 0.1, 0.1]), "val_loss")
