"""Confusion matrices of every validation: who is taken for whom, epoch by epoch."""

import csv
import io
from itertools import groupby, product
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import write_text
from models.heads.head import Head
from models.training.state import Row, Sums

#: Larger matrices are not for reading; the evaluation of a run has them.
_LARGEST = 20


def confusion_names(heads: tuple[Head, ...]) -> list[str]:
    """Names the cells of all confusion matrices, row by row: `LABEL TRUE PREDICTED` by class number."""
    return [
        f"{head.label} {true} {said}"
        for head in _with_classes(heads)
        for true, said in product(range(head.classes), repeat=2)
    ]


def confusion_pairs(heads: tuple[Head, ...], outputs: Any, inputs: Any) -> Any:
    """Gives a tensor (cells, 2): [examples in the cell, examples of the true class] for each of `confusion_names`.

    Args:
        heads: of the model.
        outputs: scores by label.
        inputs: with `targets` and `counted` by label, see `models.training.feeding.Batch`.
    """
    import tensorflow as tf

    pairs = [tf.zeros((0, 2))]
    for head in _with_classes(heads):
        said, true = head.decisions(tf.cast(outputs[head.label], tf.float32), inputs["targets"][head.label])
        truly = tf.one_hot(true, head.classes) * inputs["counted"][head.label][:, None]
        cells = tf.matmul(truly, tf.one_hot(said, head.classes), transpose_a=True)
        rows = tf.broadcast_to(tf.reduce_sum(truly, axis=0)[:, None], cells.shape)
        pairs.append(tf.reshape(tf.stack([cells, rows], axis=-1), [-1, 2]))
    return tf.concat(pairs, axis=0)


def confusions(heads: tuple[Head, ...], sums: Sums) -> dict[str, list[list[float]]]:
    """Gives by label the shares of each true class (rows) that were taken for each class; 0 where there was none."""
    shares = {name: value / weight if weight else 0.0 for name, (value, weight) in sums.items()}
    return {
        head.label: [
            [shares[f"{head.label} {true} {said}"] for said in range(head.classes)] for true in range(head.classes)
        ]
        for head in _with_classes(heads)
    }


def write_confusions(path: Path, rows: list[Row], class_names: dict[str, tuple[str, ...]]) -> None:
    """Writes `confusion.csv`: for each epoch, label and true class the share that was taken for each class.

    Args:
        path: of the file; nothing is written where no row has a matrix.
        rows: of `epochs.csv`, with `confusion` by label.
        class_names: by label.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("phase", "epoch", "label", "true", "predicted", "share"))
    found = [
        (row["phase"], row["epoch"], label, class_names[label][true], class_names[label][said], f"{share:.6g}")
        for row in rows
        for label, matrix in row.get("confusion", {}).items()
        for true, shares in enumerate(matrix)
        for said, share in enumerate(shares)
    ]
    if found:
        writer.writerows(found)
        write_text(path, text.getvalue())


def read_confusions(path: Path) -> dict[tuple[str, int], dict[str, list[list[float]]]]:
    """Reads `confusion.csv` back: by (phase, epoch) the matrices by label. No file gives none."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    found: dict[tuple[str, int], dict[str, list[list[float]]]] = {}
    for (phase, epoch, label), cells in groupby(lines, lambda line: (line["phase"], line["epoch"], line["label"])):
        rows = [[float(cell["share"]) for cell in row] for _true, row in groupby(cells, lambda line: line["true"])]
        found.setdefault((phase, int(epoch)), {})[label] = rows
    return found


def _with_classes(heads: tuple[Head, ...]) -> list[Head]:
    return [head for head in heads if 0 < head.classes <= _LARGEST]
