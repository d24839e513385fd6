"""What all workers of a training must hold to be the same: the chief's run and settings, and the precision."""

from dataclasses import replace
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say, no_words
from models.interface.precision_trial import Limits, tried_precision
from models.interface.settling import Settled
from models.training.distribution.replicas import Replicas
from models.training.resolve import settled_precision
from models.training.runs import Run
from models.training.settings import Settings, flat, make_settings

#: First compute capability of NVIDIA's GPUs that computes bfloat16 (Ampere; CUDA C++ Programming Guide).
_BFLOAT16 = (8, 0)


def agreed(settled: Settled, replicas: Replicas, say: Say = no_words, limits: Limits | None = None) -> Settled:
    """Gives, in every worker, what the chief has settled, with the worker's own path of the data.

    A worker that starts later than the chief would find a run that has begun already; so the chief's word counts. A
    precision of `auto` becomes one here.

    Args:
        settled: this worker's.
        replicas: all devices.
        say: is told what a trial of precisions has found.
        limits: of that trial.

    Raises:
        FacetError: this worker's data file is another one than the chief's.
    """
    mine = _with_precision(settled, replicas, say, limits) if replicas.chief else settled
    chiefs = replicas.chiefs(_to_json(mine))
    if replicas.chief:
        return mine
    settings = replace(make_settings(chiefs["settings"]), data=settled.settings.data)
    _check_data(settings, settled.settings)
    return replace(settled, run=Run(chiefs["run"]), settings=settings, resumed=chiefs["resumed"])


def _with_precision(settled: Settled, replicas: Replicas, say: Say, limits: Limits | None) -> Settled:
    """Gives what was settled with a precision: what GPUs compute natively, what is faster on this CPU by trial."""
    import tensorflow as tf

    settings = settled.settings
    if settings.precision != "auto":
        return settled
    gpus = tf.config.get_visible_devices("GPU")
    tried = None if gpus else tried_precision(settings, replicas, say, limits)
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    native = bool(gpus) and all(d.get("compute_capability", (0, 0)) >= _BFLOAT16 for d in details)
    precision = tried or settled_precision(settings.precision, native)
    origins = settled.origins | ({"precision": "trial"} if tried else {})
    return replace(settled, settings=replace(settings, precision=precision), origins=origins)


def _to_json(settled: Settled) -> dict[str, Any]:
    return {"run": settled.run.name, "settings": flat(settled.settings), "resumed": settled.resumed}


def _check_data(chiefs: Settings, mine: Settings) -> None:
    for name in ("images_digest", "index_digest"):
        if getattr(chiefs, name) != getattr(mine, name):
            raise FacetError(
                f"{mine.data}: is not the file that the chief trains on, expected {name} {getattr(chiefs, name)}, found"
                f" {getattr(mine, name)}"
            )
