"""What an evaluation leaves in its folder: figures as JSON, every prediction, a picture a label."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import write_text, written_whole
from hdf5_helper.reading.reader import HDF5Reader
from models.description import Output
from models.interface.answers import answer
from models.interface.evaluation import Evaluation
from models.training.evaluation import counted_values
from models.training.report_pictures import draw_ages, draw_attributes, draw_confusion

#: How an attribute is stored.
_STORED = {-1: "no", 0: "", 1: "yes"}


def write_evaluation(folder: Path, evaluation: Evaluation, reader: HDF5Reader) -> None:
    """Writes `metrics.json`, `predictions.csv` and a picture a label into `folder`.

    A row of `predictions.csv` holds `path`, `subject`, `split`, and for each label, after what is true of it, the
    columns of `models.interface.answers.Answer.columns`: `gender`, `gender_predicted`, `gender_male_probability`,
    `gender_female_probability`; `age`, `age_predicted`; of attributes `Smiling` (yes or no), `Smiling_predicted`,
    `Smiling_probability` (`Smiling_score` where the model gives scores) for each. What is unknown is empty, but where
    the model has `unknown` for a class.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "metrics.json", json.dumps(evaluation.values, indent=2) + "\n")
    _write_predictions(folder / "predictions.csv", evaluation, reader)
    for label, metrics in evaluation.values["metrics"].items():
        if metrics["count"]:
            _draw(folder, label, evaluation)


def _draw(folder: Path, label: str, evaluation: Evaluation) -> None:
    output, metrics = evaluation.outputs[label], evaluation.values["metrics"][label]
    title = f"{label}, {evaluation.values['split']}, {metrics['count']:,} examples"
    if label == "age":
        targets, rows = counted_values(output, evaluation.targets[label])
        draw_ages(folder / "age.png", targets[rows], evaluation.predicted[label][rows], title)
    elif label == "attributes":
        draw_attributes(folder / "attributes.png", metrics["by_attribute"], title)
    else:
        draw_confusion(folder / f"{label}-confusion.png", metrics["confusion"], output.class_names, title)


def _write_predictions(path: Path, evaluation: Evaluation, reader: HDF5Reader) -> None:
    subjects, splits = [*reader.subject_names, ""], _split_of_rows(reader)  # -1 is the last one
    # a path need not be UTF-8
    with written_whole(path) as part, open(part, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for place, row in enumerate(evaluation.rows.tolist()):
            cells = {"path": reader.paths[row], "subject": subjects[reader.subjects[row]], "split": splits[row]}
            for label, output in evaluation.outputs.items():
                more = _cells(output, evaluation.targets[label][place], evaluation.predicted[label][place])
                cells |= {_free(name, label, cells): value for name, value in more.items()}
            if not place:
                writer.writerow(cells)
            writer.writerow(cells.values())


def _free(name: str, label: str, taken: Mapping[str, str]) -> str:
    """Gives a column's name, with the label before it where another column has it, such as an attribute `path`."""
    while name in taken:
        name = f"{label}_{name}"
    return name


def _split_of_rows(reader: HDF5Reader) -> list[str]:
    names = np.full(len(reader), "", dtype="U10")
    for split in reader.splits:
        names[reader.split(split)] = split
    return [str(name) for name in names]


def _cells(output: Output, target: Any, predicted: NDArray[np.float64]) -> dict[str, str]:
    """Gives the columns of one label for one example: what is true before what is predicted."""
    true = _true(output, target)
    cells: dict[str, str] = {}
    for name, columns in answer(output, np.atleast_1d(predicted)).columns(output.label).items():
        cells |= {name: true[name]} | columns
    return cells


def _true(output: Output, target: Any) -> dict[str, str]:
    names = output.class_names
    if output.label == "attributes":
        return {name: _STORED[value] for name, value in zip(names, target.tolist(), strict=True)}
    if output.label == "age":
        return {"age": "" if np.isnan(target) else f"{target:g}"}
    unknown = names[-1] if output.unknown_is_a_class else ""
    return {output.label: names[target] if target < len(names) else unknown}
