"""Who is measured: each contender's name as tables show it, its program, and the Python that it needs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """One program in one of its forms.

    Attributes:
        name: as tables show it.
        program: module of `benchmarks.peers`.
        variant: which of its forms.
        environment: name of the virtual environment under `--peers`; empty for Facet's own.
    """

    name: str
    program: str
    variant: str = "-"
    environment: str = ""

    @property
    def own(self) -> bool:
        """Whether it is Facet's own, which must not fail."""
        return self.name.startswith("Facet")


FACET = Contender("Facet", "facet_reader", "full")
SEQUENTIAL = Contender("Facet, unshuffled", "facet_reader", "none")
ALWAYS = Contender("Facet, verify=always", "facet_reader", "always")

FFCV = Contender("FFCV", "ffcv_reader", environment="ffcv")
GRAIN = Contender("Grain over ArrayRecord", "grain_reader", environment="grain")
MEMMAP = Contender("np.memmap, fancy indexing", "array_reader", "memmap")
TAKE = Contender("np.take from memory", "array_reader", "take")
COPY = Contender("memory copy, 2 threads", "array_reader", "copy")
H5PY_DIRECT = Contender("h5py, loop of read_direct", "h5py_reader", "read_direct")
H5PY_INDEX = Contender("h5py, loop of dset[row]", "h5py_reader", "index")
H5PY_LOW = Contender("h5py, loop below its selections", "h5py_reader", "low_level")
H5PY_LISTS = Contender("h5py, sorted index lists", "h5py_reader", "lists")
SLICES = Contender("h5py, float32 slices, unshuffled", "float_slices")
TFRECORD = Contender("TFRecord, plain bytes", "tensorflow_reader", "tfrecord")
FIXED_LENGTH = Contender("FixedLengthRecordDataset", "tensorflow_reader", "fixed_length")
GATHER = Contender("tf.gather from memory", "tensorflow_reader", "gather")
TF_MAP = Contender("TFRecord(JPEG), one map call an image", "tensorflow_reader", "map")
TF_BATCH = Contender("TFRecord(JPEG), one map call a batch", "tensorflow_reader", "whole_batch")
TF_RESIZE = Contender("TensorFlow, decode + antialiased resize", "tensorflow_reader", "map")
TF_AREA = Contender("TensorFlow, decode + area resize", "tensorflow_reader", "area")
TF_REDUCED = Contender("TensorFlow, ratio=2 from 600 on + area resize", "tensorflow_reader", "reduced")
TF_RATIO_2 = Contender("TensorFlow, ratio=2 + antialiased resize, 29 dB", "tensorflow_reader", "ratio_2")
KERAS = Contender("image_dataset_from_directory", "keras_reader")
TORCH = Contender("ImageFolder, torchvision's decoder", "torch_reader", "torchvision", "pytorch")
TORCH_PIL = Contender("ImageFolder, Pillow", "torch_reader", "pil", "pytorch")
WEBDATASET = Contender("WebDataset", "webdataset_reader", environment="pytorch")
DECODING = Contender("decoding alone, 2 threads", "decoding")

FACET_COLD = Contender("Facet, cold, by blocks", "cold_reader", "facet")
DD = Contender("dd, cold", "cold_reader", "dd")

TRAIN_REAL = Contender("Facet", "facet_trainer", "real")
TRAIN_CONSTANT = Contender("Facet, one batch again and again", "facet_trainer", "constant")
TRAIN_DETERMINISTIC = Contender("Facet", "facet_trainer", "deterministic")
TRAIN_FREE = Contender("Facet, not deterministic", "facet_trainer", "free")
SAVE = Contender("Facet", "facet_trainer", "saving")

PACK_ENCODED = Contender("Facet", "facet_writer", "encoded")
PACK_RAW = Contender("Facet", "facet_writer", "raw")
REPACK = Contender("Facet", "facet_writer", "repack")
FFCV_ENCODED = Contender("FFCV's writer", "ffcv_writer", "encoded", "ffcv")
FFCV_RAW = Contender("FFCV's writer", "ffcv_writer", "raw", "ffcv")
TFRECORD_WRITER = Contender("TFRecordWriter script", "tfrecord_writer")
FLOAT_WRITER = Contender("float32 writer of the AFAD scripts", "float_writer")
CP_TREE = Contender("cp -r + sync", "copying", "tree")
CP_FILE = Contender("cp + fsync", "copying", "file")
WRITE_IMAGES = Contender("write + fsync of the same bytes", "copying", "images")
WRITE_PIXELS = Contender("write + fsync of the same bytes", "copying", "pixels")
RESIZING = Contender("decoding and resizing, 2 threads", "decoding")

KERAS_FUNCTION = Contender("the Keras model under tf.function", "-")
