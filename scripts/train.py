"""`facet train`: trains on an HDF5 file, or resumes a run."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hdf5_helper.errors import FacetError
from scripts.console import Console, shown
from scripts.train_values import given, pairs

_LABEL = "gender, age, age_group, attributes, a class label of the file, or several with commas"
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
    click.option("--recipe", metavar="NAME|FILE.yaml|help", help="Settings that belong together; help lists them."),
    click.option("--fold", type=int, metavar="K", help="Test on this fold of the file, validate on the one before it."),
    click.option("--folds", is_flag=True, help="Train a run on each fold, and give mean and standard deviation."),
)
_MODEL = _all(
    click.option("--label", metavar="NAMES", help=f"What to learn: {_LABEL}."),
    click.option("--head", "heads", multiple=True, metavar="LABEL=FORM", help="Such as gender=softmax or age=bins."),
    click.option("--loss-weights", metavar="age=1,gender=500", help="How much each of several labels counts."),
    click.option("--backbone", metavar="NAME|help", help="help lists them with size and parameters."),
    click.option("--weights", metavar="FILE|imagenet|none", help="Pretrained weights of the backbone."),
    click.option("--image-size", metavar="150|218x178", help="Height and width of the images; else the backbone's."),
    click.option("--crop", metavar="224|200x160", help="Window in their middle that the backbone sees; else all."),
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
    click.option("--augment", metavar="none|mirror|RECIPE", help="Such as afad or mirror,rotation=10.  [mirror]"),
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
        help="[auto: mixed_bfloat16 on GPUs that compute it; on CPUs what a trial of seconds finds faster]",
    ),
    click.option(
        "--worker-timeout", type=float, default=60.0, metavar="SECONDS", help="Wait for a silent worker.  [60]"
    ),
    click.option(
        "--cache-views",
        metavar="auto|off|K",
        help="Keep what the frozen backbone gives: where it changes nothing, never, or for K augmented views.  [auto]",
    ),
    click.option("--cache-limit", metavar="SIZE", help="Such as 20GB: more is not kept.  [half of the free space]"),
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
@click.option("--json", "as_json", is_flag=True, help="With --folds: print one JSON value and nothing else.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(
    *,
    data: Path | None,
    run: str | None,
    resume: str | None,
    start_from: str | None,
    recipe: str | None,
    folds: bool,
    sets: tuple[str, ...],
    devices: str,
    worker_timeout: float,
    cache_limit: str | None,
    tensorboard: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Train a model on DATA: warm-up of new layers on a frozen backbone, then fine-tuning.

    The same command again goes on with its run. Ctrl-C saves a checkpoint first.

    \b
    Example:
      facet train faces.h5 --run first --label gender --backbone mobilenet --weights none
      facet train --resume first
      facet train afad.h5 --run gender --recipe afad-gender
      facet train adience.h5 --run groups --recipe adience-age-group --weights imagenet --folds
      facet train --from first@fine_tuning-epoch-0042 --run again --fine-tuning-learning-rate 1e-4
    """
    if "help" in (recipe, options["backbone"]):
        click.echo(_table(recipe))
        return 0
    from hdf5_helper.wording import parse_bytes
    from models.interface.settling import RunOptions, TrainRequest

    if run is not None and resume is not None:
        raise FacetError("--run and --resume: both given, expected one of them")
    if as_json and not folds:
        raise FacetError("--json: goes with --folds, found no --folds")
    limit = None if cache_limit is None else parse_bytes(cache_limit, "--cache-limit")
    how = RunOptions(devices, tensorboard, worker_timeout, limit)
    request = TrainRequest(data, run, resume, given(options), pairs(sets), overwrite, start_from, how, recipe)
    with Console(as_json=as_json) as console:
        return (_train_folds if folds else _train)(request, console, dry_run=dry_run, verbose=verbose)


def _table(recipe: str | None) -> str:
    """Gives the list that `help` asks for."""
    if recipe == "help":
        from models.training.recipe_files import recipe_table

        return recipe_table()
    from models.backbones.table import backbone_table

    return backbone_table()


def _train(request: Any, console: Console, *, dry_run: bool, verbose: bool) -> int:
    from models.interface.settling import settle
    from scripts.training import run_training

    settled = settle(request)
    console.say(_plan(settled))
    _say_advised(settled, console)
    if dry_run:
        return 0
    return run_training(settled, console, verbose=verbose)


def _train_folds(request: Any, console: Console, *, dry_run: bool, verbose: bool) -> int:
    from models.interface.folds import settle_folds
    from scripts.training import run_folds

    runs = settle_folds(request)
    for settled in runs.runs:
        console.say(_plan(settled))
    _say_advised(runs.runs[0], console)
    if dry_run:
        return 0
    return run_folds(runs, console, verbose=verbose)


def _plan(settled: Any) -> str:
    settings = settled.settings
    what = "goes on with" if settled.resumed else "begins"
    height, width = settings.image_size
    weights = settings.weights if settings.weights in ("none", "imagenet") else shown(Path(settings.weights))
    fold = f", fold {settings.fold}" if settings.fold >= 0 else ""
    start = f", starting from {settings.start}" if settings.start and not settled.resumed else ""
    return (
        f"{what} run {settled.run.name}: {' and '.join(settings.label)} on {shown(Path(settings.data))},"
        f" {settings.backbone} with weights {weights}, images {height}x{width}, batches of {settings.batch_size},"
        f" {settings.warm_up.epochs} + {settings.fine_tuning.epochs} epochs{fold}{start}"
    )


def _say_advised(settled: Any, console: Console) -> None:
    """Says what the recipe has set, where there is one."""
    from models.training.settings import flat

    values = flat(settled.settings)
    by_recipe = {name: origin for name, origin in settled.origins.items() if origin.startswith("recipe ")}
    if by_recipe:
        told = ", ".join(f"{name} {_written(values[name])}" for name in values if name in by_recipe)
        console.say(f"{next(iter(by_recipe.values()))} sets {told}")


def _written(value: Any) -> str:
    """Gives a value as `config.yaml` has it."""
    return str(list(value) if isinstance(value, tuple) else value).replace("'", "")
