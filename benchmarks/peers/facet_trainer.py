"""Facet's training steps without validation or checkpoints; the variant says which of its costs is there.

`free` and `deterministic` fine-tune in float32, without and with op determinism and one inter-op thread. `real` and
`constant` warm up in bfloat16, on batches that are read, and on one batch that is used again and again: warm-up is the
fastest step, for which batches are most likely to be late. `saving` writes a checkpoint of VGG19 at 150×150 with Adam.
"""

from collections.abc import Callable, Iterator
from itertools import count, repeat
from time import perf_counter
from typing import Any

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Answer, serve
from hdf5_helper.progress import no_words
from hdf5_helper.reading.reader import HDF5Reader
from models.description import ModelDescription
from models.interface.assembling import open_training_data, settings_heads, training_feed
from models.interface.building import build_model, describe_model
from models.training.checkpoints import save_checkpoint
from models.training.distribution.replicas import Replicas
from models.training.feeding import Batch, TrainingFeed
from models.training.phases import begin
from models.training.settings import Settings, make_settings
from models.training.state import TrainingState
from models.training.steps import Update, training_step
from models.training.stopping import Flags


def prepare(job: Job) -> Callable[[], Answer]:
    """Gives what trains for the job's seconds; amounts are images."""
    import tensorflow as tf

    if job.variant != "free":
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
    settings = _settings(job)
    replicas = Replicas()
    data = open_training_data(settings, replicas, no_words)
    heads = settings_heads(data.reader, settings)
    model = build_model(settings, describe_model(settings, heads, "benchmark"), heads, data)
    if job.variant == "saving":
        begin(model, settings.fine_tuning)
        return lambda: _saved(job, model, describe_model(settings, heads, "benchmark"))
    begin(model, settings.warm_up if job.variant in ("real", "constant") else settings.fine_tuning)
    step = training_step(model, heads, replicas, Update(precision=settings.precision))
    batches = _batches(training_feed(settings, heads, data, no_words), constant=job.variant == "constant")
    return lambda: _timed(step, batches, job.seconds)


def _settings(job: Job) -> Settings:
    with HDF5Reader(job.work / "encoded.h5") as reader:
        digests = {"images_digest": reader.images_digest, "index_digest": reader.index_digest}
    values: dict[str, Any] = {
        "data": str(job.work / "encoded.h5"),
        "label": ("gender",),
        "backbone": "vgg19" if job.variant == "saving" else "mobilenet",
        "weights": "none",
        "image_size": (150, 150) if job.variant == "saving" else (job.side, job.side),
        "best_metric": "val_gender_accuracy",
        "batch_size": BATCH,
        "trainable_layers": "4" if job.variant == "saving" else "20",
        "precision": "mixed_bfloat16" if job.variant in ("real", "constant") else "float32",
    }
    return make_settings(values | digests)


def _batches(feed: TrainingFeed, *, constant: bool) -> Iterator[Batch]:
    if constant:
        yield from repeat(feed.batch(1, 0))
    for epoch in count(1):
        yield from feed.batches(epoch)


def _timed(step: Callable[..., Any], batches: Iterator[Batch], least: float) -> Answer:
    steps, started = 0, perf_counter()
    while steps < 3 or perf_counter() - started < least:
        step(next(batches), steps, Flags())
        steps += 1
    return {"amount": steps * BATCH, "seconds": perf_counter() - started}


def _saved(job: Job, model: Any, description: ModelDescription) -> Answer:
    started = perf_counter()
    save_checkpoint(job.work / "saved.keras", model, description, TrainingState(), {})
    return {"amount": 1, "seconds": perf_counter() - started}


if __name__ == "__main__":
    serve(prepare)
