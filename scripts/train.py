"""`facet train`: trains on an HDF5 file, or resumes a run."""

from pathlib import Path
from typing import Any

import click

from hdf5_helper.errors import FacetError
from scripts.console import Console, shown

_LABEL = "gender, age, or both with a comma"


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


@click.command()
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option("--run", metavar="NAME", help="Name of the run; a made one without it.")
@click.option("--resume", metavar="NAME", help="Go on with this run from its newest checkpoint.")
@click.option("--label", metavar="NAMES", help=f"What to learn: {_LABEL}.")
@click.option("--backbone", metavar="NAME", help="mobilenet, mobilenet_v2 or vgg19.")
@click.option("--weights", metavar="FILE|imagenet|none", help="Pretrained weights of the backbone.")
@click.option("--image-size", metavar="150|218x178", help="Height and width that the model sees.")
@click.option("--batch-size", type=int, help="Examples a step.  [64]")
@click.option("--warm-up-epochs", type=int, help="Epochs with a frozen backbone.  [24]")
@click.option("--warm-up-learning-rate", type=float, help="[0.001]")
@click.option("--fine-tuning-epochs", type=int, help="Epochs in which the upper backbone trains too.  [50]")
@click.option("--fine-tuning-learning-rate", type=float, help="[0.0001]")
@click.option("--optimizer", metavar="NAME", help="adam, adamax, rmsprop or sgd.  [adam]")
@click.option("--trainable-layers", metavar="N|LAYER|all", help="Backbone layers that fine-tuning trains.  [4]")
@click.option("--class-weights", metavar="none|balanced|0:1,1:1.582", help="How much each class counts.  [none]")
@click.option("--augment", metavar="none|mirror", help="[mirror]")
@click.option(
    "--best-metric", metavar="NAME", help="val_loss, val_gender_accuracy or val_age_mae: chooses the best epoch."
)
@click.option("--checkpoint-every", type=int, metavar="EPOCHS", help="[2]")
@click.option("--checkpoint-every-steps", type=int, metavar="STEPS", help="[never]")
@click.option("--checkpoint-every-minutes", type=float, metavar="MINUTES", help="[15]")
@click.option("--keep", metavar="2|all", help="Newest checkpoints to keep beside best and each phase's last.  [2]")
@click.option("--seed", type=int, help="Decides weights, order, augmentation and dropout.  [0]")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Any setting of config.yaml, value as YAML.")
@click.option("--overwrite", is_flag=True, help="Begin anew under an existing name.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(
    data: Path | None,
    run: str | None,
    resume: str | None,
    sets: tuple[str, ...],
    *,
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
    """
    from models.interface.settling import TrainRequest, settle
    from models.training.stopping import Stopped
    from scripts.native_logs import quiet_native_logs
    from scripts.tensorflow_runtime import deterministic_tensorflow

    if run is not None and resume is not None:
        raise FacetError("--run and --resume: both given, expected one of them")
    settled = settle(TrainRequest(data, run, resume, _given(options), _pairs(sets), overwrite))
    with Console() as console:
        console.say(_plan(settled))
        if dry_run:
            return 0
        quiet_native_logs(verbose=verbose)
        if settled.settings.deterministic:
            deterministic_tensorflow()
        from models.interface.training import train

        try:
            train(settled, say=console.say, progress=console)
        except Stopped as stopped:
            console.say(f"{stopped}; go on with: facet train --resume {settled.run.name}")
            return 128 + stopped.signal
        console.say(f"the run is in {settled.run.folder}; next: facet evaluate {settled.run.name} --split test")
    return 0


def _plan(settled: Any) -> str:
    settings = settled.settings
    what = "goes on with" if settled.resumed else "begins"
    height, width = settings.image_size
    weights = settings.weights if settings.weights in ("none", "imagenet") else shown(Path(settings.weights))
    return (
        f"{what} run {settled.run.name}: {' and '.join(settings.label)} on {shown(Path(settings.data))},"
        f" {settings.backbone} with weights {weights}, images {height}x{width}, batches of {settings.batch_size},"
        f" {settings.warm_up_epochs} + {settings.fine_tuning_epochs} epochs"
    )
