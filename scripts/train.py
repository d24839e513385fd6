"""`facet train`: trains on an HDF5 file, or resumes a run."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hdf5_helper.errors import FacetError
from scripts.console import Console, shown

_LABEL = "gender, age, or both with a comma"
_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _all(*options: _Decorator) -> _Decorator:
    """Gives one decorator for several options, shown in this order."""
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(options), command)


_RUN = _all(
    click.argument("data", type=click.Path(path_type=Path), required=False),
    click.option("--run", metavar="NAME", help="Name of the run; a made one without it."),
    click.option("--resume", metavar="NAME", help="Go on with this run from its newest checkpoint."),
    click.option(
        "--from",
        "start_from",
        metavar="RUN[@best|last|NAME]",
        help="Start a new run from a checkpoint of another, with its settings but for those given.",
    ),
)
_MODEL = _all(
    click.option("--label", metavar="NAMES", help=f"What to learn: {_LABEL}."),
    click.option("--backbone", metavar="NAME", help="mobilenet, mobilenet_v2 or vgg19."),
    click.option("--weights", metavar="FILE|imagenet|none", help="Pretrained weights of the backbone."),
    click.option("--image-size", metavar="150|218x178", help="Height and width that the model sees."),
)
_PHASES = _all(
    click.option("--batch-size", type=int, help="Examples a step.  [64]"),
    click.option("--warm-up-epochs", type=int, help="Epochs with a frozen backbone.  [24]"),
    click.option("--warm-up-learning-rate", type=float, help="[0.001]"),
    click.option("--fine-tuning-epochs", type=int, help="Epochs in which the upper backbone trains too.  [50]"),
    click.option("--fine-tuning-learning-rate", type=float, help="[0.0001]"),
    click.option("--optimizer", metavar="NAME", help="adam, adamax, rmsprop or sgd.  [adam]"),
    click.option(
        "--schedule",
        metavar="TEXT",
        help="Learning rate over a phase: constant, cosine, cosine:0.01, step:10:0.5 or plateau:3:0.1.  [constant]",
    ),
    click.option("--early-stopping", type=int, metavar="PATIENCE", help="End a phase after so many epochs no better."),
    click.option("--trainable-layers", metavar="N|LAYER|all", help="Backbone layers that fine-tuning trains.  [4]"),
    click.option("--class-weights", metavar="none|balanced|0:1,1:1.582", help="How much each class counts.  [none]"),
    click.option("--augment", metavar="none|mirror", help="[mirror]"),
    click.option(
        "--best-metric", metavar="NAME", help="val_loss, val_gender_accuracy or val_age_mae: chooses the best epoch."
    ),
    click.option("--seed", type=int, help="Decides weights, order, augmentation and dropout.  [0]"),
    click.option(
        "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Any setting of config.yaml, value as YAML."
    ),
)
_CHECKPOINTS = _all(
    click.option("--checkpoint-every", type=int, metavar="EPOCHS", help="[2]"),
    click.option("--checkpoint-every-steps", type=int, metavar="STEPS", help="[never]"),
    click.option("--checkpoint-every-minutes", type=float, metavar="MINUTES", help="[15]"),
    click.option("--keep", metavar="2|all", help="Newest checkpoints to keep beside best and each phase's last.  [2]"),
)
_MACHINE = _all(
    click.option("--devices", default="auto", metavar="auto|cpu:2|gpu:0,1", help="What to train on.  [auto]"),
    click.option(
        "--precision",
        metavar="auto|float32|mixed_bfloat16",
        help="[auto: mixed_bfloat16 on GPUs that compute it, else float32]",
    ),
    click.option(
        "--worker-timeout", type=float, default=60.0, metavar="SECONDS", help="Wait for a silent worker.  [60]"
    ),
    click.option("--tensorboard", is_flag=True, help="Write for TensorBoard too, into the run's folder."),
)


@click.command()
@_RUN
@_MODEL
@_PHASES
@_CHECKPOINTS
@_MACHINE
@click.option("--overwrite", is_flag=True, help="Begin anew under an existing name.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(
    *,
    data: Path | None,
    run: str | None,
    resume: str | None,
    start_from: str | None,
    sets: tuple[str, ...],
    devices: str,
    worker_timeout: float,
    tensorboard: bool,
    overwrite: bool,
    dry_run: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Train a model on DATA: warm-up of new layers on a frozen backbone, then fine-tuning.

    The same command again goes on with its run. Ctrl-C saves a checkpoint first.

    \b
    Example:
      facet train faces.h5 --run first --label gender --backbone mobilenet --weights none
      facet train --resume first
      facet train --from first@fine_tuning-epoch-0042 --run again --fine-tuning-learning-rate 1e-4
    """
    from models.interface.settling import RunOptions, TrainRequest, settle
    from scripts.training import run_training

    if run is not None and resume is not None:
        raise FacetError("--run and --resume: both given, expected one of them")
    how = RunOptions(devices, tensorboard, worker_timeout)
    settled = settle(TrainRequest(data, run, resume, _given(options), _pairs(sets), overwrite, start_from, how))
    with Console() as console:
        console.say(_plan(settled))
        if dry_run:
            return 0
        return run_training(settled, console, verbose=verbose)


def _pairs(values: tuple[str, ...]) -> dict[str, Any]:
    """Reads `key=value` pairs, each value as YAML."""
    import yaml

    pairs: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise FacetError(f"--set {text!r}: expected key=value")
        try:
            pairs[name.replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise FacetError(f"--set {text!r}: the value is no YAML ({' '.join(str(error).split())})") from None
    return pairs


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Gives the options that the user gave, by setting name and in the settings' own types."""
    from models.training.settings import typed

    given = {name: value for name, value in options.items() if value is not None}
    return {name: typed(name, value) for name, value in given.items()}


def _plan(settled: Any) -> str:
    settings = settled.settings
    what = "goes on with" if settled.resumed else "begins"
    height, width = settings.image_size
    weights = settings.weights if settings.weights in ("none", "imagenet") else shown(Path(settings.weights))
    start = f", starting from {settings.start}" if settings.start and not settled.resumed else ""
    return (
        f"{what} run {settled.run.name}: {' and '.join(settings.label)} on {shown(Path(settings.data))},"
        f" {settings.backbone} with weights {weights}, images {height}x{width}, batches of {settings.batch_size},"
        f" {settings.warm_up.epochs} + {settings.fine_tuning.epochs} epochs{start}"
    )
