"""What an evaluation leaves in its folder: figures as JSON, every prediction, a picture a label."""

import csv
import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import write_bytes, write_text
from hdf5_helper.labels import known
from hdf5_helper.reading.reader import HDF5Reader
from models.description import THRESHOLD, ModelDescription
from models.interface.evaluation import Evaluation
from models.training.report_pictures import draw_ages, draw_confusion


def write_evaluation(folder: Path, evaluation: Evaluation, reader: HDF5Reader, description: ModelDescription) -> None:
    """Writes `metrics.json`, `predictions.csv` and a picture a label into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "metrics.json", json.dumps(evaluation.values, indent=2) + "\n")
    rows_of_text = _predictions(evaluation, reader)
    write_bytes(folder / "predictions.csv", rows_of_text.encode("utf-8", "surrogateescape"))  # paths need not be UTF-8
    for label, values in evaluation.targets.items():
        rows = known(label, values)
        if not rows.any():
            continue
        title = f"{label}, {evaluation.values['split']}, {int(rows.sum()):,} examples"
        if label == "age":
            draw_ages(folder / "age.png", values[rows], evaluation.predicted[label][rows], title)
        else:
            matrix = evaluation.values["metrics"][label]["confusion"]
            draw_confusion(folder / f"{label}-confusion.png", matrix, description.output(label).class_names, title)


def _predictions(evaluation: Evaluation, reader: HDF5Reader) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [_columns(label, evaluation, reader) for label in evaluation.targets]
    writer.writerow(["path", "subject", "split", *(name for named in columns for name in named)])
    subjects, splits = reader.subject_names, _split_of_rows(reader)
    for place, row in enumerate(evaluation.rows):
        number = int(reader.subjects[row])
        subject = subjects[number] if number >= 0 else ""
        values = [cells[place] for named in columns for cells in named.values()]
        writer.writerow([reader.paths[row], subject, splits[row], *values])
    return text.getvalue()


def _split_of_rows(reader: HDF5Reader) -> NDArray[np.str_]:
    names = np.full(len(reader), "", dtype="U10")
    for split in reader.splits:
        names[reader.split(split)] = split
    return names


def _columns(label: str, evaluation: Evaluation, reader: HDF5Reader) -> dict[str, list[str]]:
    """Gives the columns of one label; an unknown true value is empty."""
    targets, predicted = evaluation.targets[label], evaluation.predicted[label]
    if label == "age":
        true = ["" if np.isnan(value) else f"{value:g}" for value in targets]
        return {"age": true, "age_predicted": [f"{value:.4f}" for value in predicted]}
    names = reader.class_names(label)
    return {
        label: [names[value] if value < len(names) else "" for value in targets],
        f"{label}_predicted": [names[int(value >= THRESHOLD)] for value in predicted],
        f"{label}_{names[0]}_probability": [f"{1 - value:.7f}" for value in predicted],
        f"{label}_{names[1]}_probability": [f"{value:.7f}" for value in predicted],
    }
