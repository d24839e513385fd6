"""The bars: what each measure must show, in one place. `facet benchmark --check` holds the figures against them."""

from dataclasses import dataclass

from benchmarks import contenders as who
from benchmarks.schedules import names as schedule

RAW_NUMPY = "raw 150×150, shuffled, to numpy"
RAW_TENSOR = "raw 150×150, shuffled, to tensors"
DECODE_NUMPY = "encoded 128×128, shuffled, to numpy"
DECODE_TENSOR = "encoded 128×128, shuffled, to tensors"
RESIZE_NUMPY = "encoded 128 → 150, shuffled, to numpy"
RESIZE_TENSOR = "encoded 128 → 150, shuffled, to tensors"
ORIGINALS = "originals of 600 → 150, to tensors"
PSNR = "originals of 600 → 150, lowest PSNR against full decode + area resize"
RAW_ORDER = "raw 150×150, shuffled over sequential"
DECODE_ORDER = "encoded 128×128, shuffled over sequential"
COLD = "raw 150×150, cold, shuffled by blocks"
AMPLIFICATION = "raw 150×150, cold: bytes read over bytes used"
OPEN = "many examples: open, with the check of the index"
FIRST_BATCH = "many examples: first shuffled batch, after that"
SEEK = "many examples: seek to any step, slowest of 100"
MEMORY_RAW = "reader's anonymous memory, raw, highest of 10 epochs"
MEMORY_ENCODED = "reader's anonymous memory, encoded, highest of 10 epochs"
GROWTH_RAW = "reader's anonymous memory, raw, growth from the 2nd to the 10th epoch"
GROWTH_ENCODED = "reader's anonymous memory, encoded, growth from the 2nd to the 10th epoch"
PACK_ENCODED = "pack encoded, with decode check and statistics"
PACK_RAW = "pack raw 150×150"
REPACK_ENCODED = "repack encoded, no pixel changed"
REPACK_RAW = "repack raw, no pixel changed"
SIZE = "encoded file over its images' bytes"
SIZE_OF_20 = "encoded file of 20 images, less 64 KB, over its images' bytes"
RESTORED = "images that do not come back byte for byte"
TRAIN_READING = "training: MobileNet 128×128, warm-up in bfloat16, batches that are read"
TRAIN_DETERMINISM = "training: MobileNet 128×128, fine-tuning in float32, deterministic"
SAVING = "training: time lost to a checkpoint a minute, VGG19 with Adam"
STOPPING = "training: SIGTERM to the end of the process, VGG19, batches of 64"
RESUMED = "kills after which Facet's weights are those of its unbroken training"
KILLS = "kills after which the weights are those of the unbroken training"

#: Backbones of the export matrix, and the runtimes whose files must be exact.
EXPORTED = (
    *("VGG16", "VGG19", "ResNet50", "ResNeXt50", "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large"),
    *("DenseNet121", "Xception", "EfficientNetV2B0"),
)
#: Reported without a bar: it reads fewer frozen graphs than OpenCV 4.
OPENCV_5 = "OpenCV 5"
_EXACT = ("TensorFlow", "TensorFlow 1.15", "OpenCV", "ONNX Runtime")


def export_difference(backbone: str, runtime: str) -> str:
    """Names the measure of how far a runtime's values are from Keras's, max |Δ| / max(1, |value|)."""
    return f"export: {backbone} in {runtime}, largest difference on 200 faces"


def export_size(backbone: str) -> str:
    """Names the measure of a frozen graph's size."""
    return f"export: {backbone}, .pb over its float32 weights' bytes"


def export_speed(backbone: str) -> str:
    """Names the measure of one image through the fastest runtime of a frozen graph."""
    return f"export: {backbone}, one image of 150×150"


@dataclass(frozen=True)
class Bar:
    """What a measure must show.

    Attributes:
        measure: its name.
        peers: the ratio to the fastest of these counts; without peers the value itself does.
        at_least: lower bound.
        at_most: upper bound.
        slowest: the slowest of the peers counts: of two limits that both bind.
    """

    measure: str
    peers: tuple[who.Contender, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    slowest: bool = False

    def holds(self, figure: float) -> bool:
        """Tells whether a figure is on the right side."""
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= figure <= high

    def __str__(self) -> str:
        """Gives `≥ 1.2` or `≤ 100`."""
        return f"≤ {self.at_most:g}" if self.at_least is None else f"≥ {self.at_least:g}"


_H5PY = (who.H5PY_DIRECT, who.H5PY_INDEX, who.H5PY_LOW)
_TFRECORD_JPEG = (who.TF_MAP, who.TF_BATCH)
_KERAS = (schedule.KERAS, schedule.KERAS_PLAIN)
_KERAS_BFLOAT16 = (schedule.KERAS_BFLOAT16, schedule.KERAS_BFLOAT16_PLAIN)
_FIXED = (schedule.LIVE_FLOAT32, schedule.LIVE_BFLOAT16)

BARS = (
    Bar(RAW_NUMPY, (who.FFCV,), at_least=1.2),
    Bar(RAW_NUMPY, (who.MEMMAP,), at_least=0.9),
    Bar(RAW_NUMPY, (who.TAKE,), at_least=0.75),
    Bar(RAW_NUMPY, _H5PY, at_least=8),
    Bar(RAW_TENSOR, (who.TFRECORD, who.FIXED_LENGTH), at_least=6),
    Bar(DECODE_TENSOR, _TFRECORD_JPEG, at_least=2),
    Bar(DECODE_NUMPY, (who.FFCV,), at_least=1.0),
    Bar(DECODE_NUMPY, (who.DECODING,), at_least=0.9),
    Bar(RESIZE_TENSOR, _TFRECORD_JPEG, at_least=2),
    Bar(ORIGINALS, (who.TF_RESIZE, who.TF_AREA, who.TF_REDUCED), at_least=3),
    Bar(PSNR, at_least=38),
    Bar(RAW_ORDER, (who.SEQUENTIAL,), at_least=0.9),
    Bar(DECODE_ORDER, (who.SEQUENTIAL,), at_least=0.9),
    Bar(COLD, (who.DD,), at_least=0.85),
    Bar(AMPLIFICATION, at_most=1.1),
    Bar(OPEN, at_most=100),
    Bar(FIRST_BATCH, at_most=50),
    Bar(SEEK, at_most=5),
    Bar(MEMORY_RAW, at_most=128),
    Bar(MEMORY_ENCODED, at_most=128),
    Bar(GROWTH_RAW, at_most=1),
    Bar(GROWTH_ENCODED, at_most=1),
    Bar(PACK_ENCODED, (who.DECODING,), at_least=0.7),
    Bar(PACK_ENCODED, (who.FFCV_ENCODED,), at_least=2),
    Bar(PACK_ENCODED, (who.TFRECORD_WRITER,), at_least=3),
    Bar(PACK_RAW, (who.RESIZING, who.WRITE_PIXELS), at_least=0.85, slowest=True),
    Bar(PACK_RAW, (who.FFCV_RAW,), at_least=3),
    Bar(PACK_RAW, (who.FLOAT_WRITER,), at_least=10),
    Bar(REPACK_ENCODED, (who.CP_FILE,), at_least=0.8),
    Bar(REPACK_RAW, (who.CP_FILE,), at_least=0.8),
    Bar(SIZE, at_most=1.02),
    Bar(SIZE_OF_20, at_most=1.10),
    Bar(RESTORED, at_most=0),
    Bar(TRAIN_READING, (who.TRAIN_CONSTANT,), at_least=0.97),
    Bar(TRAIN_DETERMINISM, (who.TRAIN_FREE,), at_least=0.97),
    Bar(SAVING, at_most=2),
    Bar(STOPPING, at_most=10),
    Bar(RESUMED, at_least=100),
    Bar(schedule.WARM_UP, _KERAS, at_least=10),
    Bar(schedule.FORWARD, (schedule.LIMIT,), at_most=1.2),
    Bar(schedule.FLOAT32, _KERAS, at_least=4.5),
    Bar(schedule.BFLOAT16, _KERAS_BFLOAT16, at_least=4),
    Bar(schedule.AUTO, _KERAS, at_least=7),
    Bar(schedule.AUTO, (schedule.TORCH,), at_least=4),
    Bar(schedule.WHOLE, (schedule.KERAS,), at_least=5),
    Bar(schedule.WHOLE_BOUND, at_least=-1.5),
    *(Bar(over_float32, _FIXED[:1], at_least=1.4) for over_float32, _over_best in schedule.PRECISION.values()),
    *(Bar(over_best, _FIXED, at_least=0.97) for _over_float32, over_best in schedule.PRECISION.values()),
    Bar(schedule.SECOND, at_most=2),
    *(Bar(export_difference(name, runtime), at_most=1e-5) for name in EXPORTED for runtime in _EXACT),
    *(Bar(export_size(name), at_most=1.01) for name in EXPORTED),
    *(Bar(export_speed(name), (who.KERAS_FUNCTION,), at_least=1.0) for name in EXPORTED),
)


def bars_of(measure: str) -> tuple[Bar, ...]:
    """Gives the bars of one measure, in the table's order."""
    return tuple(bar for bar in BARS if bar.measure == measure)
