"""The measures of schedules by name, and who takes part; `benchmarks.bars` has what is asked of them."""

from collections.abc import Iterable

from benchmarks.contenders import Contender

WARM_UP = "schedule:warm-up, VGG19 150×150, 24 epochs of 1,000 images"
FORWARD = "schedule:warm-up, time of all 24 epochs beside one forward pass over the views, float32"
FLOAT32 = "schedule:fine-tuning, VGG19 150×150, top 4 layers, float32"
BFLOAT16 = "schedule:fine-tuning, VGG19 150×150, top 4 layers, mixed_bfloat16"
AUTO = "schedule:fine-tuning, VGG19 150×150, top 4 layers, --precision auto"
WHOLE = "schedule:whole, MobileNet 128×128, 6 + 12 epochs"
WHOLE_SECONDS = "schedule:whole, wall time"
WHOLE_CPU = "schedule:whole, processor time"
WHOLE_MEMORY = "schedule:whole, highest memory"
WHOLE_WARM_UP = "schedule:whole, steps of warm-up"
WHOLE_FINE_TUNING = "schedule:whole, steps of fine-tuning"
WHOLE_ACCURACY = "schedule:whole, gender accuracy on the 800 test images"
WHOLE_BOUND = "schedule:whole, accuracy less plain Keras's, lower 95 % bound, paired by seed"
PRECISION = {
    name: (f"schedule:precision, {name}, auto over float32", f"schedule:precision, {name}, auto over the best fixed")
    for name in ("VGG19 150×150", "MobileNet 128×128")
}
SECOND = "schedule:second run, from opening the data to the first step, VGG19 150×150"
CAUSES = "schedule:causes, MobileNet 128×128, 6 + 12 epochs, one switched off"
SHARE = "schedule:causes, share of the speed-up over plain Keras: "
SHARES = tuple(SHARE + cause for cause in ("cache", "precision", "loader", "determinism", "together"))

# variant: further options of `facet train`, or words of a peer's job, see `benchmarks.schedules.peer_runs`
FACET = Contender("Facet", "facet")
FACET_FLOAT32 = Contender("Facet, float32", "facet", "--precision float32")
FACET_BFLOAT16 = Contender("Facet, mixed_bfloat16", "facet", "--precision mixed_bfloat16")
FACET_AUTO = Contender("Facet, auto", "facet", "--precision auto")
LIVE_AUTO = Contender("Facet, auto, nothing cached", "facet", "--precision auto --cache-views off")
LIVE_FLOAT32 = Contender("Facet, float32, nothing cached", "facet", "--precision float32 --cache-views off")
LIVE_BFLOAT16 = Contender(
    "Facet, mixed_bfloat16, nothing cached", "facet", "--precision mixed_bfloat16 --cache-views off"
)
NO_CACHE = Contender("Facet, nothing cached", "facet", "--cache-views off")
NO_DETERMINISM = Contender("Facet, not deterministic", "facet", "--set deterministic=false")

KERAS = Contender("plain Keras, float32", "keras_schedule")
KERAS_PLAIN = Contender("plain Keras, float32, no augmentation", "keras_schedule", "augmentation=off")
KERAS_BFLOAT16 = Contender("Keras, mixed_bfloat16", "keras_schedule", "precision=mixed_bfloat16")
KERAS_BFLOAT16_PLAIN = Contender(
    "Keras, mixed_bfloat16, no augmentation", "keras_schedule", "precision=mixed_bfloat16 augmentation=off"
)
KERAS_READER = Contender("plain Keras, float32, fed by Facet's reader", "keras_schedule", "reader=facet")
TORCH = Contender("PyTorch, bfloat16, channels-last", "torch_schedule", "precision=mixed_bfloat16", "pytorch")
LIMIT = Contender("one forward pass over the views", "keras_forward")
SECOND_RUN = Contender("Facet", "facet_second_run")

_WHOLE = (FACET, KERAS, TORCH)
_PRECISIONS = (LIVE_AUTO, LIVE_FLOAT32, LIVE_BFLOAT16)

#: Who is compared in each measure, Facet's own first.
GROUPS: tuple[tuple[str, tuple[Contender, ...]], ...] = (
    (WARM_UP, (FACET_FLOAT32, KERAS, KERAS_PLAIN, TORCH)),
    (FORWARD, (FACET_FLOAT32, LIMIT)),
    (FLOAT32, (FACET_FLOAT32, KERAS, KERAS_PLAIN)),
    (BFLOAT16, (FACET_BFLOAT16, KERAS_BFLOAT16, KERAS_BFLOAT16_PLAIN)),
    (AUTO, (FACET_AUTO, KERAS, KERAS_PLAIN, TORCH)),
    *(
        (name, _WHOLE)
        for name in (WHOLE, WHOLE_SECONDS, WHOLE_CPU, WHOLE_MEMORY, WHOLE_WARM_UP, WHOLE_FINE_TUNING, WHOLE_ACCURACY)
    ),
    (CAUSES, (FACET, NO_CACHE, FACET_FLOAT32, NO_DETERMINISM, KERAS_READER, KERAS)),
    *((over_float32, (LIVE_AUTO, LIVE_FLOAT32)) for over_float32, _over_best in PRECISION.values()),
    *((over_best, _PRECISIONS) for _over_float32, over_best in PRECISION.values()),
)

MEASURES = (*(name for name, _contenders in GROUPS), WHOLE_BOUND, SECOND, *SHARES)


def contenders_of(measures: Iterable[str]) -> tuple[Contender, ...]:
    """Gives everybody who takes part in some measures, each once, in the groups' order."""
    wanted = set(measures)
    return tuple(dict.fromkeys(who for name, contenders in GROUPS if name in wanted for who in contenders))
