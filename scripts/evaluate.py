"""`facet evaluate`: measures a run or a model on a split."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.console import Console, shown

if TYPE_CHECKING:
    from models.interface.evaluation import Evaluation

#: Larger confusion matrices are in the picture and in metrics.json alone.
_MOST_CLASSES = 10

#: What is told of a group, where a label has it.
_MAIN_FIGURES = ("mae", "accuracy", "one_off")


@click.command()
@click.argument("target", metavar="RUN|MODEL.pb|FILE.keras")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="OTHER.h5", help="A packed file; the run's own without it."
)
@click.option("--split", default="test", show_default=True, metavar="test|validation|train|all")
@click.option("--checkpoint", default="best", show_default=True, metavar="best|last|FILE", help="Of a run.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where figures go; else the run's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(
    target: str, data: Path | None, split: str, checkpoint: str, out: Path | None, *, as_json: bool, verbose: bool
) -> None:
    """Measure TARGET on a split, overall and for each group of people apart.

    \b
    Example:
      facet evaluate first --split test
      facet evaluate first.pb --data faces.h5
    """
    from models.interface.evaluation_place import check_split, evaluation_place
    from models.interface.targets import find_target
    from scripts.native_logs import quiet_native_logs
    from scripts.tensorflow_runtime import deterministic_tensorflow

    check_split(split)
    found = find_target(target, checkpoint)
    place = evaluation_place(found, data, split, out)
    with Console(as_json=as_json) as console:
        quiet_native_logs(verbose=verbose)
        deterministic_tensorflow()
        from models.interface.evaluation import evaluate
        from models.interface.evaluation_files import write_evaluation
        from models.interface.predictor import load_predictor
        from models.model_data import open_for

        predictor = load_predictor(found)
        with open_for(predictor.description, place.data) as reader:
            run = found.run.name if found.run else predictor.description.run
            names = {"run": run, "checkpoint": predictor.source}
            measured = evaluate(predictor, reader, split, names, console)
            write_evaluation(place.folder, measured, reader)
        console.stop()
        if as_json:
            console.result(measured.values)
            return
        console.say(_text(measured))
        console.say(f"figures, predictions.csv and pictures are in {shown(place.folder)}; next: {_next(target)}")


def _next(target: str) -> str:
    """Gives the command that may follow: a graph is exported already."""
    return f"facet predict {target} PICTURES" if target.endswith(".pb") else f"facet export {target} OUT.pb"


def _text(measured: "Evaluation") -> str:
    values = measured.values
    data = shown(Path(values["data"]))
    lines = [f"{values['count']:,} examples of {values['split']} in {data}, {values['checkpoint']}"]
    for label, metrics in values["metrics"].items():
        lines += _label_lines(label, metrics, measured.outputs[label].class_names)
    return "\n".join([*lines, *_group_lines(values["groups"])])


def _label_lines(label: str, metrics: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    from models.training.report_pictures import attribute_text, confusion_text

    lines = [f"{label}: {_figures(metrics)}"]
    if "known" in metrics:
        lines.append(f"{label} where it is known ({metrics['known']['count']:,}): {_figures(metrics['known'])}")
    if "by_attribute" in metrics:
        lines.append(attribute_text(metrics["by_attribute"]))
    if "confusion" in metrics and len(names) <= _MOST_CLASSES:
        lines.append(confusion_text(metrics["confusion"], names))
    return lines


def _figures(metrics: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float)) or "unknown"


def _group_lines(groups: dict[str, Any]) -> list[str]:
    lines = []
    for name, by_value in groups.items():
        for value, by_label in by_value.items():
            figures = [_group_figures(label, metrics) for label, metrics in by_label.items()]
            lines.append(f"  {name} {value}: " + "; ".join(figures))
    return ["by group:", *lines] if lines else []


def _group_figures(label: str, metrics: dict[str, Any]) -> str:
    shown_figures = [f"{name} {metrics[name]:.4f}" for name in _MAIN_FIGURES if name in metrics]
    figure = ", ".join(shown_figures) or "too few for figures"
    return f"{label} {figure} ({metrics['count']:,})"
