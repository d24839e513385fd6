from models.training.history import columns, read_epochs, write_epochs
from models.training.state import Best, TrainingState, add

ROWS = [
    {"phase": "warm_up", "epoch": 0, "step": 0, "val_gender_accuracy": 0.5, "val_loss": 0.7},
    {
        "phase": "warm_up",
        "epoch": 1,
        "step": 44,
        "learning_rate": 0.0010000000474974513,
        "gender_accuracy": 0.75,
        "loss": 0.5,
        "val_gender_accuracy": 0.8,
        "val_loss": 0.4,
        "seconds": 2.5,
        "images_per_second": 100.0,
    },
]


def test_columns_stand_in_their_fixed_order():
    assert columns(ROWS) == [
        "phase",
        "epoch",
        "step",
        "learning_rate",
        "loss",
        "gender_accuracy",
        "val_loss",
        "val_gender_accuracy",
        "seconds",
        "images_per_second",
    ]


def test_epochs_are_read_back_as_they_were_written(tmp_path):
    path = tmp_path / "epochs.csv"
    write_epochs(path, ROWS)
    assert read_epochs(path) == [ROWS[0], ROWS[1] | {"learning_rate": 0.001}]
    assert read_epochs(tmp_path / "none.csv") == []


def test_sums_are_added_column_by_column():
    sums = {}
    add(sums, {"loss": [2.0, 4.0]})
    add(sums, {"loss": [4.0, 2.0], "age_mae": [1.0, 1.0]})
    assert sums == {"loss": [6.0, 6.0], "age_mae": [1.0, 1.0]}


def test_a_state_survives_its_json_form():
    state = TrainingState("warm_up", 1, 2, {"loss": [1.0, 2.0]}, 3.0, ROWS, Best(0.5, "warm_up", 1, "x.keras"), 9)
    assert TrainingState.from_dict(state.to_dict()) == state
    assert TrainingState.from_dict(TrainingState().to_dict()) == TrainingState()
