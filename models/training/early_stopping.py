"""When a phase ends before its last epoch: a pure function of the epochs measured so far."""

from collections.abc import Sequence

from models.heads.choosing import larger_is_better
from models.training.phase import Phase
from models.training.state import Row


def patience_over(phase: Phase, rows: Sequence[Row], metric: str) -> bool:
    """Says whether a metric has not improved for `phase.early_stopping` epochs of this phase.

    As Keras's EarlyStopping, but that nothing needs saving. A metric that is missing or NaN is no improvement.

    Args:
        phase: its name and patience; a patience of 0 never ends it.
        rows: rows of `epochs.csv` so far; those of this phase from epoch 1 on count.
        metric: the column that chooses the best epoch; ties go to the earlier.
    """
    if not phase.early_stopping:
        return False
    sign = 1 if larger_is_better(metric) else -1
    best, waited = float("-inf"), 0
    for row in rows:
        if row["phase"] != phase.name or row["epoch"] < 1:
            continue
        value = sign * float(row.get(metric, "nan"))
        best, waited = (value, 0) if value > best else (best, waited + 1)
    return waited >= phase.early_stopping
